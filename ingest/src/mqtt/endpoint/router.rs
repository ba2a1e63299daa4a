//! The way of a message to its subscribers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::log::Batch;
use super::log::record::{self, Record};
use super::log_rate::LogRate;
use super::message::{Message, wall_ms};
use super::retained::{Retained, RetainedFull};
use super::route_cache::RouteCache;
use super::session::{Common, Grant, Session};
use super::stats::add;
use super::subscriptions::{Subscription, SubscriptionTree, Targets, merge};
use crate::clock::process_now;
use crate::mqtt::topic;

/// Branches of the tree looked at, subscribers and so on after which a task lets others go on:
/// about a millisecond.
pub(crate) const TURN_WORK: usize = 2_000;

/// The subscriptions of all clients and the retained messages.
#[derive(Debug)]
pub(crate) struct Router {
    tree: RwLock<SubscriptionTree>,
    /// Filled under the tree's reading lock and cleared under its writing lock.
    routes: Mutex<RouteCache>,
    subscriptions: AtomicUsize,
    retained: Mutex<Retained>,
    retained_full: LogRate,
    common: Arc<Common>,
}

/// What became of a routed message.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Routed {
    /// In the unit of [`TURN_WORK`].
    pub(crate) work: usize,
    /// The ticket of the session log behind which it is safe.
    pub(crate) ticket: u64,
}

impl Router {
    pub(crate) fn new(common: Arc<Common>, retained: Retained) -> Self {
        Self {
            tree: RwLock::default(),
            routes: Mutex::default(),
            subscriptions: AtomicUsize::new(0),
            retained: Mutex::new(retained),
            retained_full: LogRate::default(),
            common,
        }
    }

    /// Whether anybody subscribed to anything.
    #[inline]
    pub(crate) fn has_subscribers(&self) -> bool {
        self.subscriptions.load(Ordering::Acquire) > 0
    }

    /// Adds a subscription; a checked filter.
    pub(crate) fn subscribe(&self, filter: &str, subscription: Subscription) {
        let (share, filter) = split(filter);
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        tree.insert(filter, share, subscription);
        self.routes().clear();
        self.subscriptions.store(tree.len(), Ordering::Release);
    }

    /// Removes a subscription.
    pub(crate) fn unsubscribe(&self, filter: &str, session: u64) {
        let (share, filter) = split(filter);
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        tree.remove(filter, share, session);
        self.routes().clear();
        self.subscriptions.store(tree.len(), Ordering::Release);
    }

    /// At most `most` retained messages, of the topics that follow `last` in their order.
    pub(crate) fn retained_after(&self, last: Option<&[u8]>, most: usize) -> Vec<Arc<Message>> {
        self.retained().following(last, most)
    }

    /// Sends an accepted message to everybody who subscribed, and keeps it when it asks for that.
    ///
    /// `from` is the session that it came from; `arrived` its packet id at quality of service 2,
    /// which is remembered together with the routing, or 0.
    pub(crate) fn route(&self, message: &Message, from: Option<&Session>, arrived: u16) -> Routed {
        let mut work = 1;
        let targets = match std::str::from_utf8(&message.topic) {
            Ok(name) if self.has_subscribers() => Some(self.targets(name, &mut work)),
            _ => None,
        };
        let empty = Targets::default();
        let targets = targets.as_deref().unwrap_or(&empty);
        // Whoever waits for a turn is chosen once, before it is known who needs the log.
        let chosen: Vec<Subscription> = targets.groups.iter().filter_map(|g| g.pick()).collect();
        let is_logged = |session: &Session, qos: u8| session.logs(qos.min(message.qos));
        let logged = message.retain
            || (arrived != 0 && from.is_some_and(Session::is_logged))
            || targets
                .direct
                .iter()
                .any(|one| is_logged(&one.session, one.grant.qos))
            || chosen
                .iter()
                .any(|one| is_logged(&one.session, one.options.qos));
        let mut batch = (logged && self.common.log.is_kept()).then(|| self.common.log.begin());
        let mut copy: Option<Arc<Message>> = None;
        let copied = |copy: &mut Option<Arc<Message>>| -> Arc<Message> {
            copy.get_or_insert_with(|| message.compact()).clone()
        };
        if message.retain {
            self.keep(copied(&mut copy), batch.as_mut());
        }
        for target in &targets.direct {
            let own = from.is_some_and(|from| from.number == target.session.number);
            let grant = if own {
                target.own.as_ref()
            } else {
                Some(&target.grant)
            };
            let Some(grant) = grant else { continue };
            let retain = message.retain && grant.retain_as_published;
            let message = copied(&mut copy);
            target
                .session
                .offer(&message, grant, retain, batch.as_mut());
            work += 1;
        }
        for member in &chosen {
            let Some(grant) = merge(std::iter::once(member)) else {
                continue;
            };
            let retain = message.retain && grant.retain_as_published;
            let message = copied(&mut copy);
            member
                .session
                .offer(&message, &grant, retain, batch.as_mut());
            work += 1;
        }
        if arrived != 0
            && let Some(from) = from
        {
            from.has_arrived(arrived, batch.as_mut());
        }
        Routed {
            work,
            ticket: batch.map_or(0, Batch::end),
        }
    }

    /// Keeps or removes the message of its topic.
    fn keep(&self, message: Arc<Message>, batch: Option<&mut Batch<'_>>) {
        let mut retained = self.retained();
        let had_one = retained.has(&message.topic);
        let kept = retained.keep(message.clone(), &self.common.limits, wall_ms());
        drop(retained);
        if let Some(batch) = batch {
            if kept.is_ok() && !message.payload.is_empty() {
                batch.put_with(|out| record::put_retained(out, &message));
            } else if had_one {
                batch.put(&Record::Forgotten {
                    topic: message.topic.clone(),
                });
            }
        }
        if kept == Err(RetainedFull) {
            add(&self.common.counters.dropped_retained, 1);
            if let Some(left_out) = self.retained_full.admit(process_now()) {
                tracing::warn!(
                    topic = %String::from_utf8_lossy(&message.topic),
                    left_out,
                    "retained message not kept: the endpoint holds as many as it may"
                );
            }
        }
    }

    /// Sends the retained message of a topic, if it still has one, to one new subscriber.
    pub(crate) fn offer_retained(&self, session: &Session, topic: &[u8], grant: &Grant) {
        let mut batch = session.logs(grant.qos).then(|| self.common.log.begin());
        // Under its lock: a newer one is kept before it is sent to anybody, so that the subscriber
        // never gets this one behind it.
        let retained = self.retained();
        if let Some(message) = retained.get(topic) {
            session.offer(message, grant, true, batch.as_mut());
        }
    }

    /// Forgets a retained message whose life is over; after a restart it is seen to be over again.
    pub(crate) fn forget_expired(&self, message: &Arc<Message>) {
        self.retained().forget_exactly(message);
    }

    /// Writes all retained messages through `put`, some at a time.
    pub(crate) fn dump(&self, put: &mut dyn FnMut(&[u8])) {
        let mut last = None;
        loop {
            let turn = self.retained_after(last.as_deref(), 64);
            let Some(newest) = turn.last() else { return };
            last = Some(newest.topic.clone());
            let mut records = Vec::new();
            for message in &turn {
                record::put_retained(&mut records, message);
            }
            put(&records);
        }
    }

    fn targets(&self, name: &str, work: &mut usize) -> Arc<Targets> {
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.routes().get(name.as_bytes()) {
            return known;
        }
        let found = Arc::new(tree.matching(name, work));
        self.routes().put(name.as_bytes(), &found);
        found
    }

    fn routes(&self) -> MutexGuard<'_, RouteCache> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retained(&self) -> MutexGuard<'_, Retained> {
        self.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The group and the filter of a subscription; a checked filter.
fn split(filter: &str) -> (Option<&str>, &str) {
    match topic::shared(filter) {
        Ok(Some((name, inner))) => (Some(name), inner),
        _ => (None, filter),
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::message;
    use super::super::outbox::tests::outbox;
    use super::super::session::Sender;
    use super::super::session::tests::{common, session};
    use super::super::subscriptions::tests::subscription;
    use super::*;
    use crate::mqtt::frame::Version;

    #[test]
    fn a_new_subscriber_never_gets_the_older_retained_message_last() {
        let router = Router::new(common(), Retained::default());
        let retained = |payload| Message {
            retain: true,
            ..message("state", payload, 0)
        };
        let session = session(1, 0);
        session.link(&outbox());
        let taken = || {
            let mut out = Vec::new();
            let mut sender = Sender::new(Version::V4, 1, usize::MAX, 0);
            session.take(&mut out, &mut sender, u64::MAX);
            out.last().copied()
        };
        router.route(&retained("1"), None, 0);
        let looked_up = router.retained_after(None, 9);
        router.route(&retained("2"), None, 0);
        for message in &looked_up {
            router.offer_retained(&session, &message.topic, &Grant::default());
        }
        assert_eq!(taken(), Some(b'2'));
        router.route(&retained(""), None, 0);
        router.offer_retained(&session, b"state", &Grant::default());
        assert_eq!(taken(), None);
    }

    #[test]
    fn a_repeated_topic_is_not_looked_up_again_until_a_subscription_changes() {
        let router = Router::new(common(), Retained::default());
        for number in 0..256_u32 {
            let level = |bit: u32| if number >> bit & 1 == 1 { "+" } else { "a" };
            let levels: Vec<&str> = (0..8).map(level).collect();
            router.subscribe(&levels.join("/"), subscription(1, 0));
        }
        let message = message("a/a/a/a/a/a/a/a", "", 0);
        let work = || router.route(&message, None, 0).work;
        let first = work();
        assert!(first > 500, "{first}");
        assert_eq!(work(), 2, "known");
        router.subscribe("#", subscription(2, 0));
        assert!(work() > 500);
        assert_eq!(work(), 3);
        router.unsubscribe("#", 2);
        assert!(work() > 500);
        assert_eq!(work(), 2);
    }
}
