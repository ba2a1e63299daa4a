//! workorders

pub mod money;
