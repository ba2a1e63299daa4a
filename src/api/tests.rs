//! The router as a caller sees it, over a real store, a real pipeline and a clock that stands.

mod alarms;
mod circle;
mod conventions;
mod detection;
mod document;
mod limits;
mod lives;
mod reading;
mod world;
