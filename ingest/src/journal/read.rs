//! Reading segments back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use bytes::Bytes;

use super::{ENDING, Head, JournalError, MAGIC, VERSION, header_check, record};
use crate::codec::sparkplug::sessions::Sessions;
use crate::config::DecodeRules;
use crate::frame::{self, Damage, Frames};
use crate::source::Envelope;

/// A head as it is read.
pub(crate) type WholeHead = Head<DecodeRules, Sessions>;

/// Bytes of the header before the rules.
const FIXED: usize = 20;

/// A segment on disk.
#[derive(Debug)]
pub(crate) struct Segment {
    pub path: PathBuf,
    /// Its place among the segments.
    pub number: u64,
}

/// What a journal holds, in order.
#[derive(Debug)]
pub(crate) enum Item {
    /// A segment begins; its head, none if it is damaged.
    Head(Option<Box<WholeHead>>),
    /// A record that is whole.
    Record(Record),
    /// The segment ends.
    End(Segment, SegmentReport),
}

/// The messages of one batch.
#[derive(Debug)]
pub(crate) struct Record {
    pub number: u64,
    bytes: Bytes,
    at: usize,
}

/// Items that wait for the one who decodes them.
const WAITING: usize = 8;

/// What reading a segment showed.
#[derive(Debug, Default)]
pub(crate) struct SegmentReport {
    pub bytes: u64,
    /// Number of the last whole record; 0 when there is none.
    pub last: u64,
    /// Bytes that are no record.
    pub damages: Vec<Damage>,
}

/// The segments of a folder in order.
///
/// **Errors**: the folder cannot be read.
pub(crate) fn segments(folder: &Path) -> Result<Vec<Segment>, JournalError> {
    let read = |source| JournalError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_none_or(|ending| ending != ENDING) {
            continue;
        }
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        found.extend(number.map(|number| Segment { path, number }));
    }
    found.sort_by_key(|segment| segment.number);
    Ok(found)
}

/// Reads a journal on a thread of its own and hands its items to `take` on this one, so that
/// reading and checking one record overlaps with decoding another.
///
/// **Errors**: a segment cannot be read, or has another format. Damage is reported, not an error.
pub(crate) fn replay(folder: &Path, take: impl FnMut(Item)) -> Result<(), JournalError> {
    let segments = segments(folder)?;
    thread::scope(|scope| {
        let (items, read) = sync_channel(WAITING);
        let reader = scope.spawn(move || {
            for segment in segments {
                // Whoever takes the items takes them all.
                let report = segment.read(|item| drop(items.send(item)))?;
                drop(items.send(Item::End(segment, report)));
            }
            Ok(())
        });
        Receiver::into_iter(read).for_each(take);
        reader
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Record {
    /// The messages.
    ///
    /// **Errors**: the bytes are whole but no messages, which is damage of another kind.
    pub(crate) fn envelopes(self) -> Result<Vec<Envelope>, Damage> {
        let (at, bytes) = (self.at, self.bytes.len());
        record::decode(self.bytes).ok_or(Damage {
            at,
            bytes,
            torn: false,
        })
    }
}

impl Segment {
    /// Hands the head and every whole record to `take`.
    ///
    /// **Errors**: the file cannot be read, or has another format.
    pub(super) fn read(&self, take: impl FnMut(Item)) -> Result<SegmentReport, JournalError> {
        let read = |source| JournalError::Read {
            path: self.path.clone(),
            source,
        };
        let bytes = Bytes::from(fs::read(&self.path).map_err(read)?);
        self.read_bytes(&bytes, take)
    }

    /// The same of content that was read already.
    pub(super) fn read_bytes(
        &self,
        bytes: &Bytes,
        mut take: impl FnMut(Item),
    ) -> Result<SegmentReport, JournalError> {
        let mut report = SegmentReport {
            bytes: bytes.len() as u64,
            ..Default::default()
        };
        let (head, start) = self.header(bytes, &mut report)?;
        take(Item::Head(head.map(Box::new)));
        let mut frames = Frames::new(bytes, start);
        for frame in frames.by_ref() {
            report.last = report.last.max(frame.number);
            take(Item::Record(Record {
                number: frame.number,
                bytes: bytes.slice(frame.at..frame.at + frame.payload.len()),
                at: frame.at,
            }));
        }
        report.damages.extend(frames.damages());
        Ok(report)
    }

    /// The head, and where the first frame begins.
    fn header(
        &self,
        bytes: &[u8],
        report: &mut SegmentReport,
    ) -> Result<(Option<WholeHead>, usize), JournalError> {
        if let Some((found, rules, end)) = whole_header(bytes) {
            if found != VERSION {
                return Err(JournalError::Version {
                    path: self.path.clone(),
                    found,
                });
            }
            if let Ok(head) = serde_json::from_slice(rules) {
                return Ok((Some(head), end));
            }
        }
        // Without rules the frames can still be found: every head has its own checksum.
        let first = Frames::new(bytes, 0).next();
        let end = first
            .as_ref()
            .map_or(bytes.len(), |frame| frame.at - frame::HEAD);
        if end > 0 {
            let torn = first.is_none() && is_cut_short(bytes);
            report.damages.push(Damage {
                at: 0,
                bytes: end,
                torn,
            });
        }
        Ok((None, end))
    }
}

/// Version, rules and end of a header whose checksum holds.
fn whole_header(bytes: &[u8]) -> Option<(u32, &[u8], usize)> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let end = FIXED + word(12)? as usize;
    let rules = bytes.get(FIXED..end)?;
    (bytes.starts_with(&MAGIC) && header_check(&bytes[8..16], rules) == word(16)?).then_some((
        word(8)?,
        rules,
        end,
    ))
}

/// The process ended while it made this segment: it holds a part of a header, or zeros.
fn is_cut_short(bytes: &[u8]) -> bool {
    let Some(length) = bytes.get(12..16) else {
        return true;
    };
    let length = u32::from_le_bytes(length.try_into().expect("four bytes"));
    bytes.len() < FIXED + length as usize || bytes.iter().all(|byte| *byte == 0)
}
