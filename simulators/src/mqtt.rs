//! An MQTT publisher that loses nothing: QoS 1, a bounded window, its own memory of what is not
//! acknowledged yet.
//!
//! A broker that forgets the session makes rumqttc drop what was in flight, so every connection
//! starts with a fresh rumqttc state and sends again, in the old order, whatever is still open.
//! With a fresh state an acknowledgement can only mean a message of the same connection.

mod connection;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::cancel::Cancel;
use crate::endpoint::Endpoint;
use connection::{Connection, Happening};

/// Largest window: rumqttc must always have a free packet id for the next message.
pub const WINDOW_LIMIT: usize = 8_000;
/// Messages that a caller may hand over before the window has room.
const INPUT_LIMIT: usize = 64;
/// First pause between two attempts to connect; it doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Longest pause between two attempts to connect.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A message to publish, with what the caller wants to hear when it is acknowledged.
#[derive(Debug, Clone)]
pub struct Outbound<T> {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Bytes,
    /// Handed back when the message is acknowledged.
    pub tag: T,
}

/// How to publish.
#[derive(Debug, Clone)]
pub struct PublisherOptions {
    /// MQTT client id; two publishers with one id push each other out.
    pub client_id: String,
    /// Messages that may be unacknowledged at a time, at most [`WINDOW_LIMIT`].
    pub window: usize,
}

/// What has happened so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Connected at the moment.
    pub connected: bool,
    /// Connections made.
    pub connections: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Why the last connection or attempt ended.
    pub last_failure: Option<String>,
}

/// The publisher has stopped: it was canceled.
#[derive(Debug, thiserror::Error)]
#[error("publishing was stopped before everything was acknowledged")]
pub struct Stopped;

/// A running publisher.
#[derive(Debug)]
pub struct Publisher<T> {
    input: mpsc::Sender<Outbound<T>>,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<()>,
}

impl<T: Send + 'static> Publisher<T> {
    /// Starts to publish in the background; `on_ack` hears each tag once, on acknowledgement.
    pub fn open(
        endpoint: Endpoint,
        options: PublisherOptions,
        cancel: Cancel,
        on_ack: impl FnMut(T) + Send + 'static,
    ) -> Self {
        let (input, messages) = mpsc::channel(INPUT_LIMIT);
        let (news, progress) = watch::channel(Progress::default());
        let worker = Worker {
            endpoint,
            window: options.window.clamp(1, WINDOW_LIMIT),
            client_id: options.client_id,
            messages: Some(messages),
            open: BTreeMap::new(),
            next: 0,
            on_ack: Box::new(on_ack),
            news,
            cancel,
        };
        Self {
            input,
            progress,
            task: tokio::spawn(worker.run()),
        }
    }

    /// Hands over a message; waits while the window is full or the broker is away.
    ///
    /// **Errors**: the publisher was stopped.
    pub async fn send(&self, message: Outbound<T>) -> Result<(), Stopped> {
        self.input.send(message).await.map_err(|_| Stopped)
    }

    /// Waits for the first connection.
    ///
    /// **Errors**: the publisher was stopped.
    pub async fn connected(&self) -> Result<(), Stopped> {
        let mut progress = self.progress.clone();
        progress
            .wait_for(|progress| progress.connections > 0)
            .await
            .map(drop)
            .map_err(|_| Stopped)
    }

    /// What has happened so far; the receiver hears every change.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Waits until everything is acknowledged, says goodbye and tells how many messages that were.
    ///
    /// **Errors**: stopped before that.
    pub async fn finish(self) -> Result<u64, Stopped> {
        let Self {
            input,
            progress,
            task,
        } = self;
        let canceled = input.is_closed();
        drop(input);
        let ended_well = task.await.is_ok() && !canceled;
        let progress = progress.borrow().clone();
        match ended_well && progress.last_failure.as_deref() != Some(CANCELED) {
            true => Ok(progress.acknowledged),
            false => Err(Stopped),
        }
    }
}

const CANCELED: &str = "canceled";

struct Worker<T> {
    endpoint: Endpoint,
    client_id: String,
    window: usize,
    /// `None` once the caller has handed over its last message.
    messages: Option<mpsc::Receiver<Outbound<T>>>,
    /// Unacknowledged messages in the order in which they came.
    open: BTreeMap<u64, Outbound<T>>,
    next: u64,
    on_ack: Box<dyn FnMut(T) + Send>,
    news: watch::Sender<Progress>,
    cancel: Cancel,
}

/// What a connection knows about the messages it carried.
#[derive(Default)]
struct Carried {
    /// Handed to rumqttc, packet id not known yet, in order.
    handed: VecDeque<u64>,
    /// On the wire by packet id.
    sent: HashMap<u16, u64>,
}

impl<T: Send + 'static> Worker<T> {
    async fn run(mut self) {
        let mut pause = RETRY_PAUSE;
        while !self.is_done() && !self.cancel.is_canceled() {
            let before = self.news.borrow().acknowledged;
            if let Some(connection) = self.connect().await {
                self.serve(connection).await;
            }
            // A connection that brought nothing is a failed attempt, or two clients that push each
            // other out would do so without a breath.
            if self.news.borrow().acknowledged > before {
                pause = RETRY_PAUSE;
            } else if !self.is_done() {
                self.cancel.sleep(pause).await;
                pause = (pause * 2).min(RETRY_PAUSE_MAX);
            }
        }
        if !self.is_done() {
            self.lost(CANCELED);
        }
    }

    fn is_done(&self) -> bool {
        self.messages.is_none() && self.open.is_empty()
    }

    async fn connect(&mut self) -> Option<Connection> {
        let attempt = async {
            let address = self.endpoint.resolve().map_err(|error| error.to_string())?;
            Connection::open(&address, &self.client_id, self.window)
                .await
                .map_err(|error| format!("{address}: {error}"))
        };
        let cancel = self.cancel.clone();
        let outcome = tokio::select! {
            outcome = attempt => outcome,
            () = cancel.canceled() => return None,
        };
        match outcome {
            Ok(connection) => {
                self.news.send_modify(|news| {
                    news.connected = true;
                    news.connections += 1;
                });
                Some(connection)
            }
            Err(failure) => {
                tracing::debug!(failure, "no connection to the MQTT endpoint");
                self.lost(&failure);
                None
            }
        }
    }

    async fn serve(&mut self, mut connection: Connection) {
        let mut carried = Carried::default();
        for (number, message) in &self.open {
            carried.handed.push_back(*number);
            connection.publish(&message.topic, message.payload.clone());
        }
        while !self.is_done() {
            let room = self.open.len() < self.window;
            let cancel = self.cancel.clone();
            tokio::select! {
                biased;
                () = cancel.canceled() => break,
                happening = connection.next() => match happening {
                    Happening::Sent(packet) => carried.note(packet),
                    Happening::Acknowledged(packet) => self.acknowledge(carried.take(packet)),
                    Happening::Lost(failure) => {
                        tracing::debug!(failure, "the MQTT connection was lost");
                        self.lost(&failure);
                        return;
                    }
                },
                message = take(&mut self.messages), if room && self.messages.is_some() => {
                    match message {
                        Some(message) => {
                            let number = self.next;
                            self.next += 1;
                            carried.handed.push_back(number);
                            connection.publish(&message.topic, message.payload.clone());
                            self.open.insert(number, message);
                        }
                        None => self.messages = None,
                    }
                }
            }
        }
        connection.close().await;
        self.news.send_modify(|news| news.connected = false);
    }

    fn acknowledge(&mut self, number: Option<u64>) {
        let Some(message) = number.and_then(|number| self.open.remove(&number)) else {
            return;
        };
        (self.on_ack)(message.tag);
        self.news.send_modify(|news| news.acknowledged += 1);
    }

    fn lost(&self, failure: &str) {
        self.news.send_modify(|news| {
            news.connected = false;
            news.last_failure = Some(failure.to_owned());
        });
    }
}

impl Carried {
    /// rumqttc sends in the order in which it was handed messages.
    fn note(&mut self, packet: u16) {
        if let Some(number) = self.handed.pop_front() {
            self.sent.insert(packet, number);
        }
    }

    fn take(&mut self, packet: u16) -> Option<u64> {
        self.sent.remove(&packet)
    }
}

async fn take<M>(messages: &mut Option<mpsc::Receiver<M>>) -> Option<M> {
    match messages {
        Some(messages) => messages.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
pub(crate) mod tests;
