//! What a client asks to be sent, and what is retained for it.

use super::connection::Closed;
use super::outbox::{Outbox, Outgoing};
use super::reader::{Reader, violation};
use super::router::{Router, TURN_WORK};
use super::subscriptions::{Subscription, SubscriptionTree};
use crate::mqtt::packet;
use crate::mqtt::topic::{self, TopicError};

/// Retained messages that are looked at under one lock.
const RETAINED_TURN: usize = 64;
/// Bytes copied that cost as much as a look at one branch of the tree.
const BYTES_PER_WORK: usize = 256;

impl Reader {
    pub(super) async fn subscribe(&mut self, body: &[u8]) -> Result<(), Closed> {
        self.check_filters(packet::filters_in(body, 1))?;
        let request = packet::subscribe(body)?;
        let mut granted = Vec::with_capacity(request.filters.len());
        // A filter that is repeated counts once: the last one.
        let mut asked = SubscriptionTree::default();
        for (filter, qos) in &request.filters {
            let qos = self.grant(filter, *qos)?;
            if let Some(qos) = qos {
                asked.insert(filter, self.subscription(qos));
            }
            granted.push(qos);
        }
        self.outbox
            .answer(&packet::suback(request.packet_id, &granted));
        send_retained(&self.shared.router, &asked, &self.outbox).await;
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, body: &[u8]) -> Result<(), Closed> {
        self.check_filters(packet::filters_in(body, 0))?;
        let request = packet::unsubscribe(body)?;
        for filter in &request.filters {
            if self.filters.remove(filter).is_some() {
                self.shared.router.unsubscribe(filter, self.client);
            }
        }
        self.outbox.answer(&packet::unsuback(request.packet_id));
        Ok(())
    }

    /// One packet asks for no more than a client may have: what it costs is bounded.
    fn check_filters(&self, filters: usize) -> Result<(), Closed> {
        let most = self.shared.limits.subscriptions;
        if filters > most {
            return Err(violation(format!(
                "one packet has {filters} filters, more than the limit of {most}"
            )));
        }
        Ok(())
    }

    /// Enters one subscription; `None` refuses it.
    fn grant(&mut self, filter: &str, qos: u8) -> Result<Option<u8>, Closed> {
        let limits = &self.shared.limits;
        match topic::check_filter(filter, limits.topic_bytes, limits.topic_levels) {
            Ok(()) => {}
            Err(TopicError::TooLong) => return Ok(None),
            Err(error) => {
                return Err(violation(format!(
                    "the filter {filter:?} is not legal: {error}"
                )));
            }
        }
        let qos = qos.min(1);
        let known = self.filters.get(filter).copied();
        // Shared subscriptions are not spoken here: taken as a plain filter, one would never match.
        let full = known.is_none() && self.filters.len() >= limits.subscriptions;
        if filter.starts_with("$share/") || full {
            return Ok(None);
        }
        if known != Some(qos) {
            self.filters.insert(filter.to_owned(), qos);
            let subscription = self.subscription(qos);
            self.shared.router.subscribe(filter, subscription);
        }
        Ok(Some(qos))
    }

    fn subscription(&self, qos: u8) -> Subscription {
        Subscription {
            client: self.client,
            outbox: self.outbox.clone(),
            qos,
        }
    }
}

/// Sends a subscriber the retained messages that it asked for, each once.
///
/// Every message is looked at once for all filters, some at a time: nobody waits for the lock or
/// the thread longer than one turn takes.
async fn send_retained(router: &Router, asked: &SubscriptionTree, outbox: &Outbox) {
    if asked.len() == 0 {
        return;
    }
    let mut last = None;
    loop {
        let turn = router.retained_after(last.as_deref(), RETAINED_TURN);
        if turn.is_empty() {
            return;
        }
        let mut work = 0;
        for message in turn {
            let name = std::str::from_utf8(&message.topic).unwrap_or_default();
            if let Some(subscription) = asked.matching(name, &mut work).first() {
                let qos = subscription.qos.min(message.qos);
                outbox.offer(Outgoing::new(&message, qos, true));
                work += message.payload.len() / BYTES_PER_WORK;
            }
            last = Some(message.topic);
            // The rest is looked up again: it may have changed by then.
            if work > TURN_WORK {
                break;
            }
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;

    use super::super::EndpointLimits;
    use super::super::outbox::tests::outbox;
    use super::super::router::Message;
    use super::*;

    /// A router with this many retained messages on `PREFIX/NUMBER/zz`.
    fn router(messages: usize, prefix: &str) -> Router {
        let router = Router::new(Arc::new(EndpointLimits::default()), Arc::default());
        for number in 0..messages {
            router.route(&Message {
                topic: Bytes::from(format!("{prefix}/{number}/zz")),
                payload: Bytes::from_static(b"p"),
                qos: 1,
                retain: true,
            });
        }
        router
    }

    /// Turns until it is done, and bytes sent.
    fn turns(router: &Router, filters: impl Iterator<Item = String>) -> (usize, usize) {
        let outbox = outbox();
        let mut asked = SubscriptionTree::default();
        for filter in filters {
            let outbox = outbox.clone();
            let (client, qos) = (1, 0);
            let subscription = Subscription {
                client,
                outbox,
                qos,
            };
            asked.insert(&filter, subscription);
        }
        let mut turns = 0;
        let mut sending = pin!(send_retained(router, &asked, &outbox));
        // Outside of a runtime a yield only asks to be polled again.
        let mut context = Context::from_waker(Waker::noop());
        while sending.as_mut().poll(&mut context) == Poll::Pending {
            turns += 1;
        }
        let (mut out, mut routes) = (Vec::new(), Vec::new());
        outbox.take(&mut out, &mut routes);
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
}
