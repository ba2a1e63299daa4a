//! Who is connected, and the way of a message to its subscribers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;

use super::EndpointLimits;
use super::log_rate::LogRate;
use super::outbox::{Outbox, Outgoing};
use super::retained::{Retained, RetainedFull};
use super::route_cache::RouteCache;
use super::stats::{CloseReason, Counters, add};
use super::subscriptions::{Subscription, SubscriptionTree};
use crate::clock::process_now;

/// Branches of the tree looked at, subscribers and so on after which a task lets others go on:
/// about a millisecond.
pub(crate) const TURN_WORK: usize = 2_000;

/// A message on its way to subscribers. Topic and payload share the receive buffer.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// A checked topic name.
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
    /// 0, 1 or 2.
    pub(crate) qos: u8,
    pub(crate) retain: bool,
}

/// The connected clients, their subscriptions and the retained messages.
#[derive(Debug)]
pub(crate) struct Router {
    clients: Mutex<HashMap<String, (u64, Arc<Outbox>)>>,
    tree: RwLock<SubscriptionTree>,
    /// Filled under the tree's reading lock and cleared under its writing lock.
    routes: Mutex<RouteCache>,
    subscriptions: AtomicUsize,
    retained: Mutex<Retained>,
    retained_full: LogRate,
    next_client: AtomicU64,
    limits: Arc<EndpointLimits>,
    counters: Arc<Counters>,
}

impl Router {
    pub(crate) fn new(limits: Arc<EndpointLimits>, counters: Arc<Counters>) -> Self {
        Self {
            clients: Mutex::default(),
            tree: RwLock::default(),
            routes: Mutex::default(),
            subscriptions: AtomicUsize::new(0),
            retained: Mutex::default(),
            retained_full: LogRate::default(),
            next_client: AtomicU64::new(1),
            limits,
            counters,
        }
    }

    /// Enters a client; an older connection with the same id is closed.
    ///
    /// Returns the connection's number and the id that it goes by: its own, or a made one when
    /// that is empty.
    pub(crate) fn enter(&self, client_id: &str, outbox: &Arc<Outbox>) -> (u64, String) {
        let client = self.next_client.fetch_add(1, Ordering::Relaxed);
        let client_id = match client_id {
            "" => format!("anonymous-{client}"),
            id => id.to_owned(),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, old)) = clients.insert(client_id.clone(), (client, outbox.clone())) {
            old.close(CloseReason::TakenOver);
        }
        (client, client_id)
    }

    /// Forgets a client and its subscriptions.
    pub(crate) fn leave<'a>(
        &self,
        client: u64,
        client_id: &str,
        filters: impl Iterator<Item = &'a str>,
    ) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients
            .get(client_id)
            .is_some_and(|(known, _)| *known == client)
        {
            clients.remove(client_id);
        }
        drop(clients);
        for filter in filters {
            self.unsubscribe(filter, client);
        }
    }

    /// Whether anybody subscribed to anything.
    #[inline]
    pub(crate) fn has_subscribers(&self) -> bool {
        self.subscriptions.load(Ordering::Acquire) > 0
    }

    /// Adds a subscription.
    pub(crate) fn subscribe(&self, filter: &str, subscription: Subscription) {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        tree.insert(filter, subscription);
        self.routes().clear();
        self.subscriptions.store(tree.len(), Ordering::Release);
    }

    /// At most `most` retained messages, of the topics that follow `last` in their order.
    pub(crate) fn retained_after(&self, last: Option<&[u8]>, most: usize) -> Vec<Message> {
        let retained = self.retained.lock().unwrap_or_else(PoisonError::into_inner);
        retained.following(last, most)
    }

    /// Removes a subscription.
    pub(crate) fn unsubscribe(&self, filter: &str, client: u64) {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        tree.remove(filter, client);
        self.routes().clear();
        self.subscriptions.store(tree.len(), Ordering::Release);
    }

    /// Sends an accepted message to everybody who subscribed, and keeps it when it asks for that.
    ///
    /// Returns what that took, in the unit of [`TURN_WORK`].
    pub(crate) fn route(&self, message: &Message) -> usize {
        let Ok(name) = std::str::from_utf8(&message.topic) else {
            return 1;
        };
        if message.retain {
            self.keep(name, message);
        }
        if !self.has_subscribers() {
            return 1;
        }
        let mut work = 1;
        let mut packets: [Option<Outgoing>; 2] = [None, None];
        for subscriber in &*self.subscribers(name, &mut work) {
            let qos = subscriber.qos.min(message.qos).min(1);
            let packet = packets[usize::from(qos)]
                .get_or_insert_with(|| Outgoing::new(message, qos, false))
                .clone();
            subscriber.outbox.offer(packet);
            work += 1;
        }
        work
    }

    fn keep(&self, name: &str, message: &Message) {
        let mut retained = self.retained.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = retained.keep(name, &message.payload, message.qos.min(1), &self.limits);
        drop(retained);
        if kept == Err(RetainedFull) {
            add(&self.counters.dropped_retained, 1);
            if let Some(left_out) = self.retained_full.admit(process_now()) {
                tracing::warn!(
                    topic = name,
                    left_out,
                    "retained message not kept: the endpoint holds as many as it may"
                );
            }
        }
    }

    fn subscribers(&self, name: &str, work: &mut usize) -> Arc<[Subscription]> {
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.routes().get(name.as_bytes()) {
            return known;
        }
        let found: Arc<[Subscription]> = tree.matching(name, work).into();
        self.routes().put(name.as_bytes(), &found);
        found
    }

    fn routes(&self) -> MutexGuard<'_, RouteCache> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::outbox::tests::outbox;
    use super::*;

    #[test]
    fn a_repeated_topic_is_not_looked_up_again_until_a_subscription_changes() {
        let router = Router::new(Arc::default(), Arc::default());
        let subscription = |client| Subscription {
            client,
            outbox: outbox(),
            qos: 0,
        };
        for number in 0..256_u32 {
            let level = |bit: u32| if number >> bit & 1 == 1 { "+" } else { "a" };
            let levels: Vec<&str> = (0..8).map(level).collect();
            router.subscribe(&levels.join("/"), subscription(1));
        }
        let message = Message {
            topic: Bytes::from_static(b"a/a/a/a/a/a/a/a"),
            payload: Bytes::new(),
            qos: 0,
            retain: false,
        };
        let first = router.route(&message);
        assert!(first > 500, "{first}");
        assert_eq!(router.route(&message), 2, "known");
        router.subscribe("#", subscription(2));
        assert!(router.route(&message) > 500);
        assert_eq!(router.route(&message), 3);
        router.unsubscribe("#", 2);
        assert!(router.route(&message) > 500);
        assert_eq!(router.route(&message), 2);
    }
}
