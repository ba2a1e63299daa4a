//! The HTTP listener: bounded in connections, and in the time that the head of a request takes.
//!
//! `axum::serve` bounds neither, so whoever opens sockets and says nothing could take them all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use fieldwright_ingest::clock::process_sleep;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::local_address;
use crate::app::AppError;

/// Requests under way may take so long to end when the service stops.
const GRACE: Duration = Duration::from_secs(5);
/// After a failed accept, such as one without a free file handle.
const PAUSE: Duration = Duration::from_millis(100);
/// The head of a request has at most so many bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The HTTP API.
#[derive(Debug)]
pub struct HttpDoor {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

/// What a caller can take of the listener.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Connections at once; the next one waits in the queue of the system.
    connections: usize,
    /// How long the head of a request may take, and a connection may be silent between two.
    head_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 1_024,
            head_timeout: Duration::from_secs(10),
        }
    }
}

impl HttpDoor {
    /// Takes the address; nothing is answered yet.
    pub async fn listen(address: SocketAddr) -> Result<TcpListener, AppError> {
        TcpListener::bind(address)
            .await
            .map_err(|source| AppError::Listen { address, source })
    }

    /// Answers.
    pub fn open(listener: TcpListener, router: Router) -> Self {
        Self::open_within(listener, router, Bounds::default())
    }

    fn open_within(listener: TcpListener, router: Router, bounds: Bounds) -> Self {
        let address = local_address(&listener);
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, router, stopping, bounds));
        Self {
            address,
            stop,
            serving,
        }
    }

    /// The base address.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes no new request and waits a little for those under way.
    pub async fn close(self) {
        let _ = self.stop.send(true);
        let mut serving = self.serving;
        if tokio::time::timeout(GRACE, &mut serving).await.is_err() {
            serving.abort();
        }
    }
}

/// Accepts until it is told to stop, then waits for the connections that are busy.
async fn serve(
    listener: TcpListener,
    router: Router,
    mut stopping: watch::Receiver<bool>,
    bounds: Bounds,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    loop {
        // Those that ended are forgotten, so the set is as bounded as the places.
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place.expect("it is never closed"), listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            _ = stopping.changed() => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _peer)) => {
                let answering = answer(stream, router.clone(), stopping.clone(), bounds);
                connections.spawn(async move {
                    answering.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the HTTP listener could not accept a connection");
                process_sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Answers the requests of one connection, one after the other.
async fn answer(
    stream: TcpStream,
    router: Router,
    mut stopping: watch::Receiver<bool>,
    bounds: Bounds,
) {
    // Answers are written at once; waiting to fill a packet would only delay the last part.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router.into_service::<Incoming>());
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const WHOLE: &str = "GET /ok HTTP/1.1\r\nhost: localhost\r\n";

    /// No test waits longer, whatever it waits for.
    const PATIENCE: Duration = Duration::from_secs(30);

    async fn open(bounds: Bounds) -> HttpDoor {
        let listener = HttpDoor::listen("127.0.0.1:0".parse().unwrap()).await;
        let router = Router::new().route("/ok", get(async || "here"));
        HttpDoor::open_within(listener.unwrap(), router, bounds)
    }

    async fn send(door: &HttpDoor, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(door.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// What comes until the other side closes.
    async fn rest(mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        read.expect("the other side closes").unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn half_sent_heads_and_silence_are_cut_off() {
        let door = open(Bounds {
            connections: 2,
            head_timeout: Duration::from_millis(50),
        })
        .await;
        // Both places are taken, by a head that never ends and by one that never begins.
        let half = send(&door, WHOLE).await;
        let silent = send(&door, "").await;
        // The third waits for a place and is then answered; silent after it, it is cut off too.
        let third = send(&door, &format!("{WHOLE}\r\n")).await;
        assert!(rest(third).await.ends_with("here"));
        for stream in [half, silent] {
            assert!(!rest(stream).await.contains("200 OK"));
        }
        door.close().await;
    }

    #[tokio::test]
    async fn closing_ends_idle_connections_at_once() {
        let door = open(Bounds::default()).await;
        let mut idle = send(&door, &format!("{WHOLE}\r\n")).await;
        let mut first = [0_u8; 12];
        idle.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        let address = door.address;
        let closed = tokio::time::timeout(GRACE / 2, door.close()).await;
        closed.expect("nothing is under way");
        assert!(rest(idle).await.ends_with("here"));
        assert!(TcpStream::connect(address).await.is_err());
    }
}
