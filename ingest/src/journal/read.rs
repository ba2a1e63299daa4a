//! Reading segments back.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{ENDING, JournalError, MAGIC, VERSION, header_check, record};
use crate::config::DecodeRules;
use crate::frame::{self, Damage, Frames};
use crate::source::Envelope;

/// Bytes of the header before the rules.
const FIXED: usize = 20;

/// A segment on disk.
#[derive(Debug)]
pub(crate) struct Segment {
    pub path: PathBuf,
    /// Its place among the segments.
    pub number: u64,
}

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

impl Segment {
    /// Hands every whole record to `take`: the rules it was written under (none if they are
    /// damaged), its number and its messages.
    ///
    /// **Errors**: the file cannot be read, or has another format. Damage is reported, not an
    /// error.
    pub(crate) fn read(
        &self,
        mut take: impl FnMut(Option<&DecodeRules>, u64, Vec<Envelope>),
    ) -> Result<SegmentReport, JournalError> {
        let read = |source| JournalError::Read {
            path: self.path.clone(),
            source,
        };
        let bytes = Bytes::from(fs::read(&self.path).map_err(read)?);
        let mut report = SegmentReport {
            bytes: bytes.len() as u64,
            ..Default::default()
        };
        let (rules, start) = self.header(&bytes, &mut report)?;
        let mut frames = Frames::new(&bytes, start);
        let mut unreadable = Vec::new();
        for frame in frames.by_ref() {
            let end = frame.at + frame.payload.len();
            match record::decode(bytes.slice(frame.at..end)) {
                Some(envelopes) => {
                    report.last = report.last.max(frame.number);
                    take(rules.as_ref(), frame.number, envelopes);
                }
                None => unreadable.push(Damage {
                    at: frame.at,
                    bytes: end - frame.at,
                    torn: false,
                }),
            }
        }
        report.damages.extend(frames.damages());
        report.damages.extend(unreadable);
        Ok(report)
    }

    /// The rules, and where the first frame begins.
    fn header(
        &self,
        bytes: &[u8],
        report: &mut SegmentReport,
    ) -> Result<(Option<DecodeRules>, usize), JournalError> {
        if let Some((found, rules, end)) = whole_header(bytes) {
            if found != VERSION {
                return Err(JournalError::Version {
                    path: self.path.clone(),
                    found,
                });
            }
            if let Ok(rules) = serde_json::from_slice(rules) {
                return Ok((Some(rules), end));
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
