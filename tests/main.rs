//! What we promise, one module a promise. One binary, because each one links DataFusion again.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says what went wrong by panicking, and waits for another process by the wall"
)]

mod cli;
mod contract;
mod crash;
mod detection;
mod doors;
mod faults;
mod import;
mod mutations;
mod paho;
mod service;
mod story;
mod tidy;
