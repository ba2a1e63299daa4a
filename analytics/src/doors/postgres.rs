//! PostgreSQL's wire protocol, so that psql, drivers and dashboards can ask.
//!
//! Protocol 3.0 and 3.2, simple and extended, parameters, text and binary values, cancel requests.
//! Every statement is one question to the engine with a snapshot of its own; transactions, SET and
//! the like are answered and change nothing. The password is the token of the service, proved by
//! SCRAM-SHA-256, so that it never crosses the wire.

mod cancels;
mod connection;
mod conversation;
mod failure;
mod login;
mod parameters;
mod portal;
mod rows;
mod statement;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datafusion_postgres::pgwire::api::RandomPidSecretKeyGenerator;
use fieldwright_ingest::clock::process_sleep;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::threads::DoorThreads;
use super::{DoorError, Token};
use crate::sql::SqlEngine;
use cancels::Cancels;
use login::Login;

/// What the door speaks, for people.
const DOOR: &str = "PostgreSQL";
/// After a failed accept, such as one without a free file handle.
const PAUSE: Duration = Duration::from_millis(100);

/// How the door is opened.
#[derive(Clone)]
pub struct PostgresConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The password.
    pub token: Token,
    /// Answers clients that ask for TLS, where there is a certificate.
    pub tls: Option<Arc<ServerConfig>>,
    /// What clients may take.
    pub limits: PostgresLimits,
}

/// What clients of the door may take.
#[derive(Debug, Clone, Copy)]
pub struct PostgresLimits {
    /// Connections at once; one more is closed at once.
    pub connections: usize,
    /// How long a client may take to come in.
    pub startup: Duration,
    /// How long a connection may be silent.
    pub idle: Duration,
    /// How long a client may leave an answer unread.
    pub stalled: Duration,
    /// Longest message of a client. **Units**: bytes.
    pub message_bytes: usize,
    /// Prepared statements of one connection.
    pub statements: usize,
}

impl Default for PostgresLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            startup: Duration::from_secs(10),
            idle: Duration::from_secs(3600),
            stalled: Duration::from_secs(60),
            message_bytes: 1024 * 1024,
            statements: 256,
        }
    }
}

/// What all connections share.
struct Shared {
    engine: Arc<SqlEngine>,
    login: Login,
    cancels: Cancels,
    keys: Arc<RandomPidSecretKeyGenerator>,
    limits: PostgresLimits,
    tls: Option<TlsAcceptor>,
}

/// The open door.
#[derive(Debug)]
pub struct PostgresDoor {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    _threads: DoorThreads,
}

impl PostgresDoor {
    /// Listens and answers.
    ///
    /// **Errors**: the address is taken, or the system gives no threads.
    pub async fn open(config: PostgresConfig, engine: Arc<SqlEngine>) -> Result<Self, DoorError> {
        let (threads, listener, address) =
            DoorThreads::listen("postgres", DOOR, config.listen).await?;
        let shared = Arc::new(Shared {
            engine,
            login: Login::new(&config.token),
            cancels: Cancels::default(),
            keys: Arc::default(),
            limits: config.limits,
            tls: config.tls.map(TlsAcceptor::from),
        });
        let (stop, stopping) = watch::channel(false);
        let serving = threads.handle().spawn(serve(listener, shared, stopping));
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

/// Accepts until it is told to stop, then ends all connections.
async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(shared.limits.connections));
    let mut connections = JoinSet::new();
    loop {
        // Those that ended are forgotten, so the set is as bounded as the places.
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            _ = stopping.changed() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _peer)) => {
                let place = Arc::clone(&places).try_acquire_owned();
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    match place {
                        Ok(_place) => connection::serve(stream, shared).await,
                        Err(_full) => refuse(stream).await,
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the PostgreSQL door could not accept a connection");
                process_sleep(PAUSE).await;
            }
        }
    }
    connections.shutdown().await;
}

/// Tells one client too many why it must go, in the words of the protocol.
async fn refuse(mut stream: TcpStream) {
    use tokio::io::AsyncWriteExt as _;
    let mut fields = Vec::new();
    for (kind, text) in [
        (b'S', "FATAL"),
        (b'C', "53300"),
        (b'M', "too many connections; close one, or try again later"),
    ] {
        fields.push(kind);
        fields.extend_from_slice(text.as_bytes());
        fields.push(0);
    }
    fields.push(0);
    let mut message = vec![b'E'];
    let length = u32::try_from(fields.len() + 4).expect("a short sentence");
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(&fields);
    // Whoever does not listen need not know.
    let _ = stream.write_all(&message).await;
    let _ = stream.shutdown().await;
}
