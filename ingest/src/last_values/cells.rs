//! The last value of each metric of one asset, packed: 16 bytes a metric.
//!
//! Metrics of one asset mostly come in one message, so they share one *stamp* (event time and
//! receipt) and a cell only names it. An asset has as many cells as it has metrics, however many
//! its class has.

use std::sync::Arc;

use super::Quality;

/// One sample on its way in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample<'a> {
    /// Number of the metric in its class.
    pub metric: u32,
    pub value: Value<'a>,
    pub quality: Quality,
}

/// What a sample holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Number(f64),
    Text(&'a str),
    /// A bad sample without a value.
    Absent,
}

/// When a sample was taken and received, microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instant {
    pub time: i64,
    pub received_at: i64,
}

/// Samples at the newest instant of their metric: how often the same came again.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repeats {
    /// Same asset, time, metric and value.
    pub duplicates: u64,
    /// Same asset, time and metric, another value: the later receipt has won.
    pub conflicts: u64,
}

/// The last values of one asset.
#[derive(Debug, Clone, Default)]
pub(super) struct AssetCells {
    stamps: Vec<Stamp>,
    /// By the number of their metric.
    cells: Vec<Cell>,
    texts: Texts,
}

/// Mostly none; one word then, where a list would take three words of every asset.
type Texts = Option<Box<Vec<Arc<str>>>>;

#[derive(Debug, Clone, Copy)]
struct Stamp {
    instant: Instant,
    /// Cells that name it; a stamp without one is free.
    used: u32,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    /// The bits of a number, or the place of a text.
    bits: u64,
    metric: u32,
    /// Stamp, kind and quality: see [`Cell::tag`].
    tag: u32,
}

const NUMBER: u32 = 0;
const TEXT: u32 = 1;
const ABSENT: u32 = 2;

impl PartialEq for Value<'_> {
    /// By the bits: a value that was sent twice is the same, also where floats would not be.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(two)) => one.to_bits() == two.to_bits(),
            (Self::Text(one), Self::Text(two)) => one == two,
            (Self::Absent, Self::Absent) => true,
            _ => false,
        }
    }
}

impl Cell {
    fn tag(stamp: usize, kind: u32, quality: Quality) -> u32 {
        (stamp as u32) << 4 | kind << 2 | quality as u32
    }

    fn stamp(self) -> usize {
        (self.tag >> 4) as usize
    }

    fn kind(self) -> u32 {
        (self.tag >> 2) & 3
    }

    fn quality(self) -> Quality {
        Quality::of_number(self.tag & 3)
    }
}

impl AssetCells {
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// What its lists take, with what they keep free.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        let texts = self.texts.as_ref().map_or(0, |texts| texts.capacity());
        self.stamps.capacity() * size_of::<Stamp>()
            + self.cells.capacity() * size_of::<Cell>()
            + texts * size_of::<Arc<str>>()
    }

    /// The newest instant of all.
    pub(super) fn newest(&self) -> Option<Instant> {
        let used = self.stamps.iter().filter(|stamp| stamp.used > 0);
        used.map(|stamp| stamp.instant)
            .max_by_key(|instant| (instant.time, instant.received_at))
    }

    /// Every cell, in order of its metric's number.
    pub(super) fn samples(&self) -> impl Iterator<Item = (Instant, Sample<'_>)> {
        self.cells.iter().map(|cell| {
            let sample = Sample {
                metric: cell.metric,
                value: self.value(*cell),
                quality: cell.quality(),
            };
            (self.stamps[cell.stamp()].instant, sample)
        })
    }

    /// Takes the samples of one row, each only if its metric has none that is newer.
    pub(super) fn put(
        &mut self,
        instant: Instant,
        row: &[Sample<'_>],
        intern: &mut impl FnMut(&str) -> Arc<str>,
    ) -> Repeats {
        if self.cells.is_empty() {
            self.cells.reserve_exact(row.len());
            self.stamps.reserve_exact(1);
        }
        if self.is_whole_and_newer(instant, row) {
            self.stamps[0].instant = instant;
            for (place, sample) in row.iter().enumerate() {
                self.set(place, 0, sample, intern);
            }
            return Repeats::default();
        }
        let mut repeats = Repeats::default();
        let mut stamp = None;
        for (place, sample) in row.iter().enumerate() {
            let found = self.place_of(sample.metric, place);
            if let Some(place) = found {
                let old = self.cells[place];
                let time = self.stamps[old.stamp()].instant.time;
                if time > instant.time {
                    continue;
                }
                if time == instant.time {
                    let same = self.value(old) == sample.value && old.quality() == sample.quality;
                    repeats.duplicates += u64::from(same);
                    repeats.conflicts += u64::from(!same);
                }
            }
            let to = *stamp.get_or_insert_with(|| self.free_stamp(instant));
            match found {
                Some(place) => {
                    self.stamps[self.cells[place].stamp()].used -= 1;
                    self.set(place, to, sample, intern);
                }
                None => {
                    let place = self
                        .cells
                        .partition_point(|cell| cell.metric < sample.metric);
                    let cell = Cell {
                        bits: 0,
                        metric: sample.metric,
                        tag: Cell::tag(to, ABSENT, Quality::Good),
                    };
                    self.cells.insert(place, cell);
                    self.set(place, to, sample, intern);
                }
            }
            self.stamps[to].used += 1;
        }
        repeats
    }

    /// The row has exactly the metrics that are here, in their order, and is newer than them all.
    fn is_whole_and_newer(&self, instant: Instant, row: &[Sample<'_>]) -> bool {
        self.stamps.len() == 1
            && self.stamps[0].instant.time < instant.time
            && self.cells.len() == row.len()
            && self
                .cells
                .iter()
                .zip(row)
                .all(|(cell, sample)| cell.metric == sample.metric)
    }

    fn place_of(&self, metric: u32, hint: usize) -> Option<usize> {
        match self.cells.get(hint) {
            Some(cell) if cell.metric == metric => Some(hint),
            _ => {
                let found = self.cells.binary_search_by_key(&metric, |cell| cell.metric);
                found.ok()
            }
        }
    }

    fn free_stamp(&mut self, instant: Instant) -> usize {
        let new = Stamp { instant, used: 0 };
        match self.stamps.iter().position(|stamp| stamp.used == 0) {
            Some(place) => {
                self.stamps[place] = new;
                place
            }
            None => {
                self.stamps.push(new);
                self.stamps.len() - 1
            }
        }
    }

    fn value(&self, cell: Cell) -> Value<'_> {
        match (cell.kind(), &self.texts) {
            (NUMBER, _) => Value::Number(f64::from_bits(cell.bits)),
            (TEXT, Some(texts)) => Value::Text(&texts[cell.bits as usize]),
            _ => Value::Absent,
        }
    }

    fn set(
        &mut self,
        place: usize,
        stamp: usize,
        sample: &Sample<'_>,
        intern: &mut impl FnMut(&str) -> Arc<str>,
    ) {
        let cell = &mut self.cells[place];
        let (kind, bits) = match sample.value {
            Value::Number(number) => (NUMBER, number.to_bits()),
            Value::Absent => (ABSENT, 0),
            Value::Text(text) => {
                let texts = self.texts.get_or_insert_default();
                // A metric that was text once keeps its place while it stays text.
                let at = if cell.kind() == TEXT {
                    cell.bits as usize
                } else {
                    texts.push(Arc::from(""));
                    texts.len() - 1
                };
                if *texts[at] != *text {
                    texts[at] = intern(text);
                }
                (TEXT, at as u64)
            }
        };
        let was_text = cell.kind() == TEXT && kind != TEXT;
        let gone = cell.bits as usize;
        cell.bits = bits;
        cell.tag = Cell::tag(stamp, kind, sample.quality);
        if was_text {
            self.drop_text(gone);
        }
    }

    /// Gives a text's place to the last one.
    fn drop_text(&mut self, place: usize) {
        let Some(texts) = &mut self.texts else { return };
        texts.swap_remove(place);
        let moved = texts.len() as u64;
        for cell in &mut self.cells {
            if cell.kind() == TEXT && cell.bits == moved {
                cell.bits = place as u64;
            }
        }
        if texts.is_empty() {
            self.texts = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Quality = Quality::Good;

    fn number(metric: u32, value: f64) -> Sample<'static> {
        Sample {
            metric,
            value: Value::Number(value),
            quality: GOOD,
        }
    }

    fn text(metric: u32, value: &'static str) -> Sample<'static> {
        Sample {
            metric,
            value: Value::Text(value),
            quality: GOOD,
        }
    }

    /// Puts rows (time, samples) and compares the outcome and the repeats.
    fn check(
        rows: &[(i64, &[Sample<'static>])],
        expected: &[(i64, Sample<'static>)],
        repeats: (u64, u64),
    ) -> AssetCells {
        let mut cells = AssetCells::default();
        let mut counted = Repeats::default();
        for (received_at, (time, row)) in rows.iter().enumerate() {
            let instant = Instant {
                time: *time,
                received_at: received_at as i64,
            };
            let more = cells.put(instant, row, &mut |text| text.into());
            counted.duplicates += more.duplicates;
            counted.conflicts += more.conflicts;
        }
        let found: Vec<_> = cells
            .samples()
            .map(|(instant, sample)| (instant.time, sample))
            .collect();
        assert_eq!(found, expected);
        assert_eq!((counted.duplicates, counted.conflicts), repeats);
        cells
    }

    #[test]
    fn the_newer_wins_per_metric_and_the_later_receipt_at_one_instant() {
        check(&[], &[], (0, 0));
        check(
            &[
                (5, &[number(0, 1.0), number(1, 2.0)]),
                (6, &[number(0, 3.0), number(1, 4.0)]),
            ],
            &[(6, number(0, 3.0)), (6, number(1, 4.0))],
            (0, 0),
        );
        check(
            &[
                (5, &[number(0, 1.0), number(1, 2.0)]),
                (6, &[number(1, 4.0)]),
                (4, &[number(0, 9.0), number(2, 7.0)]),
            ],
            &[
                (5, number(0, 1.0)),
                (6, number(1, 4.0)),
                (4, number(2, 7.0)),
            ],
            (0, 0),
        );
        check(
            &[
                (5, &[number(0, 1.0)]),
                (5, &[number(0, 1.0)]),
                (5, &[number(0, 2.0)]),
            ],
            &[(5, number(0, 2.0))],
            (1, 1),
        );
        check(
            &[
                (5, &[number(0, f64::NAN)]),
                (5, &[number(0, f64::NAN)]),
                (5, &[number(0, 0.0)]),
                (5, &[number(0, -0.0)]),
            ],
            &[(5, number(0, -0.0))].map(|(time, sample)| (time, sample)),
            (1, 2),
        );
    }

    #[test]
    fn texts_come_and_go() {
        check(
            &[
                (1, &[text(0, "a"), text(1, "b"), text(2, "c")]),
                (2, &[number(0, 1.0)]),
                (3, &[text(2, "d")]),
                (3, &[text(2, "d")]),
            ],
            &[(2, number(0, 1.0)), (1, text(1, "b")), (3, text(2, "d"))],
            (1, 0),
        );
        let cells = check(
            &[(1, &[text(0, "a")]), (2, &[number(0, 1.0)])],
            &[(2, number(0, 1.0))],
            (0, 0),
        );
        assert!(cells.texts.is_none());
    }

    #[test]
    fn stamps_are_used_again() {
        let mut cells = AssetCells::default();
        for time in 0..1_000 {
            let row = [number((time % 3) as u32, time as f64), number(7, 0.0)];
            let instant = Instant {
                time,
                received_at: time,
            };
            cells.put(instant, &row, &mut |text| text.into());
        }
        assert!(cells.stamps.len() <= 5, "{}", cells.stamps.len());
        assert_eq!(cells.newest().unwrap().time, 999);
        assert_eq!(cells.len(), 4);
    }
}
