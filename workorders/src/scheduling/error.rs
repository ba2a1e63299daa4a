//! Why nobody was booked.

use crate::execution::BookingError;
use crate::orders::OrderError;
use crate::problem::{Family, Problem};
use crate::registry::RegistryError;
use crate::store::StoreError;

/// Scheduling an order failed.
#[derive(Debug, thiserror::Error)]
pub enum SchedulingError {
    /// Nobody can take the order.
    #[error("nobody can be booked for {number}: {reason}")]
    NoSlot {
        /// The order's number.
        number: String,
        /// The reasons against each resource.
        reason: String,
    },
    /// The order said no, or does not exist.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The booking said no.
    #[error(transparent)]
    Booking(#[from] BookingError),
    /// The registry said no.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store failed.
    #[error("the booking could not be saved")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for SchedulingError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Problem for SchedulingError {
    fn family(&self) -> Family {
        match self {
            Self::NoSlot { .. } => Family::Refused,
            Self::Order(error) => error.family(),
            Self::Booking(error) => error.family(),
            Self::Registry(RegistryError::NoSuchResource(_)) => Family::Invalid,
            Self::Registry(error) => error.family(),
            Self::Store(error) => error.family(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoSlot { .. } => "no_slot",
            Self::Order(error) => error.code(),
            Self::Booking(error) => error.code(),
            Self::Registry(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}
