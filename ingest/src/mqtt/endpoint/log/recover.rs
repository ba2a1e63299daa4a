//! What the session log holds: read once, at the start.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;

use super::super::message::Message;
use super::LogError;
use super::files::Folder;
use super::record::{self, Record};
use crate::frame::Frames;
use crate::mqtt::packet::Options;

/// Everything that survived.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) sessions: BTreeMap<u64, RecoveredSession>,
    pub(crate) retained: BTreeMap<Bytes, Message>,
    /// Places where a file was damaged; a torn end is none.
    pub(crate) damages: usize,
    /// Where the log goes on.
    pub(super) next_file: u64,
    pub(super) last_ticket: u64,
    /// The highest number that a session ever had.
    pub(crate) last_session: u64,
}

/// One session that survived.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct RecoveredSession {
    pub(crate) client_id: String,
    pub(crate) user: Option<String>,
    /// **Units** seconds.
    pub(crate) expiry: u32,
    /// When its client left; `None` when it was there to the end.
    pub(crate) left_at: Option<u64>,
    pub(crate) filters: BTreeMap<String, (Options, u32)>,
    /// What waits for the client, in order.
    pub(crate) queue: BTreeMap<u64, RecoveredEntry>,
    /// Packet ids of quality of service 2 that the client has not released.
    pub(crate) arrived: HashSet<u16>,
    pub(crate) last_entry: u64,
}

/// One message that waits for a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RecoveredEntry {
    pub(crate) packet_id: u16,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) identifiers: Vec<u32>,
    pub(crate) received: bool,
    pub(crate) message: Message,
}

/// Reads the newest snapshot that is whole and every log from its number on.
pub(super) fn read(folder: &Folder) -> Result<Recovered, LogError> {
    let listing = folder.list()?;
    let mut recovered = Recovered::default();
    let (mut from, mut damaged) = (0, 0);
    for number in listing.snapshots.iter().rev() {
        let path = folder.snapshot(*number);
        let mut attempt = Recovered::default();
        if attempt.read_frames(&folder.read(&path)?) {
            recovered = attempt;
            from = *number;
            break;
        }
        tracing::error!(
            path = %path.display(),
            "a snapshot of the MQTT sessions is damaged; older files are read instead"
        );
        damaged += 1;
    }
    recovered.damages += damaged;
    for number in listing.logs.iter().filter(|number| **number >= from) {
        recovered.read_frames(&folder.read(&folder.log(*number))?);
        folder.sync_log(*number)?;
    }
    for number in &listing.unfinished {
        folder.remove_unfinished(&folder.unfinished(*number));
    }
    let last = listing.logs.iter().chain(&listing.snapshots).max();
    recovered.next_file = last.map_or(1, |last| last + 1);
    if recovered.damages > 0 {
        tracing::error!(
            damages = recovered.damages,
            "the MQTT sessions were damaged on disk; what was whole is kept"
        );
    }
    Ok(recovered)
}

impl Recovered {
    /// Takes every whole frame; true when the end of a snapshot was among them.
    fn read_frames(&mut self, bytes: &[u8]) -> bool {
        let mut frames = Frames::new(bytes, 0);
        let mut ended = false;
        for frame in frames.by_ref() {
            self.last_ticket = self.last_ticket.max(frame.number);
            for record in record::read_all(frame.payload) {
                ended |= record == Record::End;
                self.take(record);
            }
        }
        let damages = frames.damages();
        self.damages += damages.iter().filter(|damage| !damage.torn).count();
        ended
    }

    /// Brings the state up to one record.
    pub(super) fn take(&mut self, record: Record) {
        match record {
            Record::Opened {
                session,
                expiry,
                user,
                client_id,
            } => {
                self.last_session = self.last_session.max(session);
                let known = self.sessions.entry(session).or_default();
                known.client_id = client_id;
                known.user = user;
                known.expiry = expiry;
                known.left_at = None;
            }
            Record::Left {
                session,
                at,
                expiry,
            } => self.with(session, |known| {
                known.left_at = Some(at);
                known.expiry = expiry;
            }),
            Record::Gone { session } => {
                self.sessions.remove(&session);
            }
            Record::Subscribed {
                session,
                filter,
                options,
                identifier,
            } => self.with(session, |known| {
                known.filters.insert(filter, (options, identifier));
            }),
            Record::Unsubscribed { session, filter } => self.with(session, |known| {
                known.filters.remove(&filter);
            }),
            Record::Queued {
                session,
                entry,
                packet_id,
                qos,
                retain,
                identifiers,
                message,
            } => self.with(session, |known| {
                known.last_entry = known.last_entry.max(entry);
                let entry = known.queue.entry(entry);
                entry.or_insert(RecoveredEntry {
                    packet_id,
                    qos,
                    retain,
                    identifiers,
                    received: false,
                    message,
                });
            }),
            Record::Received { session, entry } => self.with(session, |known| {
                if let Some(entry) = known.queue.get_mut(&entry) {
                    entry.received = true;
                }
            }),
            Record::Done { session, entry } => self.with(session, |known| {
                known.last_entry = known.last_entry.max(entry);
                known.queue.remove(&entry);
            }),
            Record::Arrived { session, packet_id } => self.with(session, |known| {
                known.arrived.insert(packet_id);
            }),
            Record::Released { session, packet_id } => self.with(session, |known| {
                known.arrived.remove(&packet_id);
            }),
            Record::Retained { message } => {
                self.retained.insert(message.topic.clone(), message);
            }
            Record::Forgotten { topic } => {
                self.retained.remove(&topic);
            }
            Record::End => {}
        }
    }

    /// Changes a session; one that is gone by then is not missed.
    fn with(&mut self, session: u64, change: impl FnOnce(&mut RecoveredSession)) {
        if let Some(known) = self.sessions.get_mut(&session) {
            change(known);
        }
    }
}
