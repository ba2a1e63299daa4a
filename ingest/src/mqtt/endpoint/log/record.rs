//! What the session log writes down, one change after the other.
//!
//! Every change can be read again after a later one has been seen: entries and sessions have
//! numbers that never come twice, and the last word on a subscription or a retained topic counts.

use bytes::Bytes;

use super::super::message::Message;
use crate::mqtt::packet::{Options, WhenRetained};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// A session began, or its client came back.
    Opened {
        session: u64,
        expiry: u32,
        user: Option<String>,
        client_id: String,
    },
    /// Its client left, at this wall millisecond; the session ends `expiry` seconds later.
    Left {
        session: u64,
        at: u64,
        expiry: u32,
    },
    /// The session ended.
    Gone {
        session: u64,
    },
    Subscribed {
        session: u64,
        filter: String,
        options: Options,
        /// 0 is none.
        identifier: u32,
    },
    Unsubscribed {
        session: u64,
        filter: String,
    },
    /// A message waits for the client.
    Queued {
        session: u64,
        entry: u64,
        packet_id: u16,
        qos: u8,
        retain: bool,
        identifiers: Vec<u32>,
        message: Message,
    },
    /// The client has it, quality of service 2; what is left is to release the packet id.
    Received {
        session: u64,
        entry: u64,
    },
    /// Nothing is left to do.
    Done {
        session: u64,
        entry: u64,
    },
    /// A message of quality of service 2 came from the client.
    Arrived {
        session: u64,
        packet_id: u16,
    },
    /// The client released it.
    Released {
        session: u64,
        packet_id: u16,
    },
    /// The message of its topic.
    Retained {
        message: Message,
    },
    /// No message of this topic any more.
    Forgotten {
        topic: Bytes,
    },
    /// A snapshot is complete.
    End,
}

/// Appends a record.
pub(crate) fn put(out: &mut Vec<u8>, record: &Record) {
    match record {
        Record::Opened {
            session,
            expiry,
            user,
            client_id,
        } => {
            out.push(1);
            put_u64(out, *session);
            put_u32(out, *expiry);
            out.push(u8::from(user.is_some()));
            put_bytes(out, user.as_deref().unwrap_or_default().as_bytes());
            put_bytes(out, client_id.as_bytes());
        }
        Record::Left {
            session,
            at,
            expiry,
        } => {
            out.push(2);
            put_u64(out, *session);
            put_u64(out, *at);
            put_u32(out, *expiry);
        }
        Record::Gone { session } => put_one(out, 3, *session),
        Record::Subscribed {
            session,
            filter,
            options,
            identifier,
        } => {
            out.push(4);
            put_u64(out, *session);
            put_bytes(out, filter.as_bytes());
            out.push(pack(options));
            put_u32(out, *identifier);
        }
        Record::Unsubscribed { session, filter } => {
            put_one(out, 5, *session);
            put_bytes(out, filter.as_bytes());
        }
        Record::Queued {
            session,
            entry,
            packet_id,
            qos,
            retain,
            identifiers,
            message,
        } => {
            let queued = Queued {
                session: *session,
                entry: *entry,
                packet_id: *packet_id,
                qos: *qos,
                retain: *retain,
                identifiers,
            };
            put_queued(out, &queued, message);
        }
        Record::Received { session, entry } => put_two(out, 7, *session, *entry),
        Record::Done { session, entry } => put_two(out, 8, *session, *entry),
        Record::Arrived { session, packet_id } => put_two(out, 9, *session, (*packet_id).into()),
        Record::Released { session, packet_id } => put_two(out, 10, *session, (*packet_id).into()),
        Record::Retained { message } => put_retained(out, message),
        Record::Forgotten { topic } => {
            out.push(12);
            put_bytes(out, topic);
        }
        Record::End => out.push(13),
    }
}

/// Everything of a [`Record::Queued`] but the message, which many subscribers share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queued<'a> {
    pub(crate) session: u64,
    pub(crate) entry: u64,
    pub(crate) packet_id: u16,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) identifiers: &'a [u32],
}

/// Appends a [`Record::Queued`].
pub(crate) fn put_queued(out: &mut Vec<u8>, queued: &Queued<'_>, message: &Message) {
    put_two(out, 6, queued.session, queued.entry);
    out.extend_from_slice(&queued.packet_id.to_le_bytes());
    out.push(queued.qos);
    out.push(u8::from(queued.retain));
    put_u32(out, queued.identifiers.len() as u32);
    for identifier in queued.identifiers {
        put_u32(out, *identifier);
    }
    put_message(out, message);
}

/// Appends a [`Record::Retained`].
pub(crate) fn put_retained(out: &mut Vec<u8>, message: &Message) {
    out.push(11);
    put_message(out, message);
}

/// The records of one frame; `None` behind the last one that can be read.
pub(crate) fn read_all(bytes: &[u8]) -> impl Iterator<Item = Record> + '_ {
    let mut reader = Reader { bytes };
    std::iter::from_fn(move || reader.record())
}

fn put_message(out: &mut Vec<u8>, message: &Message) {
    out.push(message.qos);
    out.push(u8::from(message.retain));
    put_u64(out, message.expires_at.unwrap_or(0));
    put_bytes(out, &message.topic);
    put_bytes(out, &message.properties);
    put_bytes(out, &message.payload);
}

fn put_one(out: &mut Vec<u8>, kind: u8, number: u64) {
    out.push(kind);
    put_u64(out, number);
}

fn put_two(out: &mut Vec<u8>, kind: u8, first: u64, second: u64) {
    put_one(out, kind, first);
    put_u64(out, second);
}

fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, bytes.len() as u32);
    out.extend_from_slice(bytes);
}

fn pack(options: &Options) -> u8 {
    let retained = match options.retained {
        WhenRetained::Always => 0,
        WhenRetained::New => 1,
        WhenRetained::Never => 2,
    };
    options.qos
        | u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | retained << 4
}

fn unpack(byte: u8) -> Options {
    Options {
        qos: (byte & 3).min(2),
        no_local: byte & 4 != 0,
        retain_as_published: byte & 8 != 0,
        retained: match byte >> 4 {
            0 => WhenRetained::Always,
            1 => WhenRetained::New,
            _ => WhenRetained::Never,
        },
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn record(&mut self) -> Option<Record> {
        Some(match self.u8()? {
            1 => Record::Opened {
                session: self.u64()?,
                expiry: self.u32()?,
                user: {
                    let has = self.u8()? != 0;
                    let user = self.text()?;
                    has.then_some(user)
                },
                client_id: self.text()?,
            },
            2 => Record::Left {
                session: self.u64()?,
                at: self.u64()?,
                expiry: self.u32()?,
            },
            3 => Record::Gone {
                session: self.u64()?,
            },
            4 => Record::Subscribed {
                session: self.u64()?,
                filter: self.text()?,
                options: unpack(self.u8()?),
                identifier: self.u32()?,
            },
            5 => Record::Unsubscribed {
                session: self.u64()?,
                filter: self.text()?,
            },
            6 => Record::Queued {
                session: self.u64()?,
                entry: self.u64()?,
                packet_id: self.u16()?,
                qos: self.u8()?.min(2),
                retain: self.u8()? != 0,
                identifiers: {
                    let count = self.u32()?;
                    (0..count).map(|_| self.u32()).collect::<Option<_>>()?
                },
                message: self.message()?,
            },
            7 => Record::Received {
                session: self.u64()?,
                entry: self.u64()?,
            },
            8 => Record::Done {
                session: self.u64()?,
                entry: self.u64()?,
            },
            9 => Record::Arrived {
                session: self.u64()?,
                packet_id: u16::try_from(self.u64()?).ok()?,
            },
            10 => Record::Released {
                session: self.u64()?,
                packet_id: u16::try_from(self.u64()?).ok()?,
            },
            11 => Record::Retained {
                message: self.message()?,
            },
            12 => Record::Forgotten {
                topic: self.bytes()?,
            },
            13 => Record::End,
            _ => return None,
        })
    }

    fn message(&mut self) -> Option<Message> {
        Some(Message {
            qos: self.u8()?.min(2),
            retain: self.u8()? != 0,
            expires_at: Some(self.u64()?).filter(|at| *at != 0),
            topic: self.bytes()?,
            properties: self.bytes()?,
            payload: self.bytes()?,
        })
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (head, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?.try_into().ok()?;
        Some(u16::from_le_bytes(bytes))
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> Option<u64> {
        let bytes = self.take(8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let length = self.u32()? as usize;
        self.take(length).map(Bytes::copy_from_slice)
    }

    fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::message::message;
    use super::*;

    pub(crate) fn some_of_each() -> Vec<Record> {
        let mut expiring = message("t/1", "payload", 2);
        expiring.expires_at = Some(77);
        expiring.properties = Bytes::from_static(&[1, 1]);
        let options = Options {
            qos: 2,
            no_local: true,
            retain_as_published: true,
            retained: WhenRetained::New,
        };
        vec![
            Record::Opened {
                session: 1,
                expiry: 60,
                user: Some("u".into()),
                client_id: "c".into(),
            },
            Record::Left {
                session: 1,
                at: 5,
                expiry: 9,
            },
            Record::Gone { session: 1 },
            Record::Subscribed {
                session: 1,
                filter: "a/#".into(),
                options,
                identifier: 9,
            },
            Record::Unsubscribed {
                session: 1,
                filter: "a/#".into(),
            },
            Record::Queued {
                session: 1,
                entry: 2,
                packet_id: 3,
                qos: 1,
                retain: true,
                identifiers: vec![4, 5],
                message: expiring.clone(),
            },
            Record::Received {
                session: 1,
                entry: 2,
            },
            Record::Done {
                session: 1,
                entry: 2,
            },
            Record::Arrived {
                session: 1,
                packet_id: 3,
            },
            Record::Released {
                session: 1,
                packet_id: 3,
            },
            Record::Retained { message: expiring },
            Record::Forgotten {
                topic: Bytes::from_static(b"t"),
            },
            Record::End,
        ]
    }

    #[test]
    fn what_is_put_is_read_and_a_cut_never_panics() {
        let records = some_of_each();
        let mut bytes = Vec::new();
        for record in &records {
            put(&mut bytes, record);
        }
        assert_eq!(read_all(&bytes).collect::<Vec<_>>(), records);
        for cut in 0..bytes.len() {
            assert!(read_all(&bytes[..cut]).count() < records.len());
            let mut flipped = bytes.clone();
            flipped[cut] ^= 0x55;
            let _ = read_all(&flipped).count();
        }
    }
}
