//! Why the registry says no.

use crate::problem::{Family, Problem};
use crate::store::StoreError;

/// A registry command or query failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No asset has this id or tag.
    #[error("no asset has the id or tag `{0}`")]
    NoSuchAsset(String),
    /// No site has this id or key.
    #[error("no site has the id or key `{0}`: see the list of sites")]
    NoSuchSite(String),
    /// No account has this id.
    #[error("no account has the id `{0}`")]
    NoSuchAccount(String),
    /// No resource has this id.
    #[error("no resource has the id `{0}`")]
    NoSuchResource(String),
    /// No incident type has this key.
    #[error("no incident type has the key `{0}`")]
    NoSuchIncidentType(String),
    /// The asset's tag is taken by an asset of another kind.
    #[error("tag `{tag}` belongs to {id} of class {class}: a tag names one asset")]
    TagTaken {
        /// The tag.
        tag: String,
        /// Who has it.
        id: String,
        /// Its class.
        class: String,
    },
    /// The tag cannot be a tag.
    #[error("`{tag}` cannot be an asset tag: {why}")]
    BadTag {
        /// The tag, shortened.
        tag: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The class cannot be a class.
    #[error("`{class}` cannot be an asset class: {why}")]
    BadClass {
        /// The class, shortened.
        class: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The name cannot be a name.
    #[error("the name cannot be the name of an asset: {why}")]
    BadName {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The caller decided on an older version.
    #[error("asset {id} is at version {actual}, not {expected}: read it again and decide anew")]
    Stale {
        /// The asset.
        id: String,
        /// What the caller read.
        expected: i64,
        /// What it is.
        actual: i64,
    },
    /// An alarm that waited for the asset could not be taken up.
    #[error("an alarm that waited for the asset could not be taken up: {0}")]
    TakeUp(String),
    /// The store failed.
    #[error("the registry could not reach its store")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for RegistryError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Problem for RegistryError {
    fn family(&self) -> Family {
        match self {
            Self::NoSuchAsset(_) | Self::NoSuchAccount(_) | Self::NoSuchResource(_) => {
                Family::NotFound
            }
            // Named inside a request body, so the request is wrong, not the address.
            Self::NoSuchSite(_) | Self::NoSuchIncidentType(_) => Family::Invalid,
            Self::BadTag { .. } | Self::BadClass { .. } | Self::BadName { .. } => Family::Invalid,
            Self::TagTaken { .. } => Family::Refused,
            Self::Stale { .. } => Family::Stale,
            Self::TakeUp(_) => Family::Bug,
            Self::Store(error) => error.family(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchAsset(_) => "no_such_asset",
            Self::NoSuchSite(_) => "no_such_site",
            Self::NoSuchAccount(_) => "no_such_account",
            Self::NoSuchResource(_) => "no_such_resource",
            Self::NoSuchIncidentType(_) => "no_such_incident_type",
            Self::TagTaken { .. } => "tag_taken",
            Self::BadTag { .. } => "bad_tag",
            Self::BadClass { .. } => "bad_class",
            Self::BadName { .. } => "bad_name",
            Self::Stale { .. } => "stale_version",
            Self::TakeUp(_) => "take_up_failed",
            Self::Store(error) => error.code(),
        }
    }
}
