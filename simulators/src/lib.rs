//! A small world around the product: plants, technicians, a reviewer and customers who pay.
//!
//! Everything here is a stranger: it speaks MQTT and HTTP and links none of the product's crates.
//! So every run of it is a black-box test, and one seed replays a world.

pub mod clock;

pub mod cancel;
pub mod endpoint;
pub mod seeded;
pub mod talk;

pub mod api;
pub mod mqtt;
pub mod world;

pub mod plant;

pub mod people;

pub mod report;
pub mod truth;

pub mod scenario;
pub mod simulation;

pub mod ledger_publisher;
pub mod replay;

pub mod year;

pub use cancel::{Cancel, CancelSource};
pub use endpoint::Endpoint;
pub use report::Report;
pub use scenario::{Scenario, ScenarioError, scenario, scenarios};
pub use simulation::{Simulation, SimulationConfig, SimulationError, SimulationHandle};
pub use talk::Talk;
