//! Who is connected, and the way of a message to its subscribers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;

use super::EndpointLimits;
use super::outbox::{Outbox, Outgoing};
use super::retained::{Retained, RetainedFull};
use super::stats::{CloseReason, Counters, add};
use super::subscriptions::{Subscription, SubscriptionTree};

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
    subscriptions: AtomicUsize,
    retained: Mutex<Retained>,
    next_client: AtomicU64,
    limits: Arc<EndpointLimits>,
    counters: Arc<Counters>,
}

impl Router {
    pub(crate) fn new(limits: Arc<EndpointLimits>, counters: Arc<Counters>) -> Self {
        Self {
            clients: Mutex::default(),
            tree: RwLock::default(),
            subscriptions: AtomicUsize::new(0),
            retained: Mutex::default(),
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
        self.subscriptions.store(tree.len(), Ordering::Release);
    }

    /// Sends a new subscriber the retained messages of its filter.
    pub(crate) fn send_retained(&self, filter: &str, qos: u8, outbox: &Outbox) {
        let retained = self.retained.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = retained.matching(filter);
        drop(retained);
        for message in messages {
            let qos = qos.min(message.qos);
            outbox.offer(Outgoing::new(&message, qos, true));
        }
    }

    /// Removes a subscription.
    pub(crate) fn unsubscribe(&self, filter: &str, client: u64) {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        tree.remove(filter, client);
        self.subscriptions.store(tree.len(), Ordering::Release);
    }

    /// Sends an accepted message to everybody who subscribed, and keeps it when it asks for that.
    pub(crate) fn route(&self, message: &Message) {
        let Ok(name) = std::str::from_utf8(&message.topic) else {
            return;
        };
        if message.retain {
            let mut retained = self.retained.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = retained.keep(name, &message.payload, message.qos.min(1), &self.limits);
            if kept == Err(RetainedFull) {
                add(&self.counters.dropped_retained, 1);
                tracing::warn!(
                    topic = name,
                    "retained message not kept: the endpoint holds as many as it may"
                );
            }
        }
        if !self.has_subscribers() {
            return;
        }
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        let subscribers = tree.matching(name);
        drop(tree);
        let mut packets: [Option<Outgoing>; 2] = [None, None];
        for subscriber in subscribers {
            let qos = subscriber.qos.min(message.qos).min(1);
            let packet = packets[usize::from(qos)]
                .get_or_insert_with(|| Outgoing::new(message, qos, false))
                .clone();
            subscriber.outbox.offer(packet);
        }
    }
}
