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
    /// Marks the assets whose newest row of a batch was taken.
    seen: Vec<u32>,
    round: u32,
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
    /// rise, so that its last row alone counts where every row has every metric.
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
        let mut scratch = Vec::with_capacity(columns.len());
        let mut known: Option<(&str, u32)> = None;
        let mut number = |put: &mut ClassLastValues, row: usize| {
            let tag = assets.get(row)?;
            match known {
                Some((before, id)) if before == tag => Some(id),
                _ => {
                    let id = put.asset(tag);
                    known = Some((tag, id));
                    Some(id)
                }
            }
        };
        if rising && columns.iter().all(MetricColumns::is_full) {
            self.round = self.round.wrapping_add(1);
            if self.round == 0 {
                self.seen.fill(0);
                self.round = 1;
            }
            // New assets take their numbers in order of arrival all the same.
            let ids: Vec<Option<u32>> = (0..count).map(|row| number(put.last, row)).collect();
            if self.seen.len() < put.last.assets() {
                self.seen.resize(put.last.assets(), 0);
            }
            for (row, asset) in ids.into_iter().enumerate().rev() {
                let Some(asset) = asset else { continue };
                if std::mem::replace(&mut self.seen[asset as usize], self.round) != self.round {
                    put.row(&mut scratch, asset, row, instant(row));
                }
            }
        } else {
            for row in 0..count {
                if let Some(asset) = number(put.last, row) {
                    put.row(&mut scratch, asset, row, instant(row));
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
    fn row(&mut self, scratch: &mut Vec<Sample<'a>>, asset: u32, row: usize, instant: Instant) {
        scratch.clear();
        scratch.extend(
            self.columns
                .iter()
                .filter_map(|columns| columns.sample(row)),
        );
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
