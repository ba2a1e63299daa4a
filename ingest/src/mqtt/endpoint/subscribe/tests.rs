use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::super::message::Message;
use super::super::outbox::tests::outbox;
use super::super::retained::Retained;
use super::super::session::Sender;
use super::super::session::tests::{common, session};
use super::super::subscriptions::tests::subscription;
use super::*;
use crate::mqtt::frame::Version;

/// A router with this many retained messages on `PREFIX/NUMBER/zz`.
fn router(messages: usize, prefix: &str) -> Router {
    let router = Router::new(common(), Retained::default());
    for number in 0..messages {
        let message = Message {
            topic: Bytes::from(format!("{prefix}/{number}/zz")),
            payload: Bytes::from_static(b"p"),
            properties: Bytes::new(),
            qos: 1,
            retain: true,
            expires_at: None,
        };
        router.route(&message, None, 0);
    }
    router
}

/// Turns until it is done, and bytes sent.
fn turns(router: &Router, filters: impl Iterator<Item = String>) -> (usize, usize) {
    let session = session(1, 0);
    session.link(&outbox());
    let mut asked = SubscriptionTree::default();
    for filter in filters {
        asked.insert(&filter, None, subscription(1, 0));
    }
    let mut turns = 0;
    let mut sending = pin!(send_retained(router, &asked, &session));
    // Outside of a runtime a yield only asks to be polled again.
    let mut context = Context::from_waker(Waker::noop());
    while sending.as_mut().poll(&mut context) == Poll::Pending {
        turns += 1;
    }
    let mut out = Vec::new();
    let mut sender = Sender::new(Version::V4, 10, usize::MAX, 0);
    session.take(&mut out, &mut sender, u64::MAX);
    (turns, out.len())
}

#[test]
fn retained_messages_are_looked_at_once_for_all_filters_and_in_turns() {
    let router = router(640, "r");
    let repeated = || std::iter::repeat_n("r/+/zz".to_owned(), 2_500);
    let (once, sent) = turns(&router, repeated().take(1));
    assert_eq!(once, 10);
    assert_eq!(turns(&router, repeated()), (once, sent), "each once");
    let distinct = (0..500).map(|number| format!("r/+/zz{number}"));
    assert_eq!(turns(&router, distinct), (once, 0));
}

#[test]
fn many_branches_make_shorter_turns() {
    let router = router(64, "a/a/a/a/a/a/a");
    let filters = |wildcards: u32| {
        (0..1_u32 << wildcards).map(|number| {
            let level = |bit: u32| if number >> bit & 1 == 1 { "+" } else { "a" };
            let levels: Vec<&str> = (0..7).map(level).collect();
            format!("{}/+/zz", levels.join("/"))
        })
    };
    let (few, sent) = turns(&router, filters(0));
    assert_eq!(few, 1);
    let (many, same) = turns(&router, filters(7));
    assert!(many >= 8, "{many}");
    assert_eq!(same, sent, "each once");
}
