//! Messages to the client: queued, sent, acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::log::Batch;
use super::super::log::record::{self, Record};
use super::super::message::{Message, wall_ms};
use super::super::stats::{CloseReason, add};
use super::entry::{Entry, Stage};
use super::{Common, Grant, Inner, Sender, Session, Taken};

/// Bytes after which a turn of the writer ends.
const TURN_BYTES: usize = 256 * 1024;

impl Session {
    /// Whether a message at this quality of service would be written to the log.
    pub(crate) fn logs(&self, qos: u8) -> bool {
        qos > 0 && self.is_logged()
    }

    /// Queues a message for the client. `batch` must be there when [`Session::logs`] says so.
    pub(crate) fn offer(
        &self,
        message: &Arc<Message>,
        grant: &Grant,
        retain: bool,
        mut batch: Option<&mut Batch<'_>>,
    ) {
        let qos = grant.qos.min(message.qos);
        let mut inner = self.lock();
        if inner.over || (inner.link.is_none() && (qos == 0 || !self.persistent)) {
            return;
        }
        if inner.closing() && !self.persistent {
            return;
        }
        let bytes = Entry::bytes_of(message);
        if !inner.has_room(bytes, &self.common) && (batch.is_some() || !self.is_logged()) {
            let over = inner.drop_over(wall_ms(), &self.common);
            add(&self.common.counters.dropped_undeliverable, over.len());
            if let Some(batch) = &mut batch {
                for entry in over {
                    batch.put(&Record::Done {
                        session: self.number,
                        entry,
                    });
                }
            }
        }
        if !inner.has_room(bytes, &self.common) {
            self.refuse(&inner, qos);
            return;
        }
        let number = inner.last_entry + 1;
        inner.last_entry = number;
        let packet_id = if qos == 0 { 0 } else { inner.free_id() };
        let mut ticket = 0;
        if let Some(batch) = batch
            && self.logs(qos)
        {
            ticket = batch.ticket();
            let queued = record::Queued {
                session: self.number,
                entry: number,
                packet_id,
                qos,
                retain,
                identifiers: grant.identifiers.as_deref().unwrap_or_default(),
            };
            batch.put_with(|out| record::put_queued(out, &queued, message));
        }
        inner.bytes += bytes;
        self.common.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let entry = Entry {
            number,
            packet_id,
            qos,
            retain,
            identifiers: grant.identifiers.clone(),
            stage: Stage::New,
            ticket,
            message: message.clone(),
        };
        inner.note_end(&entry);
        inner.queue.push_back(entry);
        let link = inner.link.clone();
        drop(inner);
        if let Some(link) = link {
            link.wake();
        }
    }

    /// No room: what that means depends on what the subscriber was promised.
    fn refuse(&self, inner: &Inner, qos: u8) {
        match &inner.link {
            // Dropping it silently would break the promise of quality of service 1, and closing
            // helps where the queue goes with the connection.
            Some(link) if qos > 0 && !self.persistent => link.close(CloseReason::SlowSubscriber),
            _ => add(&self.common.counters.dropped_queue_full, 1),
        }
    }

    /// Writes what can be sent now into `out`.
    pub(crate) fn take(&self, out: &mut Vec<u8>, sender: &mut Sender, synced: u64) -> Taken {
        let mut taken = Taken::default();
        let mut finished = Vec::new();
        let mut inner = self.lock();
        if inner.queue.is_empty() {
            return taken;
        }
        let now = wall_ms();
        while out.len() < TURN_BYTES {
            let Some(next) = inner.queue.front() else {
                break;
            };
            if next.ticket > synced {
                taken.waits_for = Some(next.ticket);
                break;
            }
            if next.qos > 0 && inner.flight.len() >= sender.window {
                break;
            }
            let Some(mut next) = inner.queue.pop_front() else {
                break;
            };
            let sent = sender.put(out, &next, now);
            taken.messages += usize::from(sent);
            if !sent {
                add(&self.common.counters.dropped_undeliverable, 1);
            }
            if sent && next.qos > 0 {
                if next.stage == Stage::New {
                    next.stage = Stage::Sent;
                }
                inner.flight.push_back(next);
            } else {
                inner.forget(&next, &self.common);
                if next.qos > 0 {
                    finished.push(next.number);
                }
            }
        }
        drop(inner);
        self.log_done(&finished);
        taken
    }

    /// The client has a message of quality of service 1; false when nobody waited for that.
    pub(crate) fn acknowledged(&self, packet_id: u16) -> bool {
        self.finish(packet_id, |entry| entry.qos == 1)
    }

    /// The client has released a message of quality of service 2.
    pub(crate) fn completed(&self, packet_id: u16) -> bool {
        self.finish(packet_id, |entry| entry.stage == Stage::Received)
    }

    /// The client refuses a message of quality of service 2.
    pub(crate) fn rejected(&self, packet_id: u16) -> bool {
        self.finish(packet_id, |entry| entry.qos == 2)
    }

    /// The client has a message of quality of service 2: the ticket to wait for before it may be
    /// asked to release it; `None` when nobody waited for that.
    pub(crate) fn received(&self, packet_id: u16) -> Option<u64> {
        let mut inner = self.lock();
        let of_it = |entry: &&mut Entry| entry.packet_id == packet_id && entry.qos == 2;
        let entry = inner.flight.iter_mut().find(of_it)?;
        entry.stage = Stage::Received;
        let number = entry.number;
        drop(inner);
        if !self.is_logged() {
            return Some(0);
        }
        Some(self.common.log.note(&[Record::Received {
            session: self.number,
            entry: number,
        }]))
    }

    fn finish(&self, packet_id: u16, is_it: impl Fn(&Entry) -> bool) -> bool {
        let mut inner = self.lock();
        let found = inner
            .flight
            .iter()
            .position(|entry| entry.packet_id == packet_id && is_it(entry));
        let Some(entry) = found.and_then(|at| inner.flight.remove(at)) else {
            return false;
        };
        inner.forget(&entry, &self.common);
        let link = inner.link.clone().filter(|_| !inner.queue.is_empty());
        drop(inner);
        self.log_done(&[entry.number]);
        if let Some(link) = link {
            link.wake();
        }
        true
    }

    /// Nobody waits for this: should it be lost, the client gets a message again that it knows.
    fn log_done(&self, entries: &[u64]) {
        if entries.is_empty() || !self.is_logged() {
            return;
        }
        let mut batch = self.common.log.begin();
        for entry in entries {
            batch.put(&Record::Done {
                session: self.number,
                entry: *entry,
            });
        }
    }
}

impl Inner {
    fn closing(&self) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| link.closing().is_some())
    }

    fn has_room(&self, bytes: usize, common: &Common) -> bool {
        let limits = &common.limits;
        self.queue.len() + self.flight.len() < limits.outgoing_messages
            && self.bytes + bytes <= limits.outgoing_bytes
            && common.queued_bytes.load(Ordering::Relaxed) + bytes <= limits.all_outgoing_bytes
    }

    /// Notes when the life of a message that waits from now on ends.
    pub(super) fn note_end(&mut self, entry: &Entry) {
        let end = entry.message.expires_at;
        self.first_end = self.first_end.into_iter().chain(end).min();
    }

    /// Drops what waits and is worth nothing any more; looks at all only when there is some. What
    /// the client may know at quality of service 2 stays: its packet id is in use over there.
    fn drop_over(&mut self, now: u64, common: &Common) -> Vec<u64> {
        if self.first_end.is_none_or(|end| end > now) {
            return Vec::new();
        }
        let is_over = |entry: &Entry| {
            (entry.qos < 2 || entry.stage == Stage::New) && entry.message.left(now).is_err()
        };
        let queue = std::mem::take(&mut self.queue);
        let (over, kept): (VecDeque<Entry>, VecDeque<Entry>) = queue.into_iter().partition(is_over);
        let ends = kept.iter().filter_map(|entry| entry.message.expires_at);
        self.first_end = ends.filter(|end| *end > now).min();
        self.queue = kept;
        over.iter().for_each(|entry| self.forget(entry, common));
        over.iter().map(|entry| entry.number).collect()
    }

    /// Makes everything that was sent wait again; what nobody was promised goes.
    pub(super) fn rewind(&mut self, common: &Common) {
        let mut queue = std::mem::take(&mut self.flight);
        queue.append(&mut self.queue);
        let (kept, dropped): (VecDeque<Entry>, VecDeque<Entry>) =
            queue.into_iter().partition(|entry| entry.qos > 0);
        self.queue = kept;
        for entry in &dropped {
            self.forget(entry, common);
        }
    }

    fn forget(&mut self, entry: &Entry, common: &Common) {
        let bytes = entry.bytes();
        self.bytes -= bytes;
        common.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.ids.remove(&entry.packet_id);
    }

    /// The next packet id that nothing here has; the limit on messages is below the id space.
    pub(super) fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.ids.insert(self.last_id) {
                return self.last_id;
            }
        }
    }
}
