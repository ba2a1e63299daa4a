//! Execution: bookings, what technicians report from their devices, and what follows for the order.

mod lifecycle;
pub use lifecycle::{BookingStatus, BookingVerb, MOVES, Refusal};

mod booking;
pub use booking::Booking;

mod error;
pub use error::BookingError;

mod rows;
pub use rows::{NewBooking, insert, live_booking};

mod report;
pub use report::{DeviceStamp, Outcome, PartUsed, WorkReport};

mod device_keys;

mod work_lines;

mod commands;
pub use commands::{Done, cancel, complete, no_access, start, travel, withdraw};

pub mod views;
