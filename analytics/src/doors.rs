//! The doors of SQL for other tools: PostgreSQL's wire protocol and Arrow Flight SQL.
//!
//! Both hand every question to the one [`SqlEngine`](crate::sql::SqlEngine), with its gate, its
//! places and its limits. They run on threads of their own, so that writing out large answers
//! takes none of the threads that receive readings.

mod threads;
mod token;

pub mod flight_sql;
pub mod postgres;

pub use token::Token;

use std::net::SocketAddr;

/// Why a door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The address cannot be listened on.
    #[error("could not listen on {address} for {door}")]
    Listen {
        /// What the door speaks.
        door: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The system gives no threads.
    #[error("the system refuses the threads of {door}")]
    Threads {
        /// What the door speaks.
        door: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
