//! The consumer against our own endpoint as its broker, against scripted brokers, and against
//! Mosquitto where that is installed.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, Outgoing, QoS};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::clock::RealClock;
use crate::mqtt::{Endpoint, EndpointConfig, EndpointLimits, frame};
use crate::source::{Delivery, Receipt};

fn config(url: String) -> ConsumerConfig {
    ConsumerConfig {
        url,
        topics: vec!["fieldwright/#".into()],
        client_id: "fieldwright-test".into(),
        credentials: None,
        ca_file: None,
        limits: ConsumerLimits {
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_millis(50),
            shutdown_timeout: Duration::from_secs(5),
            ..ConsumerLimits::default()
        },
    }
}

/// No test waits forever.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("it happens in time")
}

/// Waits for a condition that is not told by any message.
async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn start(config: ConsumerConfig) -> (Consumer, mpsc::Receiver<Delivery>) {
    let (intake, deliveries) = mpsc::channel(64);
    let consumer = Consumer::start(config, intake, Arc::new(RealClock)).unwrap();
    (consumer, deliveries)
}

async fn delivery(deliveries: &mut mpsc::Receiver<Delivery>) -> (Vec<String>, Receipt) {
    let delivery = within(deliveries.recv()).await.expect("a delivery");
    let payloads = delivery
        .envelopes
        .iter()
        .map(|envelope| String::from_utf8_lossy(&envelope.payload).into_owned())
        .collect();
    (payloads, delivery.receipt)
}

/// A broker that says what the test tells it to.
struct Script<S = TcpStream>(S);

impl Script {
    async fn accept(listener: &TcpListener, session_present: bool, subscribes: bool) -> Self {
        let (socket, _) = within(listener.accept()).await.unwrap();
        Self::greet(socket, session_present, subscribes).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Script<S> {
    /// Answers a CONNECT, and the SUBSCRIBE if one is expected.
    async fn greet(socket: S, session_present: bool, subscribes: bool) -> Self {
        let mut script = Self(socket);
        let connect = script.packet().await;
        assert_eq!(connect[0], frame::CONNECT);
        assert_eq!(connect[9] & 2, 0, "the session is persistent");
        script.send(&[0x20, 2, u8::from(session_present), 0]).await;
        if subscribes {
            let subscribe = script.packet().await;
            assert_eq!(subscribe[0], frame::SUBSCRIBE);
            script.send(&[0x90, 3, subscribe[2], subscribe[3], 1]).await;
        }
        script
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next packet; its length is less than 128.
    async fn packet(&mut self) -> Vec<u8> {
        let mut packet = vec![0; 2];
        within(self.0.read_exact(&mut packet)).await.unwrap();
        let mut body = vec![0; usize::from(packet[1])];
        within(self.0.read_exact(&mut body)).await.unwrap();
        packet.extend(body);
        packet
    }

    /// The next acknowledgement; pings are answered.
    async fn ack(&mut self) -> u16 {
        loop {
            match self.packet().await[..] {
                [frame::PUBACK, 2, high, low] => return u16::from_be_bytes([high, low]),
                [frame::PINGREQ, 0] => self.send(&frame::PINGRESP_PACKET).await,
                ref other => panic!("not an acknowledgement: {other:?}"),
            }
        }
    }
}

fn publish(payload: &str, packet_id: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    let qos = u8::from(packet_id != 0);
    let (topic, payload) = (b"fieldwright/pump/p1", payload.as_bytes());
    if let Some(at) = frame::put_publish(&mut packet, topic, payload, qos, false) {
        packet[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
    }
    packet
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn it_acknowledges_what_is_confirmed_in_receive_order() {
    let (listener, url) = listen().await;
    let (consumer, mut deliveries) = start(config(url));
    let mut broker = Script::accept(&listener, false, true).await;
    broker.send(&publish("1", 5)).await;
    let (first, first_receipt) = delivery(&mut deliveries).await;
    broker
        .send(&[publish("2", 9), publish("none", 0), publish("3", 2)].concat())
        .await;
    let mut second = Vec::new();
    let mut receipts = Vec::new();
    while second.len() < 3 {
        let (payloads, receipt) = delivery(&mut deliveries).await;
        second.extend(payloads);
        receipts.push(receipt);
    }
    assert_eq!(
        (first, second.join(" ")),
        (vec!["1".into()], "2 none 3".into())
    );
    for receipt in receipts.into_iter().rev() {
        receipt.confirm();
    }
    assert_eq!(consumer.stats().acknowledgements_out, 0);
    assert_eq!(consumer.stats().unacknowledged, 4);
    first_receipt.confirm();
    assert_eq!(broker.ack().await, 5);
    assert_eq!(broker.ack().await, 9);
    assert_eq!(broker.ack().await, 2);
    until(|| consumer.stats().acknowledgements_out == 3).await;
    assert_eq!(consumer.stats().unacknowledged, 0);
    assert_eq!(
        consumer.stats().possible_gaps,
        0,
        "the first connection is no gap"
    );
    assert!(consumer.is_connected());
}

/// The trap: after a reconnect the same packet id names another message.
#[tokio::test]
async fn a_stale_receipt_never_acknowledges_on_the_next_connection() {
    let (listener, url) = listen().await;
    let (consumer, mut deliveries) = start(config(url));
    let mut broker = Script::accept(&listener, false, true).await;
    for round in 0..20u16 {
        // Ids 1 and 2 of the old connection...
        broker
            .send(&[publish("old 1", 1), publish("old 2", 2)].concat())
            .await;
        let mut old = Vec::new();
        let mut count = 0;
        while count < 2 {
            let (payloads, receipt) = delivery(&mut deliveries).await;
            count += payloads.len();
            old.push(receipt);
        }
        // ... half of the rounds end with messages that the client has read and not yet told.
        if round % 2 == 0 {
            broker.send(&publish("torn", 3)).await;
        }
        drop(broker);
        broker = Script::accept(&listener, true, false).await;
        // ... are ids of other messages on the new one.
        broker
            .send(&[publish("new 1", 1), publish("new 2", 2)].concat())
            .await;
        let mut new = Vec::new();
        let mut payloads = Vec::new();
        while !payloads.contains(&"new 2".to_owned()) {
            let (some, receipt) = delivery(&mut deliveries).await;
            payloads.extend(some);
            new.push(receipt);
        }
        for receipt in old {
            receipt.confirm();
        }
        // The proof that nothing was acknowledged: the next packet answers these receipts only.
        broker.send(&publish("last", 7)).await;
        let (_, last) = delivery(&mut deliveries).await;
        assert_eq!(consumer.stats().acknowledgements_out, u64::from(round) * 3);
        for receipt in new {
            receipt.confirm();
        }
        last.confirm();
        assert_eq!(broker.ack().await, 1);
        assert_eq!(broker.ack().await, 2);
        assert_eq!(broker.ack().await, 7);
        until(|| consumer.stats().acknowledgements_out == u64::from(round + 1) * 3).await;
    }
    assert!(consumer.stats().stale_receipts >= 20);
    assert_eq!(consumer.stats().connections, 21);
    assert_eq!(consumer.stats().possible_gaps, 0);
}

#[tokio::test]
async fn a_lost_session_is_subscribed_again_and_counted_as_a_gap() {
    let (listener, url) = listen().await;
    let (consumer, _deliveries) = start(config(url));
    for (connection, session_present, subscribes) in [
        (1, true, true),
        (2, true, false),
        (3, false, true),
        (4, true, false),
    ] {
        let broker = Script::accept(&listener, session_present, subscribes).await;
        until(|| consumer.stats().connections == connection && consumer.is_connected()).await;
        drop(broker);
        until(|| !consumer.is_connected()).await;
    }
    assert_eq!(consumer.stats().possible_gaps, 1);
}

/// How the broker answers the SUBSCRIBE of one connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Subscribing {
    Confirmed,
    Refused,
    /// The connection ends before the answer.
    Cut,
    /// None must come.
    NotAsked,
}

/// The trap: a session that is present may still lack the subscription.
#[tokio::test]
async fn it_subscribes_again_until_the_broker_has_confirmed() {
    use Subscribing::{Confirmed, Cut, NotAsked, Refused};
    for connections in [
        &[(false, Cut), (true, Confirmed), (true, NotAsked)][..],
        &[(false, Refused), (true, Confirmed), (true, NotAsked)],
        // A session lost later begins anew.
        &[
            (false, Confirmed),
            (false, Cut),
            (true, Cut),
            (true, Confirmed),
            (true, NotAsked),
        ],
    ] {
        let (listener, url) = listen().await;
        let (consumer, mut deliveries) = start(config(url));
        for (number, (session_present, subscribing)) in connections.iter().enumerate() {
            let what = format!("connection {number} of {connections:?}");
            let mut broker = Script::accept(&listener, *session_present, false).await;
            if *subscribing == NotAsked {
                // Nothing was sent before this acknowledgement: not a SUBSCRIBE either.
                broker.send(&publish("x", 3)).await;
                delivery(&mut deliveries).await.1.confirm();
                assert_eq!(broker.ack().await, 3, "{what}");
                until(|| consumer.is_connected()).await;
                continue;
            }
            let request = broker.packet().await;
            assert_eq!(request[0], frame::SUBSCRIBE, "{what}");
            let code = match subscribing {
                Cut => continue,
                Refused => 0x80,
                _ => 1,
            };
            broker.send(&[0x90, 3, request[2], request[3], code]).await;
            match subscribing {
                Refused => until(|| consumer.stats().subscriptions_refused == 1).await,
                _ => until(|| consumer.is_connected()).await,
            }
            assert_eq!(consumer.is_connected(), *subscribing == Confirmed, "{what}");
            drop(broker);
            until(|| !consumer.is_connected()).await;
        }
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_made_durable_comes_again() {
    let (listener, url) = listen().await;
    let (_consumer, mut deliveries) = start(config(url));
    let mut broker = Script::accept(&listener, false, true).await;
    broker.send(&publish("1", 1)).await;
    let (_, receipt) = delivery(&mut deliveries).await;
    drop(receipt);
    let mut broker = Script::accept(&listener, true, false).await;
    broker.send(&publish("1", 1)).await;
    let (again, receipt) = delivery(&mut deliveries).await;
    assert_eq!(again, ["1"]);
    receipt.confirm();
    assert_eq!(broker.ack().await, 1);
}

#[tokio::test]
async fn it_stops_reading_when_nothing_is_confirmed() {
    let (listener, url) = listen().await;
    let mut config = config(url);
    config.limits.unacknowledged_messages = 3;
    let (consumer, mut deliveries) = start(config);
    let mut broker = Script::accept(&listener, false, true).await;
    let packets: Vec<u8> = (1..=100).flat_map(|id| publish("x", id)).collect();
    broker.send(&packets).await;
    let mut got = 0;
    let mut receipts = VecDeque::new();
    while got < 3 {
        let (payloads, receipt) = delivery(&mut deliveries).await;
        got += payloads.len();
        receipts.push_back(receipt);
    }
    assert_eq!((got, consumer.stats().messages_in), (3, 3));
    while got < 100 {
        if let Some(receipt) = receipts.pop_front() {
            receipt.confirm();
        }
        let (payloads, receipt) = delivery(&mut deliveries).await;
        got += payloads.len();
        receipts.push_back(receipt);
        assert!(consumer.stats().unacknowledged <= 3);
    }
    for receipt in receipts {
        receipt.confirm();
    }
    for id in 1..=100 {
        assert_eq!(broker.ack().await, id);
    }
}

#[tokio::test]
async fn an_oversized_message_makes_no_reconnect_loop() {
    let (listener, url) = listen().await;
    let (consumer, mut deliveries) = start(config(url));
    let mut broker = Script::accept(&listener, false, true).await;
    // Far beyond rumqttc's own limit of 10 KiB.
    let large = "x".repeat(3 << 20);
    broker.send(&publish(&large, 1)).await;
    let (payloads, receipt) = delivery(&mut deliveries).await;
    assert_eq!(payloads[0].len(), large.len());
    receipt.confirm();
    assert_eq!(broker.ack().await, 1);
    assert_eq!(consumer.stats().connections, 1);
}

#[tokio::test]
async fn a_shutdown_acknowledges_what_becomes_durable_and_says_goodbye() {
    let (listener, url) = listen().await;
    let (consumer, mut deliveries) = start(config(url));
    let mut broker = Script::accept(&listener, false, true).await;
    broker.send(&publish("1", 1)).await;
    let (_, receipt) = delivery(&mut deliveries).await;
    let stopping = tokio::spawn(async move { consumer.shutdown().await });
    tokio::task::yield_now().await;
    assert!(!stopping.is_finished());
    receipt.confirm();
    assert_eq!(broker.ack().await, 1);
    assert_eq!(broker.packet().await, [frame::DISCONNECT, 0]);
    within(stopping).await.unwrap();
}

#[tokio::test]
async fn a_refused_subscription_is_told() {
    let (listener, url) = listen().await;
    let (consumer, _deliveries) = start(config(url));
    let mut broker = Script::accept(&listener, false, false).await;
    let subscribe = broker.packet().await;
    broker
        .send(&[0x90, 3, subscribe[2], subscribe[3], 0x80])
        .await;
    until(|| consumer.stats().subscriptions_refused == 1).await;
    assert!(!consumer.is_connected());
}

/// A broker's TLS, with a certificate that only `ca.pem` vouches for.
fn acceptor() -> rumqttc::tokio_rustls::TlsAcceptor {
    let chain = CertificateDer::from_pem_slice(include_bytes!("test_certificates/server.pem"));
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("test_certificates/server.key"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain.unwrap()], key.unwrap())
        .unwrap();
    Arc::new(config).into()
}

#[tokio::test]
async fn mqtts_trusts_the_named_certificates_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, include_bytes!("test_certificates/ca.pem")).unwrap();
    for (ca_file, trusted) in [(Some(ca_file), true), (None, false)] {
        let (listener, _) = listen().await;
        let port = listener.local_addr().unwrap().port();
        let mut config = config(format!("mqtts://localhost:{port}"));
        config.ca_file = ca_file;
        let (intake, mut deliveries) = mpsc::channel(4);
        let consumer = match Consumer::start(config, intake, Arc::new(RealClock)) {
            Ok(consumer) => consumer,
            // A bare machine trusts nobody; what matters is that it does not trust this broker.
            Err(error) => {
                assert!(!trusted && matches!(error, ConsumerError::NoSystemCertificates));
                continue;
            }
        };
        let (socket, _) = within(listener.accept()).await.unwrap();
        let accepted = within(acceptor().accept(socket)).await;
        assert_eq!(accepted.is_ok(), trusted);
        if let Ok(socket) = accepted {
            let mut broker = Script::greet(socket, false, true).await;
            broker.send(&publish("secret", 1)).await;
            let (payloads, receipt) = delivery(&mut deliveries).await;
            assert_eq!(payloads, ["secret"]);
            receipt.confirm();
            assert_eq!(broker.ack().await, 1);
        } else {
            until(|| consumer.stats().connect_failures > 0).await;
        }
    }
}

/// Our endpoint keeps no session: the consumer subscribes again and tells the gap.
#[tokio::test]
async fn it_consumes_our_own_endpoint_across_a_restart() {
    let endpoint_at = async |port: u16| {
        let (intake, mut deliveries) = mpsc::channel::<Delivery>(64);
        tokio::spawn(async move {
            while let Some(delivery) = deliveries.recv().await {
                delivery.receipt.confirm();
            }
        });
        let config = EndpointConfig {
            listen: ([127, 0, 0, 1], port).into(),
            password: None,
            limits: EndpointLimits::default(),
        };
        Endpoint::start(config, intake, Arc::new(RealClock)).await
    };
    let endpoint = endpoint_at(0).await.unwrap();
    let address = endpoint.local_addr();
    let (consumer, mut deliveries) = start(config(format!("mqtt://{address}")));
    until(|| consumer.is_connected()).await;
    publish_one(address, "before").await;
    let (payloads, receipt) = delivery(&mut deliveries).await;
    assert_eq!(payloads, ["before"]);
    receipt.confirm();
    until(|| consumer.stats().acknowledgements_out == 1).await;
    endpoint.shutdown().await;
    until(|| !consumer.is_connected()).await;
    let endpoint = endpoint_at(address.port()).await.unwrap();
    until(|| consumer.is_connected()).await;
    publish_one(address, "after").await;
    let (payloads, receipt) = delivery(&mut deliveries).await;
    assert_eq!(payloads, ["after"]);
    receipt.confirm();
    assert_eq!(consumer.stats().possible_gaps, 1);
    consumer.shutdown().await;
    endpoint.shutdown().await;
}

async fn publish_one(broker: std::net::SocketAddr, payload: &str) {
    let options = MqttOptions::new("publisher", broker.ip().to_string(), broker.port());
    let (client, mut events) = AsyncClient::new(options, 4);
    client
        .publish("fieldwright/pump/p1", QoS::AtLeastOnce, false, payload)
        .await
        .unwrap();
    within(async {
        while !matches!(
            events.poll().await.unwrap(),
            Event::Incoming(Incoming::PubAck(_))
        ) {}
    })
    .await;
}

/// A Mosquitto that keeps its sessions on disk.
struct Mosquitto {
    config: std::path::PathBuf,
    process: tokio::process::Child,
}

impl Mosquitto {
    /// `None`, with a line that says so, where it is not installed.
    async fn start(folder: &std::path::Path) -> Option<(Self, std::net::SocketAddr)> {
        // The port is free now; nobody else on this machine is told of it.
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\npersistence true\n\
             persistence_location {}/\nautosave_on_changes true\nautosave_interval 1\n\
             max_queued_messages 0\nmax_inflight_messages 0\nuser root\n",
            address.port(),
            folder.display()
        );
        std::fs::write(&config, text).unwrap();
        let process = Self::spawn(&config)?;
        Some((Self { config, process }, address))
    }

    fn spawn(config: &std::path::Path) -> Option<tokio::process::Child> {
        let found = ["mosquitto", "/usr/sbin/mosquitto"]
            .iter()
            .find_map(|name| {
                tokio::process::Command::new(name)
                    .arg("-c")
                    .arg(config)
                    .stdout(std::process::Stdio::null())
                    .stderr(std::process::Stdio::null())
                    .kill_on_drop(true)
                    .spawn()
                    .ok()
            });
        if found.is_none() {
            println!("SKIPPED: mosquitto is not installed (apt-get install mosquitto)");
        }
        found
    }

    /// `kill -9`, then a new process on what is on disk.
    async fn kill_and_restart(&mut self) {
        self.process.kill().await.unwrap();
        self.process = Self::spawn(&self.config).expect("it was there a moment ago");
    }
}

/// Everything that the broker acknowledged to the publisher reaches the consumer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_mosquitto_is_killed() {
    const MESSAGES: usize = 2_000;
    const KILL_AT: [usize; 3] = [400, 900, 1_500];
    let folder = tempfile::tempdir().unwrap();
    let Some((mut mosquitto, address)) = Mosquitto::start(folder.path()).await else {
        return;
    };
    let (consumer, mut deliveries) = start(config(format!("mqtt://{address}")));
    until(|| consumer.is_connected()).await;
    // The session itself must be on disk before the first kill: it is saved with this change.
    publish_one(address, "first").await;
    let saved = folder.path().join("mosquitto.db");
    until(|| saved.exists()).await;

    let mut options = MqttOptions::new("ledger", address.ip().to_string(), address.port());
    options.set_clean_session(false).set_inflight(20);
    let (client, mut events) = AsyncClient::new(options, 4);
    let feeding = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let sent = client
                .publish(
                    "fieldwright/x/y",
                    QoS::AtLeastOnce,
                    false,
                    number.to_string(),
                )
                .await;
            if sent.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    });
    let mut acknowledged = 0;
    let mut kills = KILL_AT.iter();
    let mut kill_at = kills.next();
    let mut received = BTreeSet::new();
    let ledger = async {
        while acknowledged < MESSAGES {
            match events.poll().await {
                Ok(Event::Incoming(Incoming::PubAck(_))) => acknowledged += 1,
                Ok(Event::Outgoing(Outgoing::Publish(_)))
                    if kill_at.is_some_and(|at| acknowledged >= *at) =>
                {
                    mosquitto.kill_and_restart().await;
                    kill_at = kills.next();
                }
                Ok(_) => {}
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let collecting = async {
        while received.len() < MESSAGES + 1 {
            let (payloads, receipt) = delivery(&mut deliveries).await;
            received.extend(payloads);
            receipt.confirm();
        }
    };
    within(async { tokio::join!(ledger, collecting) }).await;
    assert_eq!(received.len(), MESSAGES + 1, "nothing is missing");
    assert!(kill_at.is_none() && consumer.stats().connections > 1);
    feeding.abort();
}
