//! The last values on disk: one file, replaced as a whole by every flush.
//!
//! Frames (`frame`): a head as JSON, per class its head as JSON and its assets in pieces, and an
//! end that says how many frames there are. It holds the state after one journal record; a start
//! reads it and replays the records after that one, so the journal is trimmed no further.
//!
//! An asset in a piece (integers are varints where nothing else is said):
//! ```text
//! tag | stamps, each: time i64, received_at i64 | cells, each: metric, kind and quality u8, stamp, bits u64 or text
//! ```
//! Its newest event time is the asset's watermark: nothing else says how far it has come.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::cells::{Instant, Sample, Value};
use super::{AssetCells, ClassLastValues, LastValues, Quality};
use crate::disk::Disk;
use crate::durable;
use crate::frame::{self, Frames};

/// The file's name in the data folder.
pub(crate) const NAME: &str = "last-values.checkpoint";
const VERSION: u32 = 1;
/// Bytes at which a piece of a class ends.
const PIECE_BYTES: usize = 1 << 20;

/// Why a checkpoint cannot be used.
#[derive(Debug, Error)]
pub(crate) enum CheckpointError {
    #[error("the last values cannot be written to {path}; free space or check the disk")]
    Write { path: PathBuf, source: io::Error },
    #[error("the last values in {path} cannot be read")]
    Read { path: PathBuf, source: io::Error },
    #[error("the last values in {path} are damaged: {detail}")]
    Damaged { path: PathBuf, detail: String },
}

/// What a checkpoint holds.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    /// Number of the last journal record in it.
    pub through: u64,
    pub last: LastValues,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    through: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct ClassHead {
    class: String,
    metrics: Vec<String>,
    assets: u32,
}

/// The kinds of frames, as their numbers.
const HEAD: u64 = 0;
const CLASS: u64 = 1;
const ASSETS: u64 = 2;
const END: u64 = 3;

/// Replaces the checkpoint. Returns its size in bytes.
///
/// **Errors**: the disk refuses; the old one is still there.
pub(crate) fn write(
    disk: &dyn Disk,
    data_dir: &Path,
    through: u64,
    last: &LastValues,
) -> Result<u64, CheckpointError> {
    let bytes = encode(through, last);
    let path = data_dir.join(NAME);
    durable::replace_file_on(disk, &path, &bytes)
        .map_err(|source| CheckpointError::Write { path, source })?;
    Ok(bytes.len() as u64)
}

/// Reads the checkpoint; none if there is none.
///
/// **Errors**: it cannot be read or is not whole.
pub(crate) fn read(data_dir: &Path) -> Result<Option<Checkpoint>, CheckpointError> {
    let path = data_dir.join(NAME);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CheckpointError::Read { path, source }),
        Ok(bytes) => bytes,
    };
    match decode(&bytes) {
        Ok(checkpoint) => Ok(Some(checkpoint)),
        Err(detail) => Err(CheckpointError::Damaged { path, detail }),
    }
}

pub(super) fn encode(through: u64, last: &LastValues) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut frames = 1;
    let version = VERSION;
    put_json(&mut bytes, HEAD, &Head { version, through });
    for class in last.classes() {
        let assets = class.assets() as u32;
        let head = ClassHead {
            class: class.class.to_string(),
            metrics: class.metrics.iter().map(ToString::to_string).collect(),
            assets,
        };
        put_json(&mut bytes, CLASS, &head);
        frames += 1;
        let mut next = 0;
        while next < assets {
            frame::write(&mut bytes, ASSETS, |into| {
                let start = into.len();
                while next < assets && into.len() - start < PIECE_BYTES {
                    put_asset(into, class.tag(next), class.cells(next));
                    next += 1;
                }
            });
            frames += 1;
        }
    }
    frame::write(&mut bytes, END, |into| put_number(into, frames));
    bytes
}

fn put_json(bytes: &mut Vec<u8>, kind: u64, head: &impl Serialize) {
    let head = serde_json::to_vec(head).expect("heads are plain data");
    frame::write(bytes, kind, |into| into.extend_from_slice(&head));
}

fn put_asset(into: &mut Vec<u8>, tag: &str, cells: &AssetCells) {
    put_text(into, tag);
    let mut stamps: Vec<Instant> = Vec::new();
    let place = |stamps: &mut Vec<Instant>, instant: Instant| {
        let known = stamps.iter().position(|known| *known == instant);
        known.unwrap_or_else(|| {
            stamps.push(instant);
            stamps.len() - 1
        })
    };
    for (instant, _) in cells.samples() {
        place(&mut stamps, instant);
    }
    put_number(into, stamps.len() as u64);
    for instant in &stamps {
        into.extend_from_slice(&instant.time.to_le_bytes());
        into.extend_from_slice(&instant.received_at.to_le_bytes());
    }
    put_number(into, cells.len() as u64);
    for (instant, sample) in cells.samples() {
        put_number(into, u64::from(sample.metric));
        let kind = match sample.value {
            Value::Number(_) => 0,
            Value::Text(_) => 1,
            Value::Absent => 2,
        };
        into.push(kind << 2 | sample.quality as u8);
        put_number(into, place(&mut stamps, instant) as u64);
        match sample.value {
            Value::Number(number) => into.extend_from_slice(&number.to_bits().to_le_bytes()),
            Value::Text(text) => put_text(into, text),
            Value::Absent => {}
        }
    }
}

fn put_text(into: &mut Vec<u8>, text: &str) {
    put_number(into, text.len() as u64);
    into.extend_from_slice(text.as_bytes());
}

fn put_number(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// What is wrong with the bytes, if anything is.
pub(super) fn decode(bytes: &[u8]) -> Result<Checkpoint, String> {
    let mut frames = Frames::new(bytes, 0);
    let mut head: Option<Head> = None;
    let mut classes: Vec<(ClassHead, ClassLastValues)> = Vec::new();
    let (mut count, mut ended) = (0, false);
    for frame in frames.by_ref() {
        if ended {
            return Err("there is more after its end".to_owned());
        }
        match (frame.number, classes.last_mut()) {
            (HEAD, None) => head = Some(json(frame.payload)?),
            (CLASS, _) => {
                let head: ClassHead = json(frame.payload)?;
                classes.push(empty(head));
            }
            (ASSETS, Some((_, class))) => assets(class, frame.payload)?,
            (END, _) => {
                let mut rest = frame.payload;
                ended = take_number(&mut rest) == Some(count);
            }
            _ => return Err("its parts stand in no order".to_owned()),
        }
        count += 1;
    }
    if let Some(damage) = frames.damages().first() {
        let (bytes, at) = (damage.bytes, damage.at);
        return Err(format!("{bytes} bytes at {at} are no part of it"));
    }
    let head = head.filter(|_| ended).ok_or("it is not whole")?;
    if head.version != VERSION {
        let found = head.version;
        return Err(format!(
            "its format is {found}, this program reads {VERSION}"
        ));
    }
    let mut last = LastValues::default();
    for (head, class) in classes {
        if class.assets() != head.assets as usize {
            return Err(format!("assets of {} are missing", head.class));
        }
        last.classes.insert(class.class.clone(), Arc::new(class));
    }
    let through = head.through;
    Ok(Checkpoint { through, last })
}

fn json<T: for<'de> Deserialize<'de>>(payload: &[u8]) -> Result<T, String> {
    serde_json::from_slice(payload).map_err(|error| error.to_string())
}

fn empty(head: ClassHead) -> (ClassHead, ClassLastValues) {
    let mut class = ClassLastValues::new(head.class.as_str().into());
    class.metrics = Arc::new(
        head.metrics
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
    );
    (head, class)
}

fn assets(class: &mut ClassLastValues, mut rest: &[u8]) -> Result<(), String> {
    let mut texts = std::collections::HashSet::new();
    while !rest.is_empty() {
        asset(class, &mut rest, &mut texts).ok_or("an asset cannot be read")?;
    }
    Ok(())
}

fn asset(
    class: &mut ClassLastValues,
    rest: &mut &[u8],
    texts: &mut std::collections::HashSet<Arc<str>>,
) -> Option<()> {
    let tag = take_text(rest)?;
    if class.find(tag).is_some() {
        return None;
    }
    let known = class.metrics.len() as u64;
    let id = class.asset(tag);
    let mut stamps = Vec::new();
    for _ in 0..take_number(rest)? {
        stamps.push(Instant {
            time: take_word(rest)? as i64,
            received_at: take_word(rest)? as i64,
        });
    }
    // Cells of one stamp are put together; a metric stands once, so their order changes nothing.
    let mut rows: Vec<Vec<Sample<'_>>> = vec![Vec::new(); stamps.len()];
    for _ in 0..take_number(rest)? {
        let metric = take_number(rest).filter(|metric| *metric < known)? as u32;
        let (kind, left) = rest.split_first()?;
        *rest = left;
        let stamp = take_number(rest)? as usize;
        let value = match kind >> 2 {
            0 => Value::Number(f64::from_bits(take_word(rest)?)),
            1 => Value::Text(take_text(rest)?),
            _ => Value::Absent,
        };
        let quality = Quality::of_number(u32::from(kind & 3));
        rows.get_mut(stamp)?.push(Sample {
            metric,
            value,
            quality,
        });
    }
    let cells = class.cells_mut(id);
    for (instant, row) in stamps.into_iter().zip(rows) {
        cells.put(instant, &row, &mut |text| {
            super::writer::shared(texts, text)
        });
    }
    Some(())
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, left) = rest.split_first()?;
        *rest = left;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take_word(rest: &mut &[u8]) -> Option<u64> {
    let (word, left) = rest.split_first_chunk::<8>()?;
    *rest = left;
    Some(u64::from_le_bytes(*word))
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let bytes = take_number(rest)? as usize;
    let (text, left) = rest.split_at_checked(bytes)?;
    *rest = left;
    std::str::from_utf8(text).ok()
}
