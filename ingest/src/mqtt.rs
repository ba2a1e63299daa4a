//! The MQTT side of ingest: our own endpoint, and a consumer of any broker.
//!
//! Both hand [`Delivery`](crate::source::Delivery)s to the pipeline and acknowledge to their peer
//! only what the pipeline has confirmed, in the order in which it came.

mod ack_line;
mod answer;
pub mod consumer;
pub mod endpoint;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod packet;
mod property;
mod queue;
mod topic;

pub use consumer::{
    ClientCertificate, Consumer, ConsumerConfig, ConsumerError, ConsumerLimits, ConsumerStats, Gap,
};
pub use endpoint::{
    CloseReason, Endpoint, EndpointConfig, EndpointError, EndpointLimits, EndpointStats, HashError,
    TlsConfig, User, UserError, hash_password,
};
pub use queue::DeliveryQueue;
