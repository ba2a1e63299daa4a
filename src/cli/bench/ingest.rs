//! `fieldwright bench ingest`: what durability costs.
//!
//! One feeder, three ways to drain it, interleaved: a bare rumqttc loop that acknowledges by
//! itself and drops everything; our durable path as a consumer of the same feeder; our endpoint
//! with the feeder as its client. Durable means what it means in production: decoded, validated,
//! synced to the journal, visible to SQL, then acknowledged.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use fieldwright_ingest::clock::{RealClock, SharedClock, wall_now};
use fieldwright_ingest::mqtt::{
    Consumer, ConsumerConfig, ConsumerLimits, Endpoint, EndpointConfig, EndpointLimits,
};
use fieldwright_ingest::{Ingest, IngestConfig};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

use super::feeder::{Fed, METRICS, Messages, feed_as_broker, feed_as_client};
use super::statistics::median;
use super::{Failure, Figure};

/// Messages per second of each arm.
#[derive(Debug, Args)]
pub struct IngestBench {
    /// Messages in one run of one arm.
    #[arg(long, default_value_t = 400_000)]
    messages: u64,
    /// Runs of each arm; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Folder for the journals and files, on the disk that is to be measured; a temporary one
    /// in the current folder by default.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

