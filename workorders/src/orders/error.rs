//! Why an order command failed.

use super::Refusal;
use crate::cases::CaseError;
use crate::invoicing::InvoicingError;
use crate::problem::{Family, Problem};
use crate::registry::RegistryError;
use crate::store::StoreError;
use crate::store::ids::WorkOrderId;

/// An order command or query failed.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// A rule said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such order.
    #[error("no work order has the id {0}")]
    NotFound(WorkOrderId),
    /// The asset of a new order stands nowhere.
    #[error("asset {tag} has no site, so nobody could be sent: give it a site first")]
    NoSite {
        /// The asset's tag.
        tag: String,
    },
    /// The request itself is wrong.
    #[error("the request for a work order is wrong: {0}")]
    Invalid(String),
    /// The registry said no.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The invoice could not be made, so the order was not posted.
    #[error("{number} was not posted, because its invoice could not be made: {source}")]
    Invoice {
        /// The order's number.
        number: String,
        /// What invoicing said.
        source: Box<InvoicingError>,
    },
    /// Triage failed.
    #[error(transparent)]
    Case(Box<CaseError>),
    /// The store failed.
    #[error("the work order could not be read or saved")]
    Store(#[from] StoreError),
}

impl From<CaseError> for OrderError {
    fn from(error: CaseError) -> Self {
        match error {
            CaseError::Order(error) => error,
            CaseError::Store(error) => Self::Store(error),
            other => Self::Case(Box::new(other)),
        }
    }
}

impl From<sqlx::Error> for OrderError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Problem for OrderError {
    fn family(&self) -> Family {
        match self {
            Self::Refused(Refusal::Stale { .. }) => Family::Stale,
            Self::Refused(Refusal::ReasonMissing { .. }) | Self::Invalid(_) => Family::Invalid,
            Self::Refused(_) | Self::NoSite { .. } => Family::Refused,
            Self::NotFound(_) => Family::NotFound,
            // An order names its asset in the body: the request is wrong, not the address.
            Self::Registry(RegistryError::NoSuchAsset(_)) => Family::Invalid,
            Self::Registry(error) => error.family(),
            Self::Invoice { source, .. } => source.family(),
            Self::Case(error) => error.family(),
            Self::Store(error) => error.family(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::NotFound(_) => "no_such_work_order",
            Self::NoSite { .. } => "asset_without_site",
            Self::Invalid(_) => "invalid_work_order",
            Self::Registry(error) => error.code(),
            Self::Invoice { source, .. } => source.code(),
            Self::Case(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}
