//! What can go wrong with the store itself.

use std::error::Error;
use std::path::PathBuf;

use crate::problem::{Family, Problem};

/// The store could not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no store that we know.
    #[error(
        "store URL `{url}` is not understood: use sqlite:PATH or postgres://USER@HOST/DATABASE"
    )]
    Url {
        /// The URL as given, without a password.
        url: String,
    },
    /// The store could not be opened.
    #[error("store {url} cannot be opened: check that it exists, runs and may be written")]
    Open {
        /// The URL without a password.
        url: String,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// The store belongs to another data folder.
    #[error(
        "the store belongs to the data folder {owner} on the clock `{clock}`, and not to the data \
         folder {asking}: start the service on that folder, or name another store with --store"
    )]
    OtherFolder {
        /// The folder that the store belongs to.
        owner: String,
        /// The clock of that folder.
        clock: String,
        /// The folder that asks for it.
        asking: String,
    },
    /// The store's times come from another clock.
    #[error(
        "the store's times come from the clock `{owner}`, and not from `{asking}`: \
         start the service with that clock, or name another store with --store"
    )]
    OtherClock {
        /// The clock that the store belongs to.
        owner: String,
        /// The clock that asks for it.
        asking: String,
    },
    /// Another running service holds the store.
    #[error(
        "the store ({store}) is in use by another running service: \
         stop that service, or name another store with --store"
    )]
    InUse {
        /// Which store.
        store: String,
    },
    /// The file that keeps other services away could not be locked.
    #[error("{} cannot be locked: check that its folder may be written to", .path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A statement failed.
    #[error("a statement to the store failed")]
    Statement(#[from] sqlx::Error),
    /// A transaction could not begin.
    #[error("the store would not begin a transaction")]
    Begin(#[source] sqlx::Error),
    /// A transaction could not be committed.
    #[error("the store would not commit the transaction")]
    Commit(#[source] sqlx::Error),
    /// The store was written by a newer program.
    #[error(
        "the store has schema version {found}, this program knows up to {known}: \
         start a program that is at least as new as the store"
    )]
    SchemaTooNew {
        /// The version in the store.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// A migration that was applied differs from the one compiled in.
    #[error(
        "migration {version} ({name}) of the store is not the one of this program: \
         the store belongs to another build"
    )]
    MigrationDiffers {
        /// The migration's number.
        version: i64,
        /// The migration's name.
        name: String,
    },
    /// A migration failed.
    #[error("migration {version} ({name}) could not be applied")]
    Migrate {
        /// The migration's number.
        version: i64,
        /// The migration's name.
        name: &'static str,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// A value in the store has a shape that this program never writes.
    #[error("the store holds an unreadable value in {place}: {detail}")]
    Unreadable {
        /// Column or row.
        place: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl StoreError {
    /// An unreadable value in `place`.
    pub fn unreadable(place: impl Into<String>, detail: impl ToString) -> Self {
        Self::Unreadable {
            place: place.into(),
            detail: detail.to_string(),
        }
    }
}

impl Problem for StoreError {
    fn family(&self) -> Family {
        match self {
            Self::Url { .. } => Family::Invalid,
            Self::Open { .. } | Self::Begin(_) | Self::Commit(_) => Family::Unavailable,
            Self::InUse { .. } | Self::Lock { .. } => Family::Unavailable,
            Self::OtherFolder { .. } | Self::OtherClock { .. } => Family::Refused,
            Self::Statement(error) if is_about_the_data(error) => Family::Bug,
            Self::Statement(_) => Family::Unavailable,
            Self::SchemaTooNew { .. } | Self::MigrationDiffers { .. } => Family::Refused,
            Self::Migrate { .. } | Self::Unreadable { .. } => Family::Bug,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Url { .. } => "store_url",
            Self::Open { .. } => "store_open",
            Self::OtherFolder { .. } => "store_other_folder",
            Self::OtherClock { .. } => "store_other_clock",
            Self::InUse { .. } => "store_in_use",
            Self::Lock { .. } => "store_lock",
            Self::Statement(_) => "store_statement",
            Self::Begin(_) => "store_begin",
            Self::Commit(_) => "store_commit",
            Self::SchemaTooNew { .. } => "store_schema_too_new",
            Self::MigrationDiffers { .. } => "store_migration_differs",
            Self::Migrate { .. } => "store_migrate",
            Self::Unreadable { .. } => "store_unreadable",
        }
    }
}

/// Whether the store answered, but not with what this program asked for or can read.
fn is_about_the_data(error: &sqlx::Error) -> bool {
    use sqlx::Error::{
        ColumnDecode, ColumnIndexOutOfBounds, ColumnNotFound, Database, Decode, Encode,
        RowNotFound, TypeNotFound,
    };
    matches!(
        error,
        Database(_)
            | RowNotFound
            | TypeNotFound { .. }
            | ColumnIndexOutOfBounds { .. }
            | ColumnNotFound(_)
            | ColumnDecode { .. }
            | Encode(_)
            | Decode(_)
    )
}

/// Whether the same transaction, run again, may succeed: a serialization failure or a deadlock.
///
/// It looks through the whole chain of sources, so every error enum that keeps its source works.
pub(crate) fn worth_another_try(error: &(dyn Error + 'static)) -> bool {
    let mut link = Some(error);
    while let Some(this) = link {
        if let Some(sqlx::Error::Database(inner)) = this.downcast_ref::<sqlx::Error>()
            && inner.code().is_some_and(|code| is_retry_code(&code))
        {
            return true;
        }
        link = this.source();
    }
    false
}

/// PostgreSQL: serialization_failure, deadlock_detected. SQLite: SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT.
fn is_retry_code(code: &str) -> bool {
    matches!(code, "40001" | "40P01" | "5" | "517")
}

/// Whether the error is a broken unique index, on either store.
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(inner) if inner.is_unique_violation())
}
