//! What MQTT 5 adds, and quality of service 2 to subscribers.

use super::*;

/// A CONNECT of MQTT 5 with these properties.
pub(super) fn connect_5(client_id: &str, clean_start: bool, properties: &[u8]) -> Vec<u8> {
    let mut body = vec![
        0,
        4,
        b'M',
        b'Q',
        b'T',
        b'T',
        5,
        u8::from(clean_start) << 1,
        0,
        0,
    ];
    body.push(properties.len() as u8);
    body.extend_from_slice(properties);
    body.extend([0, client_id.len() as u8]);
    body.extend_from_slice(client_id.as_bytes());
    [&[0x10, body.len() as u8], &body[..]].concat()
}

fn publish_5(first: u8, topic: &str, id: u8, properties: &[u8], payload: &str) -> Vec<u8> {
    let mut body = vec![0, topic.len() as u8];
    body.extend_from_slice(topic.as_bytes());
    if first & 6 != 0 {
        body.extend([0, id]);
    }
    body.push(properties.len() as u8);
    body.extend_from_slice(properties);
    body.extend_from_slice(payload.as_bytes());
    [&[first, body.len() as u8], &body[..]].concat()
}

fn subscribe_5(filter: &str, options: u8, properties: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 9, properties.len() as u8];
    body.extend_from_slice(properties);
    body.extend([0, filter.len() as u8]);
    body.extend_from_slice(filter.as_bytes());
    body.push(options);
    [&[0x82, body.len() as u8], &body[..]].concat()
}

impl Raw {
    /// The next packet, whole.
    pub(super) async fn packet(&mut self) -> Vec<u8> {
        let mut head = [0; 2];
        within(self.0.read_exact(&mut head)).await.unwrap();
        assert!(head[1] < 128, "a short packet");
        let mut packet = vec![0; 2 + usize::from(head[1])];
        packet[..2].copy_from_slice(&head);
        within(self.0.read_exact(&mut packet[2..])).await.unwrap();
        packet
    }
}

impl Bench {
    /// A client of MQTT 5 past its CONNECT, and whether its session was there.
    pub(super) async fn connected_5(
        &self,
        client_id: &str,
        clean_start: bool,
        properties: &[u8],
    ) -> (Raw, bool) {
        let mut raw = self.raw().await;
        raw.send(&connect_5(client_id, clean_start, properties))
            .await;
        let connack = raw.packet().await;
        assert_eq!((connack[0], connack[3]), (0x20, 0), "{connack:?}");
        (raw, connack[2] == 1)
    }
}

/// An endpoint where only topics of readings go to the pipeline.
async fn mapped() -> Bench {
    let rules = crate::config::IngestConfig::default().rules;
    Bench::of(EndpointConfig {
        rules: Some(rules),
        limits: EndpointLimits {
            receive_maximum: 2,
            topic_aliases: 2,
            keep_alive_s: 60,
            ..EndpointLimits::default()
        },
        ..here()
    })
    .await
}

#[tokio::test]
async fn the_connack_tells_what_the_endpoint_allows() {
    let bench = mapped().await;
    let mut raw = bench.raw().await;
    raw.send(&connect_5("", true, &[0x11, 0xff, 0xff, 0xff, 0xff]))
        .await;
    let connack = raw.packet().await;
    let has = |bytes: &[u8]| connack.windows(bytes.len()).any(|part| part == bytes);
    assert!(has(&[0x21, 0, 2]), "receive maximum");
    assert!(has(&[0x22, 0, 2]), "topic aliases");
    assert!(has(&[0x13, 0, 60]), "keep-alive");
    assert!(has(&[0x11, 0, 0x27, 0x8d, 0]), "30 days and not for ever");
    assert!(has(b"assigned-"), "a client id");
}

#[tokio::test]
async fn an_unmapped_topic_reaches_its_subscribers_and_no_table() {
    let mut bench = mapped().await;
    let (mut raw, _) = bench.connected_5("c", true, &[]).await;
    raw.send(&subscribe_5("chat/#", 2, &[])).await;
    raw.expect(&[0x90, 4, 0, 9, 0, 2]).await;
    // At quality of service 2, all eight packets.
    raw.send(&publish_5(0x34, "chat/a", 7, &[], "hi")).await;
    let mut got = [raw.packet().await, raw.packet().await];
    got.sort();
    assert_eq!(got[0], publish_5(0x34, "chat/a", 1, &[], "hi"));
    assert_eq!(got[1], [0x50, 2, 0, 7]);
    raw.send(&[0x62, 2, 0, 7, 0x50, 2, 0, 1]).await;
    let mut got = [raw.packet().await, raw.packet().await];
    got.sort();
    assert_eq!(got, [[0x62, 2, 0, 1], [0x70, 2, 0, 7]]);
    raw.send(&[0x70, 2, 0, 1]).await;
    raw.send(&[0x62, 2, 0, 7]).await;
    raw.expect(&[0x70, 3, 0, 7, 0x92]).await;
    assert_eq!(bench.endpoint.stats().unmapped_messages, 1);
    let told = &bench.endpoint.shared.log_rates.unmapped;
    assert!(!told.admit(b"chat/b", process_now()), "it was told");
    assert!(told.admit(b"other", process_now()));
    assert!(bench.deliveries.try_recv().is_err());
    raw.send(&publish_5(0x32, "fieldwright/pump/p1", 8, &[], "{}"))
        .await;
    assert_eq!(bench.confirm(1).await, ["fieldwright/pump/p1={}"]);
    raw.expect(&[0x40, 2, 0, 8]).await;
}

#[tokio::test]
async fn properties_go_on_and_identifiers_come_along() {
    let bench = mapped().await;
    let (mut raw, _) = bench.connected_5("c", true, &[]).await;
    raw.send(&subscribe_5("t", 0b1000, &[0x0b, 5])).await;
    raw.expect(&[0x90, 4, 0, 9, 0, 0]).await;
    let passed = [0x01, 1, 0x26, 0, 1, b'k', 0, 1, b'v', 0x03, 0, 1, b'c'];
    let sent = [&passed[..], &[0x02, 0, 0, 0, 60]].concat();
    raw.send(&publish_5(0x31, "t", 0, &sent, "x")).await;
    let expected = [&passed[..], &[0x02, 0, 0, 0, 60, 0x0b, 5]].concat();
    raw.expect(&publish_5(0x31, "t", 0, &expected, "x")).await;
    // Retained as it was, with what is left of its life.
    raw.send(&subscribe_5("t", 0, &[])).await;
    raw.expect(&[0x90, 4, 0, 9, 0, 0]).await;
    let again = raw.packet().await;
    assert_eq!(again[0], 0x31);
    assert!(again.windows(13).any(|part| part == passed));
}

#[tokio::test]
async fn a_subscriber_may_leave_out_its_own_and_what_is_retained() {
    let bench = mapped().await;
    let (mut sender, _) = bench.connected_5("sender", true, &[]).await;
    sender.send(&publish_5(0x31, "t", 0, &[], "kept")).await;
    sender.expect_nothing().await;
    // No own messages, and retained ones always, when new, never.
    for (handling, first, second) in [(0, true, true), (1, true, false), (2, false, false)] {
        let (mut raw, _) = bench.connected_5("c", true, &[]).await;
        for expected in [first, second] {
            raw.send(&subscribe_5("t", 0b100 | (handling << 4), &[]))
                .await;
            raw.expect(&[0x90, 4, 0, 9, 0, 0]).await;
            if expected {
                raw.expect(&publish_5(0x31, "t", 0, &[], "kept")).await;
            }
            raw.expect_nothing().await;
        }
        raw.send(&publish_5(0x30, "t", 0, &[], "own")).await;
        raw.expect_nothing().await;
        sender.send(&publish_5(0x30, "t", 0, &[], "other")).await;
        raw.expect(&publish_5(0x30, "t", 0, &[], "other")).await;
    }
}

#[tokio::test]
async fn aliases_are_given_used_and_refused() {
    let mut bench = mapped().await;
    let (mut raw, _) = bench.connected_5("c", true, &[0x22, 0, 1]).await;
    raw.send(&subscribe_5("+", 0, &[])).await;
    raw.expect(&[0x90, 4, 0, 9, 0, 0]).await;
    let alias = [0x23, 0, 2];
    raw.send(&publish_5(0x30, "t", 0, &alias, "a")).await;
    raw.send(&publish_5(0x30, "", 0, &alias, "b")).await;
    raw.expect(&publish_5(0x30, "t", 0, &[0x23, 0, 1], "a"))
        .await;
    raw.expect(&publish_5(0x30, "", 0, &[0x23, 0, 1], "b"))
        .await;
    // An alias works for readings as well.
    raw.send(&publish_5(0x30, "fieldwright/pump/p1", 0, &alias, "c"))
        .await;
    raw.send(&publish_5(0x30, "", 0, &alias, "d")).await;
    let both = ["fieldwright/pump/p1=c", "fieldwright/pump/p1=d"];
    assert_eq!(bench.confirm(2).await, both);
    for (topic, alias) in [("t", 0), ("t", 3), ("", 1)] {
        let (mut raw, _) = bench.connected_5("d", true, &[]).await;
        raw.send(&publish_5(0x30, topic, 0, &[0x23, 0, alias], "x"))
            .await;
        assert_eq!(raw.rest().await, [0xe0, 2, 0x94, 0], "{topic} {alias}");
    }
    let (mut raw, _) = bench.connected_5("d", true, &[]).await;
    raw.send(&publish_5(0x30, "", 0, &[], "x")).await;
    assert_eq!(raw.rest().await, [0xe0, 2, 0x82, 0], "no topic at all");
}

#[tokio::test]
async fn more_unacknowledged_messages_than_allowed_end_the_connection() {
    let mut bench = mapped().await;
    let topic = "fieldwright/pump/p1";
    let (mut raw, _) = bench.connected_5("c", true, &[]).await;
    for round in 0..3 {
        raw.send(&publish_5(0x32, topic, 1, &[], "x")).await;
        raw.send(&publish_5(0x34, topic, 2, &[], "y")).await;
        bench.confirm(2).await;
        let mut got = [raw.packet().await, raw.packet().await];
        got.sort();
        assert_eq!(got, [[0x40, 2, 0, 1], [0x50, 2, 0, 2]], "round {round}");
        raw.send(&[0x62, 2, 0, 2]).await;
        raw.expect(&[0x70, 2, 0, 2]).await;
    }
    for id in 1..=3 {
        raw.send(&publish_5(0x34, topic, id, &[], "z")).await;
    }
    bench.confirm(2).await;
    let rest = raw.rest().await;
    assert!(rest.ends_with(&[0xe0, 2, 0x93, 0]), "{rest:?}");
    bench.closed_for(CloseReason::ReceiveMaximum).await;
}

#[tokio::test]
async fn a_client_is_sent_no_more_and_nothing_larger_than_it_takes() {
    let bench = mapped().await;
    // Two at once, packets of 20 bytes.
    let limits = [0x21, 0, 2, 0x27, 0, 0, 0, 20];
    let (mut raw, _) = bench.connected_5("c", true, &limits).await;
    raw.send(&subscribe_5("t", 1, &[])).await;
    raw.expect(&[0x90, 4, 0, 9, 0, 1]).await;
    let (mut sender, _) = bench.connected_5("s", true, &[]).await;
    let long = "x".repeat(20);
    for (id, payload) in [(1, "a"), (2, &long), (3, "b"), (4, "c")] {
        sender.send(&publish_5(0x32, "t", id, &[], payload)).await;
        sender.expect(&[0x40, 2, 0, id]).await;
    }
    raw.expect(&publish_5(0x32, "t", 1, &[], "a")).await;
    raw.expect(&publish_5(0x32, "t", 3, &[], "b")).await;
    raw.expect_nothing().await;
    raw.send(&[0x40, 2, 0, 1]).await;
    raw.expect(&publish_5(0x32, "t", 4, &[], "c")).await;
    assert_eq!(bench.endpoint.stats().dropped_undeliverable, 1);
}

#[tokio::test]
async fn a_shared_subscription_is_served_once() {
    let bench = mapped().await;
    let mut members = Vec::new();
    for name in ["a", "b"] {
        let (mut raw, _) = bench.connected_5(name, true, &[]).await;
        raw.send(&subscribe_5("$share/g/t", 0, &[])).await;
        raw.expect(&[0x90, 4, 0, 9, 0, 0]).await;
        members.push(raw);
    }
    let (mut sender, _) = bench.connected_5("s", true, &[]).await;
    for payload in ["1", "2", "3", "4"] {
        sender.send(&publish_5(0x30, "t", 0, &[], payload)).await;
    }
    sender.expect_nothing().await;
    let mut got = Vec::new();
    for member in &mut members {
        for _ in 0..2 {
            got.push(member.packet().await.pop().unwrap());
        }
        member.expect_nothing().await;
    }
    got.sort_unstable();
    assert_eq!(got, b"1234");
    members[0].send(&[0xa2, 15, 0, 3, 0, 0, 10]).await;
    members[0].send(b"$share/g/t").await;
    members[0].expect(&[0xb0, 4, 0, 3, 0, 0]).await;
    sender.send(&publish_5(0x30, "t", 0, &[], "5")).await;
    assert_eq!(members[1].packet().await.pop(), Some(b'5'));
}

#[tokio::test]
async fn everybody_is_told_why_the_connection_ends() {
    let bench = mapped().await;
    let (mut old, _) = bench.connected_5("c", true, &[]).await;
    let (mut new, _) = bench.connected_5("c", true, &[]).await;
    assert_eq!(old.rest().await, [0xe0, 2, 0x8e, 0], "taken over");
    new.send(&connect_5("c", true, &[])).await;
    assert_eq!(new.rest().await, [0xe0, 2, 0x82, 0], "a second CONNECT");
    let (mut rude, _) = bench.connected_5("c", true, &[]).await;
    rude.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 9]).await;
    assert_eq!(
        rude.rest().await,
        [0xe0, 2, 0x82, 0],
        "no session was asked for"
    );
    let (mut large, _) = bench.connected_5("c", true, &[]).await;
    large.send(&[0x30, 0xff, 0xff, 0xff, 0x7f]).await;
    assert_eq!(large.rest().await, [0xe0, 2, 0x95, 0], "too large");
    let mut method = bench.raw().await;
    method
        .send(&connect_5("c", true, &[0x15, 0, 1, b'm']))
        .await;
    method.expect(&[0x20, 3, 0, 0x8c, 0]).await;
    let (mut last, _) = bench.connected_5("c", true, &[]).await;
    bench.endpoint.shutdown().await;
    assert_eq!(last.rest().await, [0xe0, 2, 0x8b, 0], "shutdown");
}

#[tokio::test]
async fn a_message_of_the_service_goes_to_its_subscribers() {
    let bench = mapped().await;
    let (mut raw, _) = bench.connected_5("c", true, &[]).await;
    raw.send(&subscribe_5("spBv1.0/+/NCMD/#", 1, &[])).await;
    raw.expect(&[0x90, 4, 0, 9, 0, 1]).await;
    let command = |topic: &str| crate::commands::Outgoing {
        topic: topic.into(),
        payload: "rebirth".into(),
        qos: 1,
        retain: false,
    };
    let publisher = bench.endpoint.publisher();
    for topic in ["", "spBv1.0/g/NCMD/n"] {
        publisher.publish(command(topic)).await.unwrap();
    }
    raw.expect(&publish_5(0x32, "spBv1.0/g/NCMD/n", 1, &[], "rebirth"))
        .await;
}
