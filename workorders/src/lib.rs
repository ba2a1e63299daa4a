//! workorders
