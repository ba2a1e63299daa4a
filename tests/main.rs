//! What we promise, one module a promise. One binary, because each one links DataFusion again.

mod cli;
mod contract;
mod crash;
mod service;
mod story;
mod tidy;
