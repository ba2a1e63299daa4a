//! One client's session: what waits for it, what it has not acknowledged, what it subscribed to.
//!
//! A session may outlive its connection; then messages of quality of service 1 and 2 wait for the
//! client, and everything here that a client relies on is in the session log as well.

mod dump;
mod entry;
mod incoming;
mod outgoing;
mod sender;
#[cfg(test)]
pub(super) mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::EndpointLimits;
use super::log::record::Record;
use super::log::recover::RecoveredSession;
use super::log::{Batch, Log};
use super::message::{expiry, wall_ms};
use super::outbox::Outbox;
use super::stats::{CloseReason, Counters};
use crate::mqtt::frame;
use crate::mqtt::packet::{NEVER, Options, Will};

use entry::{Entry, Stage};
pub(crate) use sender::Sender;

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) limits: Arc<EndpointLimits>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) log: Log,
    /// **Units** bytes that wait in all sessions.
    pub(crate) queued_bytes: AtomicUsize,
    /// **Units** bytes that the subscriptions of all sessions take, as reckoned.
    pub(crate) subscribed_bytes: AtomicUsize,
}

/// How a subscriber is to get a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) qos: u8,
    pub(crate) retain_as_published: bool,
    /// Identifiers of the subscriptions that selected it; mostly none.
    pub(crate) identifiers: Option<Arc<[u32]>>,
}

/// One client's session.
#[derive(Debug)]
pub(crate) struct Session {
    /// Never given twice.
    pub(crate) number: u64,
    pub(crate) client_id: String,
    /// Whose it is: nobody else may go on with it.
    pub(crate) user: Option<String>,
    persistent: bool,
    online: AtomicBool,
    inner: Mutex<Inner>,
    /// Told when the connection has let go of it.
    left: Notify,
    common: Arc<Common>,
}

#[derive(Debug, Default)]
struct Inner {
    link: Option<Arc<Outbox>>,
    /// It has ended: nothing is queued any more.
    over: bool,
    /// Seconds that it outlives its connection.
    expiry: u32,
    /// Wall milliseconds at which it ends.
    ends_at: Option<u64>,
    /// A will that is not due yet, and when it is.
    will: Option<(u64, Box<Will>)>,
    filters: HashMap<String, (Options, u32)>,
    /// What is to be sent, in order.
    queue: VecDeque<Entry>,
    /// What was sent and is not yet acknowledged, in order.
    flight: VecDeque<Entry>,
    /// Bytes of both.
    bytes: usize,
    /// Packet ids of both.
    ids: HashSet<u16>,
    last_id: u16,
    last_entry: u64,
    /// The life of nothing that waits ends before this; none ends where there is none.
    first_end: Option<u64>,
    /// Packet ids of quality of service 2 on their way through the pipeline.
    arriving: HashSet<u16>,
    /// Those that are durable and not yet released by the client.
    arrived: HashSet<u16>,
}

/// What one turn of the writer found.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) messages: usize,
    /// The ticket of the log that the next message waits for.
    pub(crate) waits_for: Option<u64>,
}

/// What to do with a session whose client has left.
#[derive(Debug)]
pub(crate) enum Left {
    /// Its client may come back.
    Stays,
    /// It is over.
    Ends,
}

impl Session {
    pub(crate) fn new(
        number: u64,
        client_id: String,
        user: Option<String>,
        expiry: u32,
        common: Arc<Common>,
    ) -> Self {
        Self {
            number,
            client_id,
            user,
            persistent: expiry > 0,
            online: AtomicBool::new(false),
            inner: Mutex::new(Inner {
                expiry,
                ..Inner::default()
            }),
            left: Notify::new(),
            common,
        }
    }

    /// A session that survived the process; its client is away.
    pub(crate) fn recovered(number: u64, found: RecoveredSession, common: Arc<Common>) -> Self {
        let since = found.left_at.unwrap_or_else(wall_ms);
        let mut inner = Inner {
            expiry: found.expiry,
            ends_at: ends_at(since, found.expiry),
            filters: found.filters.into_iter().collect(),
            arrived: found.arrived,
            last_entry: found.last_entry,
            ..Inner::default()
        };
        for (number, waiting) in found.queue {
            let entry = Entry {
                number,
                packet_id: waiting.packet_id,
                qos: waiting.qos,
                retain: waiting.retain,
                identifiers: (!waiting.identifiers.is_empty()).then(|| waiting.identifiers.into()),
                // It may have been sent: nobody wrote that down.
                stage: if waiting.received {
                    Stage::Received
                } else {
                    Stage::Sent
                },
                ticket: 0,
                message: Arc::new(waiting.message),
            };
            inner.last_id = entry.packet_id;
            inner.ids.insert(entry.packet_id);
            inner.bytes += entry.bytes();
            inner.note_end(&entry);
            inner.queue.push_back(entry);
        }
        common
            .queued_bytes
            .fetch_add(inner.bytes, Ordering::Relaxed);
        let subscribed = inner.filters.keys().map(|filter| reckoned(filter)).sum();
        common
            .subscribed_bytes
            .fetch_add(subscribed, Ordering::Relaxed);
        Self {
            number,
            client_id: found.client_id,
            user: found.user,
            persistent: true,
            online: AtomicBool::new(false),
            inner: Mutex::new(inner),
            left: Notify::new(),
            common,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it outlives its connection.
    pub(crate) fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// Whether its client is there.
    pub(crate) fn is_online(&self) -> bool {
        self.online.load(Ordering::Relaxed)
    }

    /// Whether changes to it belong into the log.
    pub(crate) fn is_logged(&self) -> bool {
        self.persistent && self.common.log.is_kept()
    }

    /// Waits until its connection has let go; the older connection is told to end.
    ///
    /// Returns at once when there is none.
    pub(crate) async fn vacated(&self) {
        loop {
            let left = self.left.notified();
            let mut left = std::pin::pin!(left);
            left.as_mut().enable();
            match &self.lock().link {
                None => return,
                Some(link) => link.close(CloseReason::TakenOver),
            }
            left.await;
        }
    }

    /// Joins a new session with its connection.
    pub(crate) fn link(&self, outbox: &Arc<Outbox>) {
        let mut inner = self.lock();
        inner.link = Some(outbox.clone());
        self.online.store(true, Ordering::Relaxed);
    }

    /// Joins it with a new connection of its client, unless it is over or still has one.
    ///
    /// What was sent and not acknowledged is sent again.
    pub(crate) fn resume(&self, outbox: &Arc<Outbox>, expiry: u32) -> bool {
        let mut inner = self.lock();
        if inner.over || inner.link.is_some() {
            return false;
        }
        inner.link = Some(outbox.clone());
        inner.expiry = expiry;
        inner.ends_at = None;
        inner.will = None;
        self.online.store(true, Ordering::Relaxed);
        true
    }

    /// The connection lets go; a will that is not yet due waits with the session.
    pub(crate) fn leave(&self, new_expiry: Option<u32>, will: Option<Box<Will>>) -> Left {
        let mut batch = self.is_logged().then(|| self.common.log.begin());
        let mut inner = self.lock();
        let now = wall_ms();
        if let Some(seconds) = new_expiry {
            inner.expiry = seconds.min(self.common.limits.session_expiry_s);
        }
        inner.link = None;
        inner.arriving = HashSet::new();
        self.online.store(false, Ordering::Relaxed);
        inner.rewind(&self.common);
        let outcome = if !self.persistent || inner.expiry == 0 {
            Left::Ends
        } else {
            inner.ends_at = ends_at(now, inner.expiry);
            inner.will = will.map(|will| (expiry(will.delay), will));
            if let Some(batch) = &mut batch {
                batch.put(&Record::Left {
                    session: self.number,
                    at: now,
                    expiry: inner.expiry,
                });
            }
            Left::Stays
        };
        drop(inner);
        drop(batch);
        self.left.notify_waiters();
        outcome
    }

    /// Ends it: forgets what waits and tells what it was subscribed to.
    pub(crate) fn end(&self, batch: Option<&mut Batch<'_>>) -> (Vec<String>, Option<Box<Will>>) {
        if let Some(batch) = batch
            && self.persistent
        {
            batch.put(&Record::Gone {
                session: self.number,
            });
        }
        let mut inner = self.lock();
        self.common
            .queued_bytes
            .fetch_sub(inner.bytes, Ordering::Relaxed);
        let ended = std::mem::take(&mut *inner);
        inner.over = true;
        for filter in ended.filters.keys() {
            self.unsubscribed(filter);
        }
        (
            ended.filters.into_keys().collect(),
            ended.will.map(|(_, will)| will),
        )
    }

    /// Whether it has come to its end, client away.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        let inner = self.lock();
        inner.link.is_none() && inner.ends_at.is_some_and(|at| at <= now)
    }

    /// Its will, when that is due.
    pub(crate) fn due_will(&self, now: u64) -> Option<Box<Will>> {
        let mut inner = self.lock();
        inner
            .will
            .take_if(|(at, _)| *at <= now)
            .map(|(_, will)| will)
    }

    /// The subscription to a filter.
    pub(crate) fn subscription(&self, filter: &str) -> Option<(Options, u32)> {
        self.lock().filters.get(filter).copied()
    }

    /// How many subscriptions it has.
    pub(crate) fn subscriptions(&self) -> usize {
        self.lock().filters.len()
    }

    /// Whether all clients together leave room for one more subscription.
    pub(crate) fn has_room_for(&self, filter: &str) -> bool {
        let taken = self.common.subscribed_bytes.load(Ordering::Relaxed);
        taken + reckoned(filter) <= self.common.limits.all_subscription_bytes
    }

    fn unsubscribed(&self, filter: &str) {
        let taken = &self.common.subscribed_bytes;
        taken.fetch_sub(reckoned(filter), Ordering::Relaxed);
    }

    /// All subscriptions.
    pub(crate) fn filters(&self) -> Vec<(String, Options, u32)> {
        let inner = self.lock();
        let all = inner.filters.iter();
        all.map(|(filter, (options, id))| (filter.clone(), *options, *id))
            .collect()
    }

    /// Enters a subscription.
    pub(crate) fn subscribe(&self, filter: &str, options: Options, id: u32, batch: &mut Batch<'_>) {
        if self.persistent {
            batch.put(&Record::Subscribed {
                session: self.number,
                filter: filter.to_owned(),
                options,
                identifier: id,
            });
        }
        let mut inner = self.lock();
        let replaced = inner.filters.insert(filter.to_owned(), (options, id));
        if replaced.is_none() {
            let taken = &self.common.subscribed_bytes;
            taken.fetch_add(reckoned(filter), Ordering::Relaxed);
        }
    }

    /// Removes a subscription; false when there was none.
    pub(crate) fn unsubscribe(&self, filter: &str, batch: &mut Batch<'_>) -> bool {
        let existed = self.lock().filters.remove(filter).is_some();
        if existed {
            self.unsubscribed(filter);
        }
        if existed && self.persistent {
            batch.put(&Record::Unsubscribed {
                session: self.number,
                filter: filter.to_owned(),
            });
        }
        existed
    }
}

/// **Units** bytes that a subscription takes at most: its text in the session and in the tree, and
/// a node of the tree for each level.
fn reckoned(filter: &str) -> usize {
    const NODE: usize = 512;
    filter.len() * 2 + filter.split('/').count() * NODE
}

/// When a session ends whose client left at `left`.
fn ends_at(left: u64, expiry: u32) -> Option<u64> {
    (expiry != NEVER).then(|| left + u64::from(expiry) * 1_000)
}

/// A PUBREL as a whole packet.
pub(crate) fn pubrel(packet_id: u16) -> Vec<u8> {
    let mut packet = Vec::with_capacity(5);
    frame::put_ack(&mut packet, frame::PUBREL, packet_id);
    packet
}
