//! The writing end: takes the rows of commits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Schema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use super::cells::{Instant, Repeats, Sample};
use super::columns::{MetricColumns, Texts, of_batch};
use super::{Assets, ClassLastValues, LastValues};
use crate::batch::Part;
use crate::catalog::fixed_fields;
use crate::snapshot::{ASSET, RECEIVED_AT, TIME};

/// Columns that a mask has room for.
const MASK_BITS: usize = 64;
/// Texts that are shared between assets; the set begins anew when it is full.
const SHARED_TEXTS: usize = 4_096;
/// Bytes of a text beyond which it is hardly one of a few.
const SHARED_BYTES: usize = 64;

/// Holds the newest picture and changes it.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    picture: Arc<LastValues>,
    /// Numbers of metrics by name, per class.
    metrics: HashMap<Arc<str>, HashMap<Arc<str>, u32>>,
    texts: HashSet<Arc<str>>,
    taken: Taken,
}

/// Which columns of a batch have given an asset its newest sample.
#[derive(Debug, Default)]
struct Taken {
    round: u32,
    assets: Vec<(u32, u64)>,
}

impl Taken {
    fn begin(&mut self, assets: usize) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.assets.clear();
            self.round = 1;
        }
        if self.assets.len() < assets {
            self.assets.resize(assets, (0, 0));
        }
    }

    fn of(&mut self, asset: u32) -> &mut u64 {
        let (round, columns) = &mut self.assets[asset as usize];
        if *round != self.round {
            (*round, *columns) = (self.round, 0);
        }
        columns
    }
}

impl Writer {
    /// Goes on from a picture.
    pub(crate) fn new(picture: Arc<LastValues>) -> Self {
        let numbers = |class: &Arc<ClassLastValues>| {
            let metrics = class.metrics.iter().cloned().zip(0..);
            (class.class.clone(), metrics.collect())
        };
        Self {
            metrics: picture.classes().map(numbers).collect(),
            picture,
            ..Self::default()
        }
    }

    /// The picture as it is now.
    pub(crate) fn picture(&self) -> Arc<LastValues> {
        self.picture.clone()
    }

    /// Takes committed rows in order.
    pub(crate) fn apply<'a>(&mut self, parts: impl IntoIterator<Item = &'a Part>) -> Repeats {
        let mut repeats = Repeats::default();
        for part in parts {
            let more = self.rows(&part.class, &part.schema, &part.rows.batch, !part.late);
            repeats.duplicates += more.duplicates;
            repeats.conflicts += more.conflicts;
        }
        repeats
    }

    /// Takes the rows of one class in order of arrival. `rising` says that the times of each asset
    /// rise, so that only its last sample of each metric counts: rows are read from the end, and
    /// most are passed over.
    pub(crate) fn rows(
        &mut self,
        class: &Arc<str>,
        table: &SchemaRef,
        rows: &RecordBatch,
        rising: bool,
    ) -> Repeats {
        let picture = Arc::make_mut(&mut self.picture);
        let entry = picture.classes.entry(class.clone());
        let entry = entry.or_insert_with(|| Arc::new(ClassLastValues::new(class.clone())));
        let last = Arc::make_mut(entry);
        if !Arc::ptr_eq(&last.schema, table) {
            last.schema = table.clone();
        }
        let numbers = self.metrics.entry(class.clone()).or_default();
        let columns = of_batch(rows, |metric| match numbers.get(metric) {
            Some(number) => *number,
            None => {
                let metric: Arc<str> = metric.into();
                let number = last.metrics.len() as u32;
                Arc::make_mut(&mut last.metrics).push(metric.clone());
                numbers.insert(metric, number);
                number
            }
        });
        let texts = &mut self.texts;
        let mut put = Put {
            last,
            columns: &columns,
            intern: |text: &str| shared(texts, text),
            repeats: Repeats::default(),
        };
        let (Some(assets), Some(time), Some(received_at)) = (
            rows.column_by_name(ASSET).and_then(Texts::of),
            instants(rows, TIME),
            instants(rows, RECEIVED_AT),
        ) else {
            return Repeats::default();
        };
        let instant = |row: usize| Instant {
            time: time[row],
            received_at: received_at[row],
        };
        let count = rows.num_rows();
        // New assets take their numbers in order of arrival, whatever the order below.
        let ids: Vec<Option<u32>> = (0..count)
            .map(|row| Some(put.last.asset(assets.get(row)?)))
            .collect();
        let mut scratch = Vec::with_capacity(columns.len());
        if rising && columns.len() <= MASK_BITS {
            self.taken.begin(put.last.assets());
            let all = u64::MAX >> (MASK_BITS - columns.len().max(1));
            for (row, asset) in ids.into_iter().enumerate().rev() {
                let Some(asset) = asset else { continue };
                let taken = self.taken.of(asset);
                if *taken != all {
                    put.row(&mut scratch, asset, row, instant(row), taken);
                }
            }
        } else {
            for (row, asset) in ids.into_iter().enumerate() {
                if let Some(asset) = asset {
                    put.row(&mut scratch, asset, row, instant(row), &mut 0);
                }
            }
        }
        put.repeats
    }
}

struct Put<'a, I> {
    last: &'a mut ClassLastValues,
    columns: &'a [MetricColumns],
    intern: I,
    repeats: Repeats,
}

impl<'a, I: FnMut(&str) -> Arc<str>> Put<'a, I> {
    /// Puts the samples of a row, but for the columns in `taken`, and adds those that it has.
    fn row(
        &mut self,
        scratch: &mut Vec<Sample<'a>>,
        asset: u32,
        row: usize,
        instant: Instant,
        taken: &mut u64,
    ) {
        scratch.clear();
        for (place, columns) in self.columns.iter().enumerate() {
            // Beyond the width of a mask nothing is ever taken.
            let bit = 1_u64.checked_shl(place as u32).unwrap_or(0);
            if *taken & bit == 0
                && let Some(sample) = columns.sample(row)
            {
                scratch.push(sample);
                *taken |= bit;
            }
        }
        let cells = self.last.cells_mut(asset);
        let repeats = cells.put(instant, scratch, &mut self.intern);
        self.repeats.duplicates += repeats.duplicates;
        self.repeats.conflicts += repeats.conflicts;
    }
}

impl ClassLastValues {
    pub(super) fn new(class: Arc<str>) -> Self {
        Self {
            class,
            schema: Arc::new(Schema::new(fixed_fields())),
            assets: Arc::default(),
            metrics: Arc::default(),
            chunks: Vec::new(),
        }
    }

    /// The number of an asset, given at first sight.
    pub(super) fn asset(&mut self, tag: &str) -> u32 {
        match self.assets.find(tag) {
            Some(id) => id,
            None => {
                let id = Arc::<Assets>::make_mut(&mut self.assets).add(tag.into());
                // So that every number has its cells.
                self.cells_mut(id);
                id
            }
        }
    }
}

pub(super) fn shared(texts: &mut HashSet<Arc<str>>, text: &str) -> Arc<str> {
    if text.len() > SHARED_BYTES {
        return text.into();
    }
    if let Some(known) = texts.get(text) {
        return known.clone();
    }
    if texts.len() >= SHARED_TEXTS {
        texts.clear();
    }
    let new: Arc<str> = text.into();
    texts.insert(new.clone());
    new
}

fn instants<'a>(rows: &'a RecordBatch, name: &str) -> Option<&'a [i64]> {
    let column = rows.column_by_name(name)?;
    let column = column.as_primitive_opt::<TimestampMicrosecondType>()?;
    (column.null_count() == 0).then(|| &column.values()[..])
}
