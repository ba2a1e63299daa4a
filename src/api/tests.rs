//! The router as a caller sees it, over a real store, a real pipeline and a clock that stands.

mod alarms;
mod circle;
mod conventions;
mod document;
mod limits;
mod reading;
mod world;
