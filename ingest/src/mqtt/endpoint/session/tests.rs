use super::super::message::message;
use super::super::outbox::tests::outbox;
use super::*;
use crate::mqtt::frame::Version;

pub(crate) fn common_with(limits: EndpointLimits) -> Arc<Common> {
    Arc::new(Common {
        limits: Arc::new(limits),
        counters: Arc::default(),
        log: Log::none(),
        queued_bytes: AtomicUsize::new(0),
        subscribed_bytes: AtomicUsize::new(0),
    })
}

pub(crate) fn common() -> Arc<Common> {
    common_with(EndpointLimits::default())
}

/// A session that outlives its connection by `expiry` seconds.
pub(crate) fn session(number: u64, expiry: u32) -> Arc<Session> {
    session_with(number, expiry, common())
}

fn session_with(number: u64, expiry: u32, common: Arc<Common>) -> Arc<Session> {
    let client_id = format!("c{number}");
    Arc::new(Session::new(number, client_id, None, expiry, common))
}

fn sender(window: usize) -> Sender {
    Sender::new(Version::V4, window, usize::MAX, 0)
}

fn offer(session: &Session, payload: &'static str, qos: u8) {
    let grant = Grant {
        qos,
        ..Grant::default()
    };
    session.offer(&Arc::new(message("t", payload, qos)), &grant, false, None);
}

fn take(session: &Session, sender: &mut Sender) -> Vec<u8> {
    let mut out = Vec::new();
    session.take(&mut out, sender, u64::MAX);
    out
}

/// A PUBLISH of one letter, 3.1.1.
fn publish(first: u8, id: u8, payload: u8) -> Vec<u8> {
    vec![first, 6, 0, 1, b't', 0, id, payload]
}

#[test]
fn the_window_holds_back_what_is_not_acknowledged() {
    let session = session(1, 0);
    session.link(&outbox());
    let mut sender = sender(2);
    for payload in ["a", "b", "c"] {
        offer(&session, payload, 1);
    }
    let both = [publish(0x32, 1, b'a'), publish(0x32, 2, b'b')].concat();
    assert_eq!(take(&session, &mut sender), both);
    assert!(take(&session, &mut sender).is_empty());
    assert!(!session.acknowledged(9));
    assert!(take(&session, &mut sender).is_empty());
    assert!(session.acknowledged(1));
    assert_eq!(take(&session, &mut sender), publish(0x32, 3, b'c'));
}

#[test]
fn quality_2_goes_out_in_four_steps() {
    let session = session(1, 0);
    session.link(&outbox());
    let mut sender = sender(1);
    offer(&session, "a", 2);
    offer(&session, "b", 2);
    assert_eq!(take(&session, &mut sender), publish(0x34, 1, b'a'));
    assert!(!session.acknowledged(1), "a PUBACK is not for it");
    assert!(!session.completed(1), "not before it was received");
    assert_eq!(session.received(1), Some(0));
    assert_eq!(session.received(1), Some(0), "a repetition");
    assert!(take(&session, &mut sender).is_empty());
    assert!(session.completed(1));
    assert_eq!(session.received(1), None);
    assert_eq!(take(&session, &mut sender), publish(0x34, 2, b'b'));
    assert!(session.rejected(2));
}

#[test]
fn what_was_not_finished_comes_again_in_order_and_marked() {
    let session = session(1, 60);
    session.link(&outbox());
    let mut first = sender(9);
    for (payload, qos) in [("a", 1), ("b", 2), ("c", 2), ("d", 0), ("e", 1)] {
        offer(&session, payload, qos);
    }
    take(&session, &mut first);
    session.received(2);
    offer(&session, "f", 0);
    assert!(matches!(session.leave(None, None), Left::Stays));
    offer(&session, "g", 0);
    offer(&session, "h", 1);
    assert!(session.resume(&outbox(), 60));
    let again = [
        publish(0x3a, 1, b'a'),
        vec![0x62, 2, 0, 2],
        publish(0x3c, 3, b'c'),
        publish(0x3a, 4, b'e'),
        publish(0x32, 5, b'h'),
    ]
    .concat();
    assert_eq!(take(&session, &mut sender(9)), again);
    assert!(!session.resume(&outbox(), 60), "it has a connection");
}

#[test]
fn a_full_queue_drops_quality_0_and_closes_who_was_promised_more() {
    let limits = || EndpointLimits {
        outgoing_messages: 1,
        ..EndpointLimits::default()
    };
    let common = common_with(limits());
    let session = session_with(1, 0, common.clone());
    let link = outbox();
    session.link(&link);
    offer(&session, "a", 0);
    offer(&session, "b", 0);
    assert_eq!(common.counters.snapshot().dropped_queue_full, 1);
    assert_eq!(link.closing(), None);
    offer(&session, "c", 1);
    assert_eq!(link.closing(), Some(CloseReason::SlowSubscriber));
    // Closing would not help a session that stays.
    let lasting = session_with(2, 60, common.clone());
    let link = outbox();
    lasting.link(&link);
    offer(&lasting, "a", 1);
    offer(&lasting, "b", 1);
    assert_eq!(link.closing(), None);
    assert_eq!(common.counters.snapshot().dropped_queue_full, 2);
    // All sessions together have a limit, too, and give back what they took.
    let tight = common_with(EndpointLimits {
        // Two letters, and what an entry takes.
        all_outgoing_bytes: 131,
        ..EndpointLimits::default()
    });
    let [one, other] = [1, 2].map(|number| session_with(number, 60, tight.clone()));
    offer(&one, "a", 1);
    offer(&other, "b", 1);
    assert_eq!(tight.counters.snapshot().dropped_queue_full, 1);
    one.end(None);
    assert_eq!(tight.queued_bytes.load(Ordering::Relaxed), 0);
    offer(&other, "b", 1);
    assert_eq!(tight.queued_bytes.load(Ordering::Relaxed), 130);
}

#[test]
fn subscriptions_of_all_sessions_have_a_limit_of_bytes() {
    let common = common_with(EndpointLimits {
        all_subscription_bytes: 2_100,
        ..EndpointLimits::default()
    });
    let taken = || common.subscribed_bytes.load(Ordering::Relaxed);
    let [one, other] = [1, 2].map(|number| session_with(number, 60, common.clone()));
    let subscribe = |session: &Session, filter: &str| {
        let room = session.has_room_for(filter);
        if room {
            let mut batch = common.log.begin();
            session.subscribe(filter, Options::default(), 0, &mut batch);
        }
        room
    };
    assert!(subscribe(&one, "a/b"));
    assert_eq!(taken(), 2 * 512 + 6);
    assert!(subscribe(&one, "a/b"), "the same again");
    assert_eq!(taken(), 2 * 512 + 6);
    assert!(subscribe(&other, "a/+"));
    assert!(!subscribe(&other, "b"));
    assert!(!subscribe(&one, "b"));
    assert!(other.unsubscribe("a/+", &mut common.log.begin()));
    assert!(subscribe(&one, "b"));
    one.end(None);
    assert_eq!(taken(), 0);
}

#[test]
fn what_is_over_makes_room_in_a_full_queue() {
    let common = common_with(EndpointLimits {
        outgoing_messages: 2,
        ..EndpointLimits::default()
    });
    let session = session_with(1, 60, common.clone());
    let waiting = |session: &Session| {
        let inner = session.lock();
        let queue = inner.queue.iter();
        let payloads: Vec<u8> = queue.map(|entry| entry.message.payload[0]).collect();
        (
            String::from_utf8(payloads).unwrap(),
            inner.bytes,
            inner.ids.len(),
        )
    };
    let offer_until = |payload, end| {
        let mut message = message("t", payload, 1);
        message.expires_at = end;
        let grant = Grant {
            qos: 1,
            ..Grant::default()
        };
        session.offer(&Arc::new(message), &grant, false, None);
    };
    let two = 2 * Entry::bytes_of(&message("t", "a", 1));
    offer_until("a", Some(wall_ms()));
    offer_until("b", Some(wall_ms() + 60_000));
    offer_until("c", None);
    assert_eq!(waiting(&session), ("bc".to_owned(), two, 2));
    assert_eq!(common.counters.snapshot().dropped_undeliverable, 1);
    offer_until("d", None);
    assert_eq!(waiting(&session), ("bc".to_owned(), two, 2));
    assert_eq!(common.counters.snapshot().dropped_queue_full, 1);
    assert_eq!(common.queued_bytes.load(Ordering::Relaxed), two);
}

#[test]
fn packet_ids_go_around_and_skip_those_in_use() {
    let session = session(1, 0);
    let mut inner = session.lock();
    inner.last_id = u16::MAX - 1;
    inner.ids.insert(1);
    assert_eq!(inner.free_id(), u16::MAX);
    assert_eq!(inner.free_id(), 2);
}

#[test]
fn a_message_of_quality_2_comes_in_once() {
    let session = session(1, 60);
    session.link(&outbox());
    assert!(session.arrives(7));
    assert!(!session.arrives(7), "on its way");
    // It was never durable: the client sends it again.
    session.leave(None, None);
    assert!(session.resume(&outbox(), 60));
    assert!(session.arrives(7));
    session.has_arrived(7, None);
    session.leave(None, None);
    assert!(!session.arrives(7), "durable");
    assert_eq!(session.release(7), (true, 0));
    assert_eq!(session.release(7), (false, 0));
    assert!(session.arrives(7), "another one");
}

#[test]
fn mqtt_5_is_told_what_is_left_and_aliases_save_the_topic() {
    let session = session(1, 0);
    session.link(&outbox());
    let grant = Grant {
        qos: 0,
        retain_as_published: false,
        identifiers: Some([5, 200].into()),
    };
    let mut sender = Sender::new(Version::V5, 9, 40, 1);
    let long = "x".repeat(40).leak();
    for (topic, payload) in [("t", "a"), ("u", "b"), ("t", "c"), ("t", long)] {
        let message = Arc::new(message(topic, payload, 0));
        session.offer(&message, &grant, false, None);
    }
    let mut expiring = message("t", "d", 0);
    expiring.expires_at = Some(wall_ms() + 60_000);
    let mut over = message("t", "e", 0);
    over.expires_at = Some(wall_ms());
    for message in [expiring, over] {
        session.offer(&Arc::new(message), &Grant::default(), false, None);
    }
    let expected = [
        &[
            0x30, 13, 0, 1, b't', 8, 0x23, 0, 1, 0x0b, 5, 0x0b, 0xc8, 1, b'a',
        ][..],
        &[0x30, 10, 0, 1, b'u', 5, 0x0b, 5, 0x0b, 0xc8, 1, b'b'],
        &[0x30, 12, 0, 0, 8, 0x23, 0, 1, 0x0b, 5, 0x0b, 0xc8, 1, b'c'],
        &[0x30, 12, 0, 0, 8, 2, 0, 0, 0, 60, 0x23, 0, 1, b'd'],
    ]
    .concat();
    assert_eq!(take(&session, &mut sender), expected);
    let counters = &session.common.counters;
    assert_eq!(counters.snapshot().dropped_undeliverable, 2);
}

#[test]
fn it_ends_when_its_time_is_over_and_its_will_waits_with_it() {
    let will = |delay| {
        Box::new(Will {
            topic: "w".into(),
            payload: bytes::Bytes::new(),
            qos: 0,
            retain: false,
            delay,
            expiry: None,
            properties: bytes::Bytes::new(),
        })
    };
    let now = wall_ms();
    let session = session(1, 60);
    session.link(&outbox());
    session.leave(None, Some(will(5)));
    assert!(!session.is_due(now + 50_000) && session.is_due(now + 70_000));
    assert!(session.due_will(now + 1_000).is_none());
    assert!(session.due_will(now + 10_000).is_some());
    assert!(session.due_will(now + 10_000).is_none(), "once");
    // Who comes back in time takes its will along.
    assert!(session.resume(&outbox(), 60));
    session.leave(Some(10), Some(will(5)));
    assert!(session.is_due(now + 20_000), "the goodbye changed its end");
    assert!(session.resume(&outbox(), 60) && session.due_will(u64::MAX).is_none());
    assert!(matches!(session.leave(Some(0), None), Left::Ends));
    assert!(matches!(
        session_with(2, 0, common()).leave(None, None),
        Left::Ends
    ));
}
