//! The session as the log would have to know it.

use super::super::log::record::{self, Record};
use super::Session;
use super::entry::Stage;

impl Session {
    /// Writes everything that the log would have to know into `out`.
    pub(crate) fn dump(&self, out: &mut Vec<u8>) {
        let inner = self.lock();
        if !self.persistent || inner.over {
            return;
        }
        let session = self.number;
        let put = |out: &mut Vec<u8>, record: Record| record::put(out, &record);
        put(
            out,
            Record::Opened {
                session,
                expiry: inner.expiry,
                user: self.user.clone(),
                client_id: self.client_id.clone(),
            },
        );
        for (filter, (options, identifier)) in &inner.filters {
            put(
                out,
                Record::Subscribed {
                    session,
                    filter: filter.clone(),
                    options: *options,
                    identifier: *identifier,
                },
            );
        }
        for packet_id in &inner.arrived {
            put(
                out,
                Record::Arrived {
                    session,
                    packet_id: *packet_id,
                },
            );
        }
        for entry in inner.flight.iter().chain(&inner.queue) {
            if entry.qos == 0 {
                continue;
            }
            record::put_queued(out, &entry.record(session), &entry.message);
            if entry.stage == Stage::Received {
                put(
                    out,
                    Record::Received {
                        session,
                        entry: entry.number,
                    },
                );
            }
        }
        if let Some(at) = inner.ends_at {
            let expiry = inner.expiry;
            let at = at.saturating_sub(u64::from(expiry) * 1_000);
            put(
                out,
                Record::Left {
                    session,
                    at,
                    expiry,
                },
            );
        }
    }
}
