//! The endpoint as its clients see it, over real sockets.

mod crowd;
mod lasting;
mod mutations;
mod version_5;
mod who;

use std::time::Duration;

use rumqttc::{AsyncClient, Event, Incoming, LastWill, MqttOptions, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;
use crate::clock::RealClock;
use crate::source::{Delivery, Receipt};

const NOTHING: &[u8] = &[];

/// An endpoint whose pipeline is the test.
struct Bench {
    endpoint: Endpoint,
    deliveries: mpsc::Receiver<Delivery>,
}

impl Bench {
    async fn start() -> Self {
        Self::with(EndpointLimits::default()).await
    }

    async fn with(limits: EndpointLimits) -> Self {
        Self::of(EndpointConfig { limits, ..here() }).await
    }

    async fn of(config: EndpointConfig) -> Self {
        let (intake, deliveries) = mpsc::channel(64);
        let endpoint = Endpoint::start(config, intake, Arc::new(RealClock))
            .await
            .unwrap();
        Self {
            endpoint,
            deliveries,
        }
    }

    /// The next delivery: its messages as `topic=payload`, and its receipt.
    async fn delivery(&mut self) -> (Vec<String>, Receipt) {
        let delivery = within(self.deliveries.recv()).await.expect("a delivery");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let messages = delivery
            .envelopes
            .iter()
            .map(|envelope| format!("{}={}", text(&envelope.topic), text(&envelope.payload)))
            .collect();
        (messages, delivery.receipt)
    }

    /// Confirms deliveries until `count` messages have come; returns them.
    async fn confirm(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        while all.len() < count {
            let (messages, receipt) = self.delivery().await;
            receipt.confirm();
            all.extend(messages);
        }
        all
    }

    async fn raw(&self) -> Raw {
        Raw(TcpStream::connect(self.endpoint.local_addr())
            .await
            .unwrap())
    }

    /// A raw client past its CONNECT.
    async fn connected(&self, client_id: &str, keep_alive: u16) -> Raw {
        let mut raw = self.raw().await;
        raw.send(&connect(client_id, keep_alive)).await;
        raw.expect(&[0x20, 2, 0, 0]).await;
        raw
    }

    async fn closed_for(&self, reason: CloseReason) {
        until(|| self.endpoint.stats().closed_for(reason) > 0).await;
    }
}

/// A configuration of nothing but a free port.
fn here() -> EndpointConfig {
    EndpointConfig::new(([127, 0, 0, 1], 0).into())
}

/// A client that speaks bytes.
struct Raw(TcpStream);

impl Raw {
    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    async fn expect(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        within(self.0.read_exact(&mut got)).await.unwrap();
        assert_eq!(got, bytes);
    }

    /// Everything until the endpoint closes.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset instead of an end is a close, too: the endpoint had unread bytes.
        let _ = within(self.0.read_to_end(&mut rest)).await;
        rest
    }

    /// Proves that nothing came before: the answer to a ping is the next packet.
    async fn expect_nothing(&mut self) {
        self.send(&[0xc0, 0]).await;
        self.expect(&[0xd0, 0]).await;
    }
}

fn connect(client_id: &str, keep_alive: u16) -> Vec<u8> {
    let [high, low] = keep_alive.to_be_bytes();
    let mut packet = vec![0x10, 12 + client_id.len() as u8, 0, 4];
    packet.extend_from_slice(b"MQTT");
    packet.extend_from_slice(&[4, 2, high, low, 0, client_id.len() as u8]);
    packet.extend_from_slice(client_id.as_bytes());
    packet
}

fn publish(topic: &str, payload: &str, qos: u8, packet_id: u16) -> Vec<u8> {
    let head = crate::mqtt::frame::PublishHead {
        topic: topic.as_bytes(),
        qos,
        retain: false,
        duplicate: false,
        packet_id,
        properties: None,
    };
    let mut packet = Vec::new();
    crate::mqtt::frame::put_publish(&mut packet, &head, payload.as_bytes());
    packet
}

fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    let length = filter.len() as u8;
    let mut packet = vec![0x82, 5 + length, 0, 9, 0, length];
    packet.extend_from_slice(filter.as_bytes());
    packet.push(qos);
    packet
}

/// No test waits forever.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
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

fn rumqttc(bench: &Bench, client_id: &str) -> (AsyncClient, rumqttc::EventLoop) {
    let address = bench.endpoint.local_addr();
    let mut options = MqttOptions::new(client_id, address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(5));
    AsyncClient::new(options, 16)
}

async fn incoming(events: &mut rumqttc::EventLoop) -> Incoming {
    within(async {
        loop {
            if let Event::Incoming(packet) = events.poll().await.unwrap() {
                return packet;
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_acknowledgement_waits_for_the_receipt_and_keeps_the_order() {
    let mut bench = Bench::start().await;
    let mut raw = bench.connected("c", 0).await;
    raw.send(&publish("a", "1", 1, 1)).await;
    let (first, first_receipt) = bench.delivery().await;
    raw.send(&[publish("a", "2", 1, 2), publish("a", "3", 2, 3)].concat())
        .await;
    let (second, second_receipt) = bench.delivery().await;
    assert_eq!(
        (first.join(" "), second.join(" ")),
        ("a=1".into(), "a=2 a=3".into())
    );
    raw.expect_nothing().await;
    second_receipt.confirm();
    raw.expect_nothing().await;
    first_receipt.confirm();
    raw.expect(&[0x40, 2, 0, 1, 0x40, 2, 0, 2, 0x50, 2, 0, 3])
        .await;
    assert_eq!(bench.endpoint.stats().acknowledgements_out, 3);
}

#[tokio::test]
async fn one_read_is_one_delivery() {
    let mut bench = Bench::start().await;
    let mut raw = bench.connected("c", 0).await;
    let packets: Vec<u8> = (1..=9).flat_map(|id| publish("a/b", "x", 1, id)).collect();
    raw.send(&packets[..packets.len() - 3]).await;
    let (first, receipt) = bench.delivery().await;
    assert_eq!(first.len(), 8, "the ninth is not complete");
    receipt.confirm();
    raw.send(&packets[packets.len() - 3..]).await;
    assert_eq!(bench.confirm(1).await, ["a/b=x"]);
}

#[tokio::test]
async fn a_repeated_quality_2_message_counts_once() {
    let mut bench = Bench::start().await;
    let mut raw = bench.connected("c", 0).await;
    let mut again = publish("a", "1", 2, 7);
    raw.send(&again).await;
    bench.confirm(1).await;
    raw.expect(&[0x50, 2, 0, 7]).await;
    again[0] |= 8;
    raw.send(&again).await;
    raw.expect(&[0x50, 2, 0, 7]).await;
    raw.send(&[0x62, 2, 0, 7]).await;
    raw.expect(&[0x70, 2, 0, 7]).await;
    raw.send(&publish("a", "2", 2, 7)).await;
    assert_eq!(bench.confirm(1).await, ["a=2"]);
    raw.expect(&[0x50, 2, 0, 7]).await;
}

#[tokio::test]
async fn a_receipt_that_is_dropped_closes_the_connection() {
    let mut bench = Bench::start().await;
    let mut raw = bench.connected("c", 0).await;
    raw.send(&publish("a", "1", 1, 1)).await;
    let (_, receipt) = bench.delivery().await;
    drop(receipt);
    assert_eq!(raw.rest().await, NOTHING);
    bench.closed_for(CloseReason::NotDurable).await;
}

#[tokio::test]
async fn a_library_client_publishes_and_subscribes() {
    let mut bench = Bench::start().await;
    let (subscriber, mut subscribed) = rumqttc(&bench, "subscriber");
    subscriber
        .subscribe("plant/+/temp", QoS::AtLeastOnce)
        .await
        .unwrap();
    subscriber
        .subscribe("$SYS/#", QoS::AtMostOnce)
        .await
        .unwrap();
    for _ in 0..2 {
        while !matches!(incoming(&mut subscribed).await, Incoming::SubAck(_)) {}
    }
    let (publisher, mut published) = rumqttc(&bench, "publisher");
    for (topic, payload) in [
        ("plant/1/temp", "20"),
        ("plant/1/speed", "3"),
        ("plant/2/temp", "21"),
        ("$SYS/x", "22"),
    ] {
        publisher
            .publish(topic, QoS::AtLeastOnce, false, payload)
            .await
            .unwrap();
    }
    let drive = tokio::spawn(async move { while published.poll().await.is_ok() {} });
    assert_eq!(bench.confirm(4).await.len(), 4);
    let mut got = Vec::new();
    while got.len() < 3 {
        if let Incoming::Publish(message) = incoming(&mut subscribed).await {
            let payload = String::from_utf8(message.payload.to_vec()).unwrap();
            got.push(format!("{} {} {:?}", message.topic, payload, message.qos));
        }
    }
    assert_eq!(
        got,
        [
            "plant/1/temp 20 AtLeastOnce",
            "plant/2/temp 21 AtLeastOnce",
            "$SYS/x 22 AtMostOnce"
        ]
    );
    drive.abort();
}

#[tokio::test]
async fn a_message_reaches_subscribers_only_when_it_is_durable() {
    let mut bench = Bench::start().await;
    let mut listener = bench.connected("listener", 0).await;
    listener.send(&subscribe("a/#", 1)).await;
    listener.expect(&[0x90, 3, 0, 9, 1]).await;
    let mut sender = bench.connected("sender", 0).await;
    sender.send(&publish("a/b", "1", 1, 4)).await;
    let (_, receipt) = bench.delivery().await;
    listener.expect_nothing().await;
    // It is routed even though its sender is gone by then.
    drop(sender);
    receipt.confirm();
    listener.expect(&publish("a/b", "1", 1, 1)).await;
}

#[tokio::test]
async fn retained_messages_greet_a_new_subscriber() {
    let mut bench = Bench::start().await;
    let mut sender = bench.connected("sender", 0).await;
    let mut packet = publish("a/b", "now", 1, 1);
    packet[0] |= 1;
    sender.send(&packet).await;
    bench.confirm(1).await;
    sender.expect(&[0x40, 2, 0, 1]).await;
    let mut listener = bench.connected("listener", 0).await;
    listener.send(&subscribe("+/b", 0)).await;
    listener.expect(&[0x90, 3, 0, 9, 0]).await;
    let mut expected = publish("a/b", "now", 0, 0);
    expected[0] |= 1;
    listener.expect(&expected).await;
}

#[tokio::test]
async fn a_will_is_left_unless_the_client_says_goodbye() {
    let mut bench = Bench::start().await;
    for goodbye in [true, false] {
        let address = bench.endpoint.local_addr();
        let mut options = MqttOptions::new("c", address.ip().to_string(), address.port());
        options.set_last_will(LastWill::new("gone", "c", QoS::AtLeastOnce, false));
        let (client, mut events) = AsyncClient::new(options, 4);
        assert!(matches!(incoming(&mut events).await, Incoming::ConnAck(_)));
        if goodbye {
            client.disconnect().await.unwrap();
            while events.poll().await.is_ok() {}
            bench.closed_for(CloseReason::Disconnected).await;
        }
        drop(events);
    }
    assert_eq!(bench.confirm(1).await, ["gone=c"]);
    assert!(bench.deliveries.try_recv().is_err());
}

#[tokio::test]
async fn the_same_client_id_takes_the_connection_over() {
    let bench = Bench::start().await;
    let mut first = bench.connected("same", 0).await;
    let mut second = bench.connected("same", 0).await;
    assert_eq!(first.rest().await, NOTHING);
    bench.closed_for(CloseReason::TakenOver).await;
    second.expect_nothing().await;
    assert_eq!(bench.endpoint.stats().connections, 1);
}

#[tokio::test]
async fn keep_alive_0_is_legal_and_any_other_is_enforced() {
    let bench = Bench::start().await;
    let mut patient = bench.connected("patient", 0).await;
    let mut silent = bench.connected("silent", 1).await;
    assert_eq!(silent.rest().await, NOTHING);
    bench.closed_for(CloseReason::KeepAlive).await;
    patient.expect_nothing().await;
}

#[tokio::test]
async fn an_oversized_packet_is_not_read() {
    let limits = EndpointLimits {
        packet_bytes: 1_000,
        ..EndpointLimits::default()
    };
    let mut bench = Bench::with(limits).await;
    let mut raw = bench.connected("c", 0).await;
    // The header of a SUBSCRIBE announces 256 MiB; what came before it counts.
    let header = [0x82, 0xff, 0xff, 0xff, 0x7f];
    raw.send(&[publish("a", "1", 1, 1), header.to_vec()].concat())
        .await;
    let (messages, _receipt) = bench.delivery().await;
    assert_eq!(messages, ["a=1"]);
    assert_eq!(raw.rest().await, NOTHING);
    bench.closed_for(CloseReason::PacketTooLarge).await;
}

#[tokio::test]
async fn an_oversized_publish_is_cut_acknowledged_and_held_up_by_nothing() {
    let limits = EndpointLimits {
        packet_bytes: 1_000,
        ..EndpointLimits::default()
    };
    let mut bench = Bench::with(limits).await;
    let mut raw = bench.connected("c", 0).await;
    let mut listener = bench.connected("listener", 0).await;
    listener.send(&subscribe("#", 0)).await;
    listener.expect(&[0x90, 3, 0, 9, 0]).await;
    let large = format!("begin{}", "x".repeat(3 << 20));
    for (qos, ack) in [(0, &[][..]), (1, &[0x40, 2, 0, 2]), (2, &[0x50, 2, 0, 2])] {
        let packet = publish("a/large", &large, qos, 2);
        let (early, late) = packet.split_at(packet.len() / 2);
        raw.send(&[publish("a", "before", 1, 1), early.to_vec()].concat())
            .await;
        assert_eq!(bench.confirm(1).await, ["a=before"]);
        raw.expect(&[0x40, 2, 0, 1]).await;
        listener.expect(&publish("a", "before", 0, 0)).await;
        raw.send(&[late, &publish("a", "after", 1, 3)].concat())
            .await;
        let delivery = within(bench.deliveries.recv()).await.unwrap();
        let [cut] = &delivery.envelopes[..] else {
            panic!("one message: {}", delivery.envelopes.len());
        };
        assert_eq!(cut.topic, "a/large");
        assert_eq!(cut.payload.size(), large.len() as u64);
        assert!(cut.payload.is_cut() && *cut.payload == large.as_bytes()[..4096]);
        let (after, receipt) = bench.delivery().await;
        assert_eq!(after, ["a=after"]);
        receipt.confirm();
        if qos > 0 {
            // Acknowledged in its turn, when it is durable.
            raw.expect_nothing().await;
        }
        delivery.receipt.confirm();
        raw.expect(&[ack, &[0x40, 2, 0, 3]].concat()).await;
        // Nobody gets half a message.
        listener.expect(&publish("a", "after", 0, 0)).await;
    }
    let mut again = publish("a/large", &large, 2, 2);
    again[0] |= 8;
    raw.send(&again).await;
    raw.expect(&[0x50, 2, 0, 2]).await;
    assert!(bench.deliveries.try_recv().is_err(), "it came before");
    assert_eq!(bench.endpoint.stats().connections, 2);
}

#[tokio::test]
async fn an_oversized_publish_must_be_legal() {
    let limits = EndpointLimits {
        packet_bytes: 1_000,
        topic_bytes: 100,
        ..EndpointLimits::default()
    };
    let bench = Bench::with(limits).await;
    let large = "x".repeat(20_000);
    let mut quality_3 = publish("a", &large, 2, 1);
    quality_3[0] |= 6;
    for (packet, reason) in [
        (publish(&large, "", 1, 1), CloseReason::TopicTooLong),
        (publish("a/#", &large, 1, 1), CloseReason::ProtocolViolation),
        (publish("a", &large, 1, 0), CloseReason::ProtocolViolation),
        (quality_3, CloseReason::ProtocolViolation),
    ] {
        let before = bench.endpoint.stats().closed_for(reason);
        let mut raw = bench.connected("c", 0).await;
        raw.send(&packet).await;
        assert_eq!(raw.rest().await, NOTHING);
        until(|| bench.endpoint.stats().closed_for(reason) > before).await;
    }
}

#[tokio::test]
async fn violations_close_the_connection() {
    let bench = Bench::start().await;
    for (what, bytes) in [
        ("second CONNECT", connect("x", 0)),
        ("wildcard in a name", publish("a/+", "", 0, 0)),
        ("empty name", publish("", "", 0, 0)),
        ("packet id 0", publish("a", "", 1, 0)),
        ("filter", subscribe("a/#/b", 0)),
        ("reserved type", vec![0xf0, 0]),
        ("server's packet", vec![0x20, 2, 0, 0]),
        ("length", vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ("flags", vec![0x83, 5, 0, 9, 0, 1, b'a', 0]),
        ("PINGREQ with a body", vec![0xc0, 1, 0]),
    ] {
        let before = bench.endpoint.stats();
        let mut raw = bench.connected("c", 0).await;
        raw.send(&bytes).await;
        assert_eq!(raw.rest().await, NOTHING, "{what}");
        let reason = CloseReason::ProtocolViolation;
        until(|| bench.endpoint.stats().closed_for(reason) > before.closed_for(reason)).await;
    }
}

#[tokio::test]
async fn strangers_are_turned_away() {
    let bench = Bench::start().await;
    let mut old = connect("c", 0);
    old[8] = 3;
    let mut new = connect("c", 0);
    new[8] = 6;
    let nameless = {
        let mut packet = connect("", 0);
        packet[9] = 0;
        packet
    };
    for (what, bytes, answer) in [
        ("garbage", &b"\x00\x01\x02garbage"[..], &[][..]),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n", &[]),
        ("TLS", b"\x16\x03\x01\x02\x00", &[]),
        ("no CONNECT", &publish("a", "1", 1, 1), &[]),
        ("3.1", &old, &[0x20, 2, 0, 1]),
        ("6", &new, &[0x20, 3, 0, 0x84, 0]),
        ("no id, no clean session", &nameless, &[0x20, 2, 0, 2]),
    ] {
        let mut raw = bench.raw().await;
        raw.send(bytes).await;
        assert_eq!(raw.rest().await, answer, "{what}");
    }
    bench.connected("", 0).await.expect_nothing().await;
}

#[tokio::test]
async fn half_open_connections_are_bounded_in_number_and_time() {
    let limits = EndpointLimits {
        half_open: 2,
        connect_timeout: Duration::from_secs(2),
        ..EndpointLimits::default()
    };
    let bench = Bench::with(limits).await;
    let mut first = bench.raw().await;
    let mut second = bench.raw().await;
    second.send(&connect("c", 0)[..5]).await;
    // Newcomers get in although the places are taken: the oldest make room.
    bench.connected("new", 0).await.expect_nothing().await;
    assert_eq!(first.rest().await, NOTHING, "made room");
    assert_eq!(bench.endpoint.stats().connections_refused, 1);
    let mut third = bench.raw().await;
    assert_eq!(second.rest().await, NOTHING, "timed out");
    assert_eq!(third.rest().await, NOTHING, "timed out");
    until(|| {
        bench
            .endpoint
            .stats()
            .closed_for(CloseReason::ConnectTimeout)
            == 2
    })
    .await;
    assert_eq!(bench.endpoint.stats().connections_refused, 1);
    bench.connected("c", 0).await.expect_nothing().await;
}

#[tokio::test]
async fn filters_of_one_packet_are_bounded_and_repeats_count_once() {
    let limits = EndpointLimits {
        subscriptions: 3,
        ..EndpointLimits::default()
    };
    let mut bench = Bench::with(limits).await;
    let mut sender = bench.connected("sender", 0).await;
    let mut kept = publish("r/1/zz", "kept", 1, 1);
    kept[0] |= 1;
    sender.send(&kept).await;
    bench.confirm(1).await;
    sender.expect(&[0x40, 2, 0, 1]).await;
    let packet = |type_and_flags: u8, filters: &[&str], qos: &[u8]| {
        let mut body = vec![0, 9];
        for filter in filters {
            body.extend([0, filter.len() as u8]);
            body.extend_from_slice(filter.as_bytes());
            body.extend_from_slice(qos);
        }
        [vec![type_and_flags, body.len() as u8], body].concat()
    };
    let mut raw = bench.connected("c", 0).await;
    raw.send(&packet(0x82, &["r/+/zz"; 3], &[0])).await;
    raw.expect(&[0x90, 5, 0, 9, 0, 0, 0]).await;
    let mut once = publish("r/1/zz", "kept", 0, 0);
    once[0] |= 1;
    raw.expect(&once).await;
    raw.expect_nothing().await;
    raw.send(&packet(0x82, &["a", "b", "c"], &[0])).await;
    raw.expect(&[0x90, 5, 0, 9, 0, 0, 0x80]).await;
    for too_many in [
        packet(0x82, &["r/+/zz"; 4], &[0]),
        packet(0xa2, &["r/+/zz"; 4], &[]),
    ] {
        let before = bench.endpoint.stats();
        let mut raw = bench.connected("c", 0).await;
        raw.send(&too_many).await;
        assert_eq!(raw.rest().await, NOTHING);
        let reason = CloseReason::ProtocolViolation;
        until(|| bench.endpoint.stats().closed_for(reason) > before.closed_for(reason)).await;
    }
}

#[tokio::test]
async fn connections_are_bounded() {
    let limits = EndpointLimits {
        connections: 1,
        ..EndpointLimits::default()
    };
    let bench = Bench::with(limits).await;
    let _one = bench.connected("one", 0).await;
    let mut two = bench.raw().await;
    two.send(&connect("two", 0)).await;
    assert_eq!(two.rest().await, NOTHING);
    assert_eq!(bench.endpoint.stats().connections_refused, 1);
}

#[tokio::test]
async fn unacknowledged_messages_stop_the_reading() {
    let limits = EndpointLimits {
        unacknowledged_messages: 2,
        ..EndpointLimits::default()
    };
    let mut bench = Bench::with(limits).await;
    let mut raw = bench.connected("c", 0).await;
    let packets: Vec<u8> = (1..=5).flat_map(|id| publish("a", "x", 1, id)).collect();
    raw.send(&packets).await;
    let (first, receipt) = bench.delivery().await;
    assert_eq!(first.len(), 2);
    // The rest waits in the connection; a ping behind it is not even read.
    raw.send(&[0xc0, 0]).await;
    assert_eq!(bench.endpoint.stats().messages_in, 2);
    receipt.confirm();
    raw.expect(&[0x40, 2, 0, 1, 0x40, 2, 0, 2]).await;
    assert_eq!(bench.confirm(3).await.len(), 3);
    raw.expect(&[0x40, 2, 0, 3, 0x40, 2, 0, 4]).await;
}

#[tokio::test]
async fn subscriptions_are_bounded() {
    let limits = EndpointLimits {
        subscriptions: 2,
        topic_bytes: 10,
        ..EndpointLimits::default()
    };
    let bench = Bench::with(limits).await;
    let mut raw = bench.connected("c", 0).await;
    for (filter, qos, answer) in [
        ("a", 2, 2),
        ("12345678901", 0, 0x80),
        ("$share/g/a", 1, 1),
        ("b", 0, 0x80),
        ("c", 0, 0x80),
        ("a", 0, 0),
    ] {
        raw.send(&subscribe(filter, qos)).await;
        raw.expect(&[0x90, 3, 0, 9, answer]).await;
    }
    raw.send(&[0xa2, 5, 0, 3, 0, 1, b'a']).await;
    raw.expect(&[0xb0, 2, 0, 3]).await;
    raw.send(&subscribe("$share/g", 1)).await;
    assert_eq!(raw.rest().await, NOTHING, "not a legal filter");
    let mut raw = bench.connected("d", 0).await;
    raw.send(&subscribe("c", 1)).await;
    raw.expect(&[0x90, 3, 0, 9, 1]).await;
}

/// On one thread, where whoever does not let others go on stops everybody.
#[tokio::test]
async fn a_large_subscription_holds_nobody_up() {
    const RETAINED: u16 = 2_000;
    let mut bench = Bench::start().await;
    let mut sender = bench.connected("sender", 0).await;
    let mut packets = Vec::new();
    for number in 1..=RETAINED {
        let mut packet = publish(&format!("r/{number}/aa"), "x", 1, number);
        packet[0] |= 1;
        packets.extend(packet);
    }
    sender.send(&packets).await;
    bench.confirm(RETAINED.into()).await;
    let mut acknowledged = vec![0; 4 * usize::from(RETAINED)];
    within(sender.0.read_exact(&mut acknowledged))
        .await
        .unwrap();
    let mut body = vec![0, 9];
    for number in 0..900 {
        let filter = format!("r/+/zz{number:03}");
        body.extend([0, filter.len() as u8]);
        body.extend_from_slice(filter.as_bytes());
        body.push(0);
    }
    let length = [body.len() as u8 & 0x7f | 0x80, (body.len() >> 7) as u8];
    let packet = [&[0x82], &length[..], &body].concat();
    let mut large = bench.connected("large", 0).await;
    let mut other = bench.connected("other", 0).await;
    large.send(&packet).await;
    let answer = {
        let remaining = [0x86, 7]; // 902
        [&[0x90], &remaining[..], &[0, 9], &[0; 900]].concat()
    };
    large.expect(&answer).await;
    let mut pings = 0;
    let through = async {
        large.expect_nothing().await;
    };
    let pinging = async {
        loop {
            other.expect_nothing().await;
            pings += 1;
        }
    };
    tokio::select! {
        () = through => {}
        () = pinging => {}
    }
    assert!(pings >= 3, "{pings} pings answered meanwhile");
}

#[tokio::test]
async fn a_password_is_asked_of_everybody() {
    let (intake, _deliveries) = mpsc::channel(4);
    let config = EndpointConfig {
        password: Some("sesame".into()),
        ..here()
    };
    assert!(!format!("{config:?}").contains("sesame"));
    let endpoint = Endpoint::start(config, intake, Arc::new(RealClock))
        .await
        .unwrap();
    for (password, answer) in [
        (None, 4),
        (Some("sesam"), 4),
        (Some("sesamf"), 4),
        (Some(""), 4),
        (Some("sesame"), 0),
    ] {
        let mut packet = connect("c", 0);
        if let Some(password) = password {
            packet[9] |= 0xc0;
            packet.extend_from_slice(&[0, 1, b'u', 0, password.len() as u8]);
            packet.extend_from_slice(password.as_bytes());
            packet[1] = packet.len() as u8 - 2;
        }
        let mut raw = Raw(TcpStream::connect(endpoint.local_addr()).await.unwrap());
        raw.send(&packet).await;
        raw.expect(&[0x20, 2, 0, answer]).await;
    }
    assert_eq!(endpoint.stats().closed_for(CloseReason::Refused), 4);
}

#[tokio::test]
async fn a_taken_port_is_told() {
    let bench = Bench::start().await;
    let (intake, _deliveries) = mpsc::channel(1);
    let config = EndpointConfig::new(bench.endpoint.local_addr());
    let error = Endpoint::start(config, intake, Arc::new(RealClock))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&bench.endpoint.local_addr().to_string())
    );
}

#[tokio::test]
async fn a_shutdown_acknowledges_what_becomes_durable() {
    let mut bench = Bench::start().await;
    let mut raw = bench.connected("c", 0).await;
    raw.send(&publish("a", "1", 1, 1)).await;
    let (_, receipt) = bench.delivery().await;
    let address = bench.endpoint.local_addr();
    let stopping = tokio::spawn(async move { bench.endpoint.shutdown().await });
    // Once nobody is accepted any more, the endpoint waits for the receipt alone.
    within(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    assert!(!stopping.is_finished());
    receipt.confirm();
    within(stopping).await.unwrap();
    assert_eq!(raw.rest().await, [0x40, 2, 0, 1]);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_forever() {
    let limits = EndpointLimits {
        shutdown_timeout: Duration::from_millis(50),
        ..EndpointLimits::default()
    };
    let mut bench = Bench::with(limits).await;
    let mut raw = bench.connected("c", 0).await;
    raw.send(&publish("a", "1", 1, 1)).await;
    let (_, _receipt) = bench.delivery().await;
    within(bench.endpoint.shutdown()).await;
    assert_eq!(raw.rest().await, NOTHING);
}

#[tokio::test]
async fn a_stopped_pipeline_closes_the_connections() {
    let mut bench = Bench::start().await;
    let mut raw = bench.connected("c", 0).await;
    bench.deliveries.close();
    raw.send(&publish("a", "1", 1, 1)).await;
    assert_eq!(raw.rest().await, NOTHING);
    bench.closed_for(CloseReason::PipelineStopped).await;
}
