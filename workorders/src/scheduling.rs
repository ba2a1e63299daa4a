//! Scheduling: an order becomes a booking in the earliest slot that somebody can keep.

pub mod travel;

pub mod shift;

pub mod solver;

mod board;

mod error;
pub use error::SchedulingError;

mod service;
pub use service::{ScheduleRequest, schedule};

mod tick;
pub use tick::{Booked, TickReport, tick};
