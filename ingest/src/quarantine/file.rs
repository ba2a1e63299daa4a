//! What the quarantine's file says: one frame per change, so a crash loses no earlier one.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::{QuarantineEntry, QuarantineId};
use crate::frame;
use crate::validate::Rejection;

const ADD: u8 = 1;
const REMOVE: u8 = 2;
const DROP: u8 = 3;
const MARK: u8 = 4;

/// One change.
#[derive(Debug)]
pub(super) enum Change {
    /// An entry came.
    Add(QuarantineEntry),
    /// An entry was replayed.
    Remove(QuarantineId),
    /// An entry made room.
    Drop(QuarantineId),
    /// How things stood when the file was written anew: the last id ever added and the count of
    /// entries ever dropped.
    Mark { last: QuarantineId, dropped: u64 },
}

/// Appends an entry.
pub(super) fn write_add(into: &mut Vec<u8>, entry: &QuarantineEntry) {
    let reason = serde_json::to_vec(&entry.reason).expect("a reason is plain data");
    frame::write(into, entry.id.sequence, |into| {
        head(into, ADD, entry.id);
        into.extend_from_slice(&entry.received_at.timestamp_micros().to_le_bytes());
        into.extend_from_slice(&entry.payload_bytes.to_le_bytes());
        for part in [&reason[..], &entry.topic, &entry.payload] {
            into.extend_from_slice(&(part.len() as u32).to_le_bytes());
            into.extend_from_slice(part);
        }
    });
}

/// Appends that an entry was replayed.
pub(super) fn write_remove(into: &mut Vec<u8>, id: QuarantineId) {
    frame::write(into, id.sequence, |into| head(into, REMOVE, id));
}

/// Appends that an entry made room.
pub(super) fn write_drop(into: &mut Vec<u8>, id: QuarantineId) {
    frame::write(into, id.sequence, |into| head(into, DROP, id));
}

/// Appends how things stand.
pub(super) fn write_mark(into: &mut Vec<u8>, last: QuarantineId, dropped: u64) {
    frame::write(into, last.sequence, |into| {
        head(into, MARK, last);
        into.extend_from_slice(&dropped.to_le_bytes());
    });
}

/// Reads one frame's payload.
pub(super) fn read(payload: &[u8]) -> Option<Change> {
    let mut rest = payload;
    let kind = take(&mut rest, 1)?[0];
    let id = QuarantineId {
        sequence: u64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?),
        index: u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?),
    };
    match kind {
        ADD => {
            let received_at = i64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?);
            let payload_bytes = u64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?);
            let reason: Rejection = serde_json::from_slice(part(&mut rest)?).ok()?;
            Some(Change::Add(QuarantineEntry {
                id,
                received_at: DateTime::<Utc>::from_timestamp_micros(received_at)?,
                payload_bytes,
                reason,
                topic: Bytes::copy_from_slice(part(&mut rest)?),
                payload: Bytes::copy_from_slice(part(&mut rest)?),
            }))
        }
        REMOVE => Some(Change::Remove(id)),
        DROP => Some(Change::Drop(id)),
        MARK => {
            let dropped = u64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?);
            Some(Change::Mark { last: id, dropped })
        }
        _ => None,
    }
}

fn head(into: &mut Vec<u8>, kind: u8, id: QuarantineId) {
    into.push(kind);
    into.extend_from_slice(&id.sequence.to_le_bytes());
    into.extend_from_slice(&id.index.to_le_bytes());
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(rest, 4)?.try_into().ok()?);
    take(rest, length as usize)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}
