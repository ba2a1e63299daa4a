//! The consumer against our own endpoint as its broker and against scripted brokers.

use std::collections::VecDeque;
use std::sync::Arc;

use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::clock::RealClock;
use crate::mqtt::{Endpoint, EndpointConfig};
use crate::source::{Delivery, Receipt};

/// First bytes of packets.
const CONNECT: u8 = 0x10;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const PINGREQ: u8 = 0xC0;
const DISCONNECT: u8 = 0xE0;

fn config(url: String) -> ConsumerConfig {
    ConsumerConfig {
        url,
        topics: vec!["fieldwright/#".into()],
        client_id: "fieldwright-test".into(),
        limits: ConsumerLimits {
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(50),
            shutdown_timeout: Duration::from_secs(5),
            ..ConsumerLimits::default()
        },
        ..ConsumerConfig::default()
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
        assert_eq!(connect[0], CONNECT);
        assert_eq!(connect[9] & 2, 0, "the session is persistent");
        script.send(&[0x20, 2, u8::from(session_present), 0]).await;
        if subscribes {
            let subscribe = script.packet().await;
            assert_eq!(subscribe[0], SUBSCRIBE);
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
                [PUBACK, 2, high, low] => return u16::from_be_bytes([high, low]),
                [PINGREQ, 0] => self.send(&[0xD0, 0]).await,
                ref other => panic!("not an acknowledgement: {other:?}"),
            }
        }
    }
}

/// A PUBLISH of quality 1, or 0 without a packet id.
fn publish(payload: &str, packet_id: u16) -> Vec<u8> {
    let topic = b"fieldwright/pump/p1";
    let qos = usize::from(packet_id != 0);
    let mut length = 2 + topic.len() + 2 * qos + payload.len();
    let mut packet = vec![0x30 | (qos as u8) << 1];
    loop {
        let more = if length > 0x7F { 0x80 } else { 0 };
        packet.push((length & 0x7F) as u8 | more);
        length >>= 7;
        if length == 0 {
            break;
        }
    }
    packet.extend([0, topic.len() as u8]);
    packet.extend(topic);
    if qos > 0 {
        packet.extend(packet_id.to_be_bytes());
    }
    packet.extend(payload.as_bytes());
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
    const ROUNDS: u64 = 1_000;
    for round in 0..ROUNDS {
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
        assert_eq!(consumer.stats().acknowledgements_out, round * 3);
        for receipt in new {
            receipt.confirm();
        }
        last.confirm();
        assert_eq!(broker.ack().await, 1);
        assert_eq!(broker.ack().await, 2);
        assert_eq!(broker.ack().await, 7);
        until(|| consumer.stats().acknowledgements_out == (round + 1) * 3).await;
    }
    assert!(consumer.stats().stale_receipts >= ROUNDS);
    assert_eq!(consumer.stats().connections, ROUNDS + 1);
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
    let gaps = consumer.gaps();
    assert_eq!((gaps.len(), gaps[0].connection), (1, 3));
    assert!(gaps[0].from.is_some_and(|from| from <= gaps[0].to));
}

/// A session that was lost between two runs of the service is a gap, too.
#[tokio::test]
async fn a_session_lost_between_two_runs_is_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, url) = listen().await;
    let mut config = config(url);
    config.sessions_file = Some(folder.path().join("mqtt-sessions.json"));
    for (run, (session_present, gaps)) in [(false, 0), (true, 0), (false, 1)].iter().enumerate() {
        let (consumer, _deliveries) = start(config.clone());
        let _broker = Script::accept(&listener, *session_present, true).await;
        until(|| consumer.is_connected()).await;
        assert_eq!(consumer.gaps().len(), *gaps, "run {run}");
        assert_eq!(consumer.stats().possible_gaps, *gaps as u64, "run {run}");
        assert!(consumer.gaps().iter().all(|gap| gap.from.is_none()));
    }
}

/// A pipeline that stands still: reconnects, at which the broker sends everything again, do not
/// add to what is held.
#[tokio::test]
async fn a_stalled_pipeline_bounds_memory_across_reconnects() {
    let (listener, url) = listen().await;
    let mut config = config(url);
    config.limits.unacknowledged_messages = 1_000;
    config.limits.unacknowledged_bytes = 10_000;
    // While nothing is read, only a ping finds out that the connection is gone.
    config.limits.keep_alive = Duration::from_secs(1);
    let (consumer, mut deliveries) = start(config);
    let packets: Vec<u8> = (1..=2_000u16)
        .flat_map(|id| publish("0123456789", id))
        .collect();
    let one = "fieldwright/pump/p1".len() as u64 + 10;
    let mut stalled = Vec::new();
    let mut sockets = Vec::new();
    let mut broker = Script::accept(&listener, false, true).await;
    let mut taken = 0;
    for round in 0..3 {
        // The broker sends all; what we do not read stays in the sockets.
        let (reading, mut writing) = broker.0.into_split();
        let all = packets.clone();
        sockets.push(tokio::spawn(async move {
            let _ = writing.write_all(&all).await;
            (reading, writing)
        }));
        if round == 0 {
            until(|| consumer.stats().unacknowledged_bytes >= 10_000).await;
        }
        while let Ok(delivery) = deliveries.try_recv() {
            taken += delivery.envelopes.len() as u64;
            stalled.push(delivery.receipt);
        }
        let stats = consumer.stats();
        // What one read of the socket brought is the only excess.
        assert!(stats.unacknowledged_bytes < 10_000 + 20 * one, "{stats:?}");
        assert!(stats.messages_in < 10_000 / one + 20, "{stats:?}");
        let (reading, writing) = sockets.pop().unwrap().await.unwrap();
        drop((reading, writing));
        broker = Script::accept(&listener, true, false).await;
    }
    assert_eq!(consumer.stats().acknowledgements_out, 0);
    while let Ok(delivery) = deliveries.try_recv() {
        taken += delivery.envelopes.len() as u64;
        stalled.push(delivery.receipt);
    }
    assert!(taken > 0);
    // The pipeline works again: what is sent now is read and acknowledged.
    stalled.into_iter().for_each(Receipt::confirm);
    broker.send(&publish("new", 7)).await;
    loop {
        let (payloads, receipt) = delivery(&mut deliveries).await;
        receipt.confirm();
        if payloads.contains(&"new".to_owned()) {
            break;
        }
    }
    assert_eq!(broker.ack().await, 7);
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
            assert_eq!(request[0], SUBSCRIBE, "{what}");
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
    assert_eq!(broker.packet().await, [DISCONNECT, 0]);
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

/// An authority of our own, a broker's certificate and ours, as PEM files.
struct Authority {
    folder: tempfile::TempDir,
    broker: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

impl Authority {
    fn new() -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        let sign = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            let key_file = folder.path().join(format!("{name}.key"));
            std::fs::write(key_file, key.serialize_pem()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
            (certificate.der().clone(), key)
        };
        let broker = sign("localhost");
        sign("consumer");
        Self { folder, broker }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The broker's TLS; it asks for a certificate when `mutual`.
    fn acceptor(&self, mutual: bool) -> rumqttc::tokio_rustls::TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = if mutual {
            let mut roots = rustls::RootCertStore::empty();
            let ca = CertificateDer::from_pem_file(self.file("ca.pem")).unwrap();
            roots.add(ca).unwrap();
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            config.with_no_client_auth()
        };
        let (certificate, key) = &self.broker;
        let config = config
            .with_single_cert(vec![certificate.clone()], key.clone_key())
            .unwrap();
        Arc::new(config).into()
    }
}

/// Who is trusted, and who trusts us: the line says whether a message comes through.
#[tokio::test]
async fn mqtts_trusts_the_named_certificates_and_shows_its_own() {
    let authority = Authority::new();
    let own = ClientCertificate {
        certificate_file: authority.file("consumer.pem"),
        key_file: authority.file("consumer.key"),
    };
    let ca = Some(authority.file("ca.pem"));
    for (ca_file, own, mutual, works) in [
        (ca.clone(), None, false, true),
        (None, None, false, false),
        (ca.clone(), Some(own.clone()), true, true),
        (ca.clone(), None, true, false),
    ] {
        let what = format!("{ca_file:?} {own:?} {mutual}");
        let (listener, _) = listen().await;
        let port = listener.local_addr().unwrap().port();
        let mut config = config(format!("mqtts://localhost:{port}"));
        config.ca_file = ca_file;
        config.client_certificate = own;
        let (intake, mut deliveries) = mpsc::channel(4);
        let consumer = match Consumer::start(config, intake, Arc::new(RealClock)) {
            Ok(consumer) => consumer,
            // A bare machine trusts nobody; what matters is that it does not trust this broker.
            Err(error) => {
                assert!(!works && matches!(error, ConsumerError::NoSystemCertificates));
                continue;
            }
        };
        let (socket, _) = within(listener.accept()).await.unwrap();
        let accepted = within(authority.acceptor(mutual).accept(socket)).await;
        if !works {
            assert!(accepted.is_err(), "{what}");
            until(|| consumer.stats().connect_failures > 0).await;
            continue;
        }
        let mut broker = Script::greet(accepted.unwrap(), false, true).await;
        broker.send(&publish("secret", 1)).await;
        let (payloads, receipt) = delivery(&mut deliveries).await;
        assert_eq!(payloads, ["secret"]);
        receipt.confirm();
        assert_eq!(broker.ack().await, 1, "{what}");
    }
    // A key that belongs to another certificate is told at the start.
    let mut config = config("mqtts://localhost:1".into());
    config.ca_file = ca;
    config.client_certificate = Some(ClientCertificate {
        key_file: authority.file("localhost.key"),
        ..own
    });
    let (intake, _deliveries) = mpsc::channel(4);
    let refused = Consumer::start(config, intake, Arc::new(RealClock));
    assert!(matches!(
        refused,
        Err(ConsumerError::ClientCertificate { .. })
    ));
}

/// Our endpoint keeps no session without a folder: the consumer subscribes again and tells the gap.
#[tokio::test]
async fn it_consumes_our_own_endpoint_across_a_restart() {
    let endpoint_at = async |port: u16| {
        let (intake, mut deliveries) = mpsc::channel::<Delivery>(64);
        tokio::spawn(async move {
            while let Some(delivery) = deliveries.recv().await {
                delivery.receipt.confirm();
            }
        });
        let config = EndpointConfig::new(([127, 0, 0, 1], port).into());
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
