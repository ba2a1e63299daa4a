//! One MQTT connection, and the only file that knows rumqttc.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS, Transport};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::WINDOW_LIMIT;
use crate::clock::within;

/// A silent peer is noticed after twice this time.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Connecting, writing and the goodbye may each take so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// News that wait for the owner of the connection.
const NEWS_LIMIT: usize = 256;
/// Largest packet either way.
const PACKET_LIMIT: usize = 1 << 20;

/// What happened on the connection, in order.
#[derive(Debug)]
pub(super) enum Happening {
    /// The next message in order of [`Connection::publish`] went out with this packet id.
    Sent(u16),
    /// The broker acknowledged this packet id.
    Acknowledged(u16),
    /// The connection is gone.
    Lost(String),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("this is not an MQTT address; write mqtt://host:port or mqtts://host:port")]
    Address,
    #[error("the MQTT endpoint did not let us in: {0}")]
    Refused(String),
    #[error("the MQTT endpoint did not answer")]
    Timeout,
}

pub(super) struct Connection {
    client: AsyncClient,
    news: mpsc::Receiver<Happening>,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Connects with a fresh state. `window` messages may be handed over without waiting.
    pub(super) async fn open(
        address: &str,
        client_id: &str,
        window: usize,
    ) -> Result<Self, ConnectError> {
        let options = options(address, client_id)?;
        let (client, mut events) = AsyncClient::new(options, window + 16);
        let mut network = events.network_options();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(PATIENCE.as_secs());
        events.set_network_options(network);
        match within(PATIENCE, events.poll()).await {
            Some(Ok(Event::Incoming(Packet::ConnAck(_)))) => {}
            Some(Ok(other)) => return Err(ConnectError::Refused(format!("{other:?}"))),
            Some(Err(error)) => return Err(ConnectError::Refused(error.to_string())),
            None => return Err(ConnectError::Timeout),
        }
        let (sender, news) = mpsc::channel(NEWS_LIMIT);
        let driver = tokio::spawn(drive(events, sender));
        Ok(Self {
            client,
            news,
            driver,
        })
    }

    /// Hands a message to rumqttc. A connection that is gone says so in its next happening.
    ///
    /// The queue has room for a whole window, so there is nothing to wait for.
    pub(super) fn publish(&self, topic: &str, payload: Bytes) {
        if let Err(error) = self
            .client
            .try_publish(topic, QoS::AtLeastOnce, false, payload)
        {
            tracing::debug!(%error, "the connection takes no more messages");
        }
    }

    /// Waits for the next happening. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Happening {
        self.news
            .recv()
            .await
            .unwrap_or_else(|| Happening::Lost("the connection ended".into()))
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        if self.client.try_disconnect().is_ok() {
            // The driver needs room for its news until it ends.
            let drained = async { while self.news.recv().await.is_some() {} };
            let _ = within(PATIENCE, drained).await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Polls rumqttc without ever dropping a poll half way, which could lose a packet.
async fn drive(mut events: EventLoop, news: mpsc::Sender<Happening>) {
    loop {
        let happening = match events.poll().await {
            Ok(Event::Outgoing(Outgoing::Publish(packet))) => Happening::Sent(packet),
            Ok(Event::Incoming(Packet::PubAck(ack))) => Happening::Acknowledged(ack.pkid),
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
            Ok(_) => continue,
            Err(error) => Happening::Lost(error.to_string()),
        };
        let lost = matches!(happening, Happening::Lost(_));
        if news.send(happening).await.is_err() || lost {
            return;
        }
    }
}

fn options(address: &str, client_id: &str) -> Result<MqttOptions, ConnectError> {
    let url = Url::parse(address).map_err(|_| ConnectError::Address)?;
    let host = url.host_str().ok_or(ConnectError::Address)?;
    let (transport, port) = match url.scheme() {
        "mqtt" | "tcp" => (Transport::Tcp, 1883),
        "mqtts" | "ssl" => (Transport::tls_with_default_config(), 8883),
        _ => return Err(ConnectError::Address),
    };
    let mut options = MqttOptions::new(client_id, host, url.port().unwrap_or(port));
    options
        .set_transport(transport)
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_session(true)
        .set_max_packet_size(PACKET_LIMIT, PACKET_LIMIT)
        // More than the window, so that a packet id is free whenever the window has room.
        .set_inflight(WINDOW_LIMIT as u16 + 1_000);
    if !url.username().is_empty() {
        options.set_credentials(url.username(), url.password().unwrap_or_default());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |address: &str, expected: Option<(&str, u16)>| {
            let found = options(address, "c")
                .ok()
                .map(|options| options.broker_address());
            assert_eq!(found, expected.map(|(h, p)| (h.to_owned(), p)), "{address}");
        };
        check("mqtt://127.0.0.1:40017", Some(("127.0.0.1", 40017)));
        check("mqtt://broker", Some(("broker", 1883)));
        check("http://broker", None);
        check("broker:1883", None);
        check("", None);
    }
}
