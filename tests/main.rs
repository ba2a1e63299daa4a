//! What we promise, one module a promise. One binary, because each one links DataFusion again.

mod cli;
mod service;
mod tidy;
