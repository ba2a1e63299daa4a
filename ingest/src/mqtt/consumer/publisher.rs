//! The second client of a consumer: it publishes and receives nothing.
//!
//! One client for both could freeze: its acknowledgements would wait behind publishes that wait
//! for acknowledgements of the broker.

use std::time::Duration;

use rumqttc::{
    AsyncClient, ClientError, Event, EventLoop, Incoming, LastWill, MqttOptions, QoS, Request,
};
use tokio::sync::{mpsc, watch};

use super::ConsumerLimits;
use super::connection::told;
use crate::clock::{SharedClock, process_sleep};
use crate::codec::sparkplug::host_state;
use crate::commands::Outgoing;

/// Requests between us and the client; behind them the channel of commands is bounded, too.
const REQUESTS: usize = 16;

/// How long a shutdown waits for the last words.
const GOODBYE: Duration = Duration::from_secs(2);

/// The number of the connection, while there is one.
type Up = Option<u64>;

/// What the second client runs on.
pub(super) struct Publishing {
    pub options: MqttOptions,
    pub limits: ConsumerLimits,
    pub messages: mpsc::Receiver<Outgoing>,
    /// Whose state it tells as a Sparkplug host, if anyone's.
    pub host_id: Option<String>,
    /// The connections that receive: the host is online while all of them are.
    pub receiving: Vec<watch::Receiver<bool>>,
    pub clock: SharedClock,
    pub stopped: watch::Receiver<bool>,
}

impl Publishing {
    /// Publishes until it is told to stop.
    pub(super) async fn run(self) {
        let Self {
            mut options,
            limits,
            messages,
            host_id,
            receiving,
            clock,
            stopped,
        } = self;
        let host = host_id.map(|host_id| Host { host_id, clock });
        if let Some(host) = &host {
            options.set_last_will(host.will());
        }
        let (client, events) = AsyncClient::new(options, REQUESTS);
        let (up, connected) = watch::channel(None);
        tokio::select! {
            () = converse(events, &limits, host.as_ref(), &up) => {}
            () = forward(&client, messages, host.as_ref(), receiving, connected, stopped) => {}
        }
    }
}

/// The host whose state is told.
struct Host {
    host_id: String,
    clock: SharedClock,
}

impl Host {
    fn state(&self, online: bool) -> Outgoing {
        host_state(&self.host_id, online, self.clock.now().timestamp_millis())
    }

    fn will(&self) -> LastWill {
        let state = self.state(false);
        LastWill::new(state.topic, state.payload, QoS::AtLeastOnce, state.retain)
    }
}

/// Drives the client, and connects again for as long as it takes; never canceled in between.
async fn converse(
    mut events: EventLoop,
    limits: &ConsumerLimits,
    host: Option<&Host>,
    up: &watch::Sender<Up>,
) {
    let mut backoff = limits.backoff_min;
    let mut connections = 0;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                backoff = limits.backoff_min;
                connections += 1;
                up.send_replace(Some(connections));
            }
            Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return,
            Ok(_) => {}
            Err(error) => {
                up.send_replace(None);
                tracing::debug!(%error, "the MQTT client that publishes is not connected");
                // What was not sent is an old state of the host by now.
                events.pending.retain(
                    |request| !matches!(request, Request::Publish(publish) if publish.retain),
                );
                if let Some(host) = host {
                    events.mqtt_options.set_last_will(host.will());
                }
                process_sleep(backoff).await;
                backoff = (backoff * 2).min(limits.backoff_max);
            }
        }
    }
}

/// Hands commands and the state of the host to the client.
async fn forward(
    client: &AsyncClient,
    mut messages: mpsc::Receiver<Outgoing>,
    host: Option<&Host>,
    mut receiving: Vec<watch::Receiver<bool>>,
    mut connected: watch::Receiver<Up>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut told_state = None;
    let mut open = true;
    loop {
        let up = *connected.borrow_and_update();
        // Every one is looked at, so that no change of a later one is taken for news next time.
        let mut online = true;
        for one in &mut receiving {
            online &= *one.borrow_and_update();
        }
        // After a reconnect the broker has sent our will: say again how it stands.
        let state = up.map(|connection| (connection, online));
        if told_state != state {
            told_state = state;
            if let (Some(host), Some(_)) = (host, state) {
                drop(send(client, host.state(online)).await);
            }
        }
        tokio::select! {
            biased;
            () = told(&mut stopped) => break,
            changed = connected.changed() => if changed.is_err() { return },
            () = any_changed(&mut receiving), if host.is_some() => {}
            message = messages.recv(), if up.is_some() && open => match message {
                Some(message) => drop(send(client, message).await),
                None => open = false,
            },
        }
    }
    let goodbye = async {
        if let (Some(host), Some(_)) = (host, told_state) {
            drop(send(client, host.state(false)).await);
        }
        // The other half ends with the DISCONNECT on the wire, and this one with it.
        if client.disconnect().await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    drop(tokio::time::timeout(GOODBYE, goodbye).await);
}

/// Waits until one of the receiving connections comes or goes.
async fn any_changed(receiving: &mut [watch::Receiver<bool>]) {
    let changes = receiving.iter_mut().map(|one| {
        Box::pin(async move {
            if one.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    });
    futures::future::select_all(changes).await;
}

async fn send(client: &AsyncClient, message: Outgoing) -> Result<(), ClientError> {
    let qos = match message.qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    };
    let (topic, retain) = (message.topic, message.retain);
    client
        .publish_bytes(topic, qos, retain, message.payload)
        .await
}
