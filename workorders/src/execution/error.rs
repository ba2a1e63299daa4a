//! Why a booking command failed.

use super::Refusal;
use crate::orders::OrderError;
use crate::problem::{Family, Problem};
use crate::store::StoreError;
use crate::store::ids::BookingId;

/// A booking command or query failed.
#[derive(Debug, thiserror::Error)]
pub enum BookingError {
    /// A rule said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such booking.
    #[error("no booking has the id {0}")]
    NotFound(BookingId),
    /// The technician's report is wrong.
    #[error("the report of the visit is wrong: {0}")]
    BadReport(String),
    /// The technician is booked already at that time.
    #[error("the technician is booked already between {from} and {until}")]
    Overlap {
        /// Begin of the wanted time.
        from: chrono::DateTime<chrono::Utc>,
        /// End of the wanted time.
        until: chrono::DateTime<chrono::Utc>,
    },
    /// The order behind the booking said no.
    #[error(transparent)]
    Order(#[from] Box<OrderError>),
    /// The store failed.
    #[error("the booking could not be read or saved")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for BookingError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<OrderError> for BookingError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Store(error) => Self::Store(error),
            other => Self::Order(Box::new(other)),
        }
    }
}

impl Problem for BookingError {
    fn family(&self) -> Family {
        match self {
            Self::Refused(Refusal::Stale { .. }) => Family::Stale,
            Self::Refused(Refusal::KeyReused { .. }) => Family::KeyReused,
            Self::Refused(Refusal::NotAllowedNow { .. }) | Self::Overlap { .. } => Family::Refused,
            Self::NotFound(_) => Family::NotFound,
            Self::BadReport(_) => Family::Invalid,
            Self::Order(error) => error.family(),
            Self::Store(error) => error.family(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refused(Refusal::Stale { .. }) => "stale_version",
            Self::Refused(Refusal::KeyReused { .. }) => "device_key_reused",
            Self::Refused(Refusal::NotAllowedNow { .. }) => "not_allowed_now",
            Self::NotFound(_) => "no_such_booking",
            Self::BadReport(_) => "bad_report",
            Self::Overlap { .. } => "overlap",
            Self::Order(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}
