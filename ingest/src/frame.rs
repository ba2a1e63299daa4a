//! Frames: how the journal and the quarantine write one thing after the other into a file.
//!
//! ```text
//! magic u32 | payload bytes u32 | number u64 | crc32(payload) u32 | crc32(head so far) u32 | payload
//! ```
//! All integers little-endian. A damaged frame is passed over: the reader looks for the next head
//! whose own checksum holds, so one flipped bit costs one frame.

/// Bytes before the payload.
pub(crate) const HEAD: usize = 24;
const MAGIC: [u8; 4] = *b"FWR1";
/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// One frame that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub number: u64,
    pub payload: &'a [u8],
    /// Where the payload begins.
    pub at: usize,
}

/// Bytes that are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Where they begin.
    pub at: usize,
    /// How many.
    pub bytes: usize,
    /// What a write cut short by a crash leaves behind: a part of a frame at the end.
    pub torn: bool,
}

/// The frames of a file, one after the other.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
    damages: Vec<Damage>,
}

/// What stands at a place that has a head.
enum Found<'a> {
    Whole(Frame<'a>),
    Damaged { end: usize },
    CutShort,
}

/// Appends a frame whose payload `fill` writes.
pub(crate) fn write(into: &mut Vec<u8>, number: u64, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    into.extend_from_slice(&[0; HEAD]);
    fill(into);
    let (head, payload) = into[start..].split_at_mut(HEAD);
    let bytes = u32::try_from(payload.len()).expect("a batch is bounded far below 4 GiB");
    head[0..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&bytes.to_le_bytes());
    head[8..16].copy_from_slice(&number.to_le_bytes());
    head[16..20].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    let check = crc32fast::hash(&head[..20]);
    head[20..24].copy_from_slice(&check.to_le_bytes());
}

impl<'a> Frames<'a> {
    /// Reads `bytes` from `start` on.
    pub(crate) fn new(bytes: &'a [u8], start: usize) -> Self {
        Self {
            bytes,
            at: start.min(bytes.len()),
            damages: Vec::new(),
        }
    }

    /// What was passed over, once all frames are read.
    pub(crate) fn damages(self) -> Vec<Damage> {
        self.damages
    }

    /// What begins at `at`: none where there is no head.
    fn frame_at(&self, at: usize) -> Option<Found<'a>> {
        let head = self.bytes.get(at..at + HEAD)?;
        let word =
            |from: usize| u32::from_le_bytes(head[from..from + 4].try_into().expect("four bytes"));
        if head[..4] != MAGIC || word(20) != crc32fast::hash(&head[..20]) {
            return None;
        }
        let number = u64::from_le_bytes(head[8..16].try_into().expect("eight bytes"));
        let start = at + HEAD;
        let end = start + word(4) as usize;
        Some(match self.bytes.get(start..end) {
            None => Found::CutShort,
            Some(payload) if crc32fast::hash(payload) == word(16) => Found::Whole(Frame {
                number,
                payload,
                at: start,
            }),
            Some(_) => Found::Damaged { end },
        })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let start = self.at;
        while self.at < self.bytes.len() {
            match self.frame_at(self.at) {
                Some(Found::Whole(frame)) => {
                    self.note(start, self.at, false);
                    self.at = frame.at + frame.payload.len();
                    return Some(frame);
                }
                Some(Found::Damaged { end }) => self.at = end,
                // The head holds, so its length does: nothing can follow.
                Some(Found::CutShort) => self.at = self.bytes.len(),
                None => {
                    let next = &self.bytes[self.at + 1..];
                    let next = next.iter().position(|byte| *byte == MAGIC[0]);
                    self.at = next.map_or(self.bytes.len(), |skip| self.at + 1 + skip);
                }
            }
        }
        // Zeros after the last frame are room that nothing was written to.
        if !is_zero(&self.bytes[start..]) {
            self.note(start, self.at, self.is_torn(start));
        }
        None
    }
}

impl Frames<'_> {
    /// Whether the bytes from `at` to the end are a frame that a crash kept from being written:
    /// they end too early, or places that the disk writes at once are still zero.
    fn is_torn(&self, at: usize) -> bool {
        let rest = &self.bytes[at..];
        let written = rest
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        if written < HEAD || is_zero(&rest[..HEAD]) {
            return true;
        }
        match self.frame_at(at) {
            Some(Found::CutShort) => true,
            Some(Found::Damaged { end }) => {
                let first = at.next_multiple_of(SECTOR);
                let mut sectors = self.bytes[first.min(end)..end].chunks_exact(SECTOR);
                is_zero(&self.bytes[end..])
                    && (sectors.any(is_zero) || is_zero(&self.bytes[last_sector(at, end)..end]))
            }
            _ => false,
        }
    }

    fn note(&mut self, at: usize, end: usize, torn: bool) {
        if end > at {
            self.damages.push(Damage {
                at,
                bytes: end - at,
                torn,
            });
        }
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Where the part of a frame begins that lies in the last sector it touches.
fn last_sector(at: usize, end: usize) -> usize {
    (end.saturating_sub(1) / SECTOR * SECTOR).max(at + HEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for number in 1..=3_u64 {
            write(&mut bytes, number, |payload| {
                payload.extend(vec![number as u8; 10 * number as usize])
            });
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn read(bytes: &[u8]) -> (Vec<u64>, Vec<Damage>) {
        let mut frames = Frames::new(bytes, 0);
        let numbers = frames.by_ref().map(|frame| frame.number).collect();
        (numbers, frames.damages())
    }

    #[test]
    fn whole() {
        assert_eq!(read(&three().0), (vec![1, 2, 3], vec![]));
        assert_eq!(read(&[]), (vec![], vec![]));
    }

    #[test]
    fn cut_at_every_byte() {
        let (bytes, ends) = three();
        for cut in 0..bytes.len() {
            let (numbers, damages) = read(&bytes[..cut]);
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(numbers.len(), whole, "cut at {cut}");
            let start = ends[..whole].last().copied().unwrap_or(0);
            let torn = Damage {
                at: start,
                bytes: cut - start,
                torn: true,
            };
            let expected = if cut > start { vec![torn] } else { vec![] };
            assert_eq!(damages, expected, "cut at {cut}");
        }
    }

    #[test]
    fn every_flipped_bit_costs_at_most_its_frame() {
        let (bytes, ends) = three();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let hit = ends.iter().filter(|end| **end <= bit / 8).count() as u64 + 1;
            let (numbers, damages) = read(&damaged);
            let expected: Vec<u64> = (1..=3).filter(|number| *number != hit).collect();
            assert_eq!(numbers, expected, "bit {bit}");
            assert_eq!(damages.len(), 1, "bit {bit}");
            assert!(!damages[0].torn, "bit {bit}");
        }
    }

    #[test]
    fn zeros_after_the_end_are_room() {
        let (mut bytes, _) = three();
        bytes.extend([0; 100]);
        assert_eq!(read(&bytes), (vec![1, 2, 3], vec![]));
    }

    /// Sectors of the last frame that were never written, in whatever order the disk wrote.
    #[test]
    fn a_frame_with_sectors_that_are_still_zero_is_torn() {
        let mut bytes = Vec::new();
        write(&mut bytes, 1, |payload| payload.extend([1; 300]));
        let at = bytes.len();
        write(&mut bytes, 2, |payload| payload.extend([2; 3_000]));
        let end = bytes.len();
        bytes.resize(8_192, 0);
        let first = at / SECTOR;
        let last = (end - 1) / SECTOR;
        for missing in 1..1_u32 << (last - first + 1) {
            let mut damaged = bytes.clone();
            for sector in first..=last {
                if missing & 1 << (sector - first) != 0 {
                    let from = (sector * SECTOR).max(at);
                    damaged[from..((sector + 1) * SECTOR).min(end)].fill(0);
                }
            }
            let (numbers, damages) = read(&damaged);
            assert_eq!(numbers, [1], "{missing:b}");
            assert!(
                damages.iter().all(|damage| damage.torn),
                "{missing:b}: {damages:?}"
            );
        }
        // A flipped bit is none of that.
        for bit in (at * 8..end * 8).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let (numbers, damages) = read(&damaged);
            assert_eq!(numbers, [1], "bit {bit}");
            assert!(!damages[0].torn, "bit {bit}");
        }
    }
}
