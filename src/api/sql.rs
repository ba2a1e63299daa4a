//! `/sql`: questions over readings and operations.

mod rows;

pub use rows::answer_json;
