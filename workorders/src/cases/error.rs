//! Why a command or query about a case failed.

use super::CaseRefusal;
use crate::orders::OrderError;
use crate::problem::{Family, Problem};
use crate::store::StoreError;
use crate::store::ids::CaseId;

/// A command or query about a case failed.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A rule said no.
    #[error(transparent)]
    Refused(#[from] CaseRefusal),
    /// There is no such case.
    #[error("no case has the id {0}")]
    NotFound(CaseId),
    /// The order could not be made.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The store failed.
    #[error("the case could not be read or saved")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for CaseError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Problem for CaseError {
    fn family(&self) -> Family {
        match self {
            Self::Refused(CaseRefusal::Stale { .. }) => Family::Stale,
            Self::Refused(
                CaseRefusal::ReasonMissing { .. } | CaseRefusal::ReasonTooLong { .. },
            ) => Family::Invalid,
            Self::Refused(_) => Family::Refused,
            Self::NotFound(_) => Family::NotFound,
            Self::Order(error) => error.family(),
            Self::Store(error) => error.family(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::NotFound(_) => "no_such_case",
            Self::Order(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}
