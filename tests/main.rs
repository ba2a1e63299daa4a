//! What we promise, one module a promise. One binary, because each one links DataFusion again.

mod tidy;
