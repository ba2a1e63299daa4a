//! Arrow Flight SQL, so that ADBC, JDBC and dataframe libraries get Arrow batches as they are.
//!
//! Queries, prepared statements with parameters, lists of catalogs, schemas and tables, cancel.
//! The token is taken as bearer, or as password of any user. Tickets carry the query itself, so
//! the door keeps nothing between the two calls of a query but prepared statements.

mod credentials;
mod failure;
mod listed;
mod listener;
mod prepared;
mod service;
#[cfg(test)]
mod tests;
mod ticket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::service::InterceptorLayer;
use tonic::transport::Server;

use super::threads::DoorThreads;
use super::{DoorError, Token};
use crate::sql::SqlEngine;
use credentials::Credentials;
use service::FlightSql;

/// What the door speaks, for people.
const DOOR: &str = "Flight SQL";
/// A peer that does not answer is asked so often, and given up after so long.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How the door is opened.
#[derive(Debug, Clone)]
pub struct FlightConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The bearer token.
    pub token: Token,
    /// What clients may take.
    pub limits: FlightLimits,
}

/// What clients of the door may take.
#[derive(Debug, Clone, Copy)]
pub struct FlightLimits {
    /// Connections at once; one more waits in the queue of the system.
    pub connections: usize,
    /// Calls of one connection at once.
    pub calls: usize,
    /// Answers that are being sent at once, over all connections.
    pub answers: usize,
    /// Prepared statements over all connections; the oldest give way.
    pub statements: usize,
}

impl Default for FlightLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            calls: 16,
            answers: 64,
            statements: 1_000,
        }
    }
}

/// The open door.
#[derive(Debug)]
pub struct FlightDoor {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    _threads: DoorThreads,
}

impl FlightDoor {
    /// Listens and answers.
    ///
    /// **Errors**: the address is taken, or the system gives no threads.
    pub async fn open(config: FlightConfig, engine: Arc<SqlEngine>) -> Result<Self, DoorError> {
        let (threads, listener, address) =
            DoorThreads::listen("flight", DOOR, config.listen).await?;
        let (stop, stopping) = watch::channel(false);
        let serving = threads
            .handle()
            .spawn(serve(listener, config, engine, stopping));
        Ok(Self {
            address,
            stop,
            serving,
            _threads: threads,
        })
    }

    /// Where the door really is.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Closes the door and every connection: what they ask can be asked again.
    pub async fn close(self) {
        let _ = self.stop.send(true);
        let _ = self.serving.await;
    }
}

async fn serve(
    listener: TcpListener,
    config: FlightConfig,
    engine: Arc<SqlEngine>,
    mut stopping: watch::Receiver<bool>,
) {
    let limits = config.limits;
    let service = FlightSql::new(engine, config.token.clone(), limits);
    let credentials = Credentials::new(config.token);
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .max_concurrent_streams(u32::try_from(limits.calls).ok())
        .layer(InterceptorLayer::new(credentials))
        .add_service(FlightServiceServer::new(service))
        .serve_with_incoming(listener::bounded(listener, limits.connections));
    // Answers under way are not waited for: a slow reader would hold up the end of the service.
    tokio::select! {
        ended = serving => {
            if let Err(error) = ended {
                tracing::error!(%error, "the Flight SQL door is closed by a failure");
            }
        }
        _ = stopping.changed() => {}
    }
}
