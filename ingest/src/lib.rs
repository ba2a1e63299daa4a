//! From the wire to durable, queryable Arrow tables.

pub mod clock;
pub mod source;
pub mod snapshot;
