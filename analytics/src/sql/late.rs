//! Late rows of a query, merged to one row per key and laid over the in-order rows.
//!
//! This is done reading by reading, as a compaction does it for good: a value never keeps the
//! quality of another, nor a number the text that stood in its place.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{
    SortColumn, concat_batches, interleave, lexsort_to_indices, take, take_record_batch,
};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::StreamExt;

/// Places of the key columns in every batch here.
const ASSET_AT: usize = 0;
const TIME_AT: usize = 1;

/// The places of the columns of each reading, see [`cells`](super::metric::cells).
pub(super) type Cells = Arc<[Vec<usize>]>;

/// One merged row per key (asset, time), and which of them have met their in-order row.
pub(super) struct LateRows {
    merged: RecordBatch,
    cells: Cells,
    /// For each cell the merged rows that have the reading.
    said: Vec<Said>,
    rows: HashMap<Box<str>, HashMap<i64, u32>>,
    met: Vec<bool>,
    earliest: i64,
    latest: i64,
    _memory: MemoryReservation,
}

impl LateRows {
    /// Collects and merges the late rows: columns as `schema`, then the arrival sequence.
    pub(super) async fn collect(
        mut late: SendableRecordBatchStream,
        schema: SchemaRef,
        cells: Cells,
        memory: MemoryReservation,
    ) -> Result<Self> {
        let mut batches = Vec::new();
        while let Some(batch) = late.next().await {
            let batch = batch?;
            memory.try_grow(batch.get_array_memory_size())?;
            batches.push(batch);
        }
        let all = concat_batches(&late.schema(), &batches)?;
        // The parts live on beside their concatenation only until the merge is done.
        memory.try_grow(all.get_array_memory_size())?;
        drop(batches);
        let merged = merge(&all, schema, &cells)?;
        let mut late = Self {
            said: cells.iter().map(|cell| Said::of(&merged, cell)).collect(),
            cells,
            rows: HashMap::new(),
            met: vec![false; merged.num_rows()],
            earliest: i64::MAX,
            latest: i64::MIN,
            merged,
            _memory: memory,
        };
        late.index()?;
        Ok(late)
    }

    fn index(&mut self) -> Result<()> {
        let (assets, times) = keys(&self.merged)?;
        for row in 0..assets.len() {
            let (asset, time) = (assets.value(row), times.value(row));
            self.earliest = self.earliest.min(time);
            self.latest = self.latest.max(time);
            let place = u32::try_from(row)
                .map_err(|_| exec_datafusion_err!("more than 2^32 late rows in one query"))?;
            match self.rows.get_mut(asset) {
                Some(of_asset) => of_asset.insert(time, place),
                None => self
                    .rows
                    .entry(asset.into())
                    .or_default()
                    .insert(time, place),
            };
        }
        Ok(())
    }

    /// The batch with every reading that a late row of its key has.
    pub(super) fn lay_over(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let over = self.meet(&batch)?;
        if over.iter().all(Option::is_none) {
            return Ok(batch);
        }
        let mut columns = batch.columns().to_vec();
        for (cell, said) in self.cells.iter().zip(&self.said) {
            let picks = over.iter().enumerate().map(|(row, over)| match over {
                Some(place) if said.in_row(*place) => (1, *place as usize),
                _ => (0, row),
            });
            let picks: Vec<(usize, usize)> = picks.collect();
            for at in cell {
                let late = self.merged.column(*at);
                columns[*at] = interleave(&[columns[*at].as_ref(), late.as_ref()], &picks)?;
            }
        }
        Ok(RecordBatch::try_new(batch.schema(), columns)?)
    }

    /// For each row the late row of its key; remembers which were met.
    fn meet(&mut self, batch: &RecordBatch) -> Result<Vec<Option<u32>>> {
        let (assets, times) = keys(batch)?;
        let mut found = vec![None; assets.len()];
        let mut of_asset: Option<(&str, Option<&HashMap<i64, u32>>)> = None;
        for (row, found) in found.iter_mut().enumerate() {
            let time = times.value(row);
            if time < self.earliest || time > self.latest {
                continue;
            }
            let asset = assets.value(row);
            let late = match of_asset {
                Some((known, late)) if known == asset => late,
                _ => {
                    let late = self.rows.get(asset);
                    of_asset = Some((asset, late));
                    late
                }
            };
            *found = late.and_then(|late| late.get(&time)).copied();
            if let Some(place) = *found {
                self.met[place as usize] = true;
            }
        }
        Ok(found)
    }

    /// The merged late rows that met no in-order row: their keys exist nowhere else.
    pub(super) fn unmet(&self) -> Result<RecordBatch> {
        let places = (0..self.merged.num_rows()).filter(|place| !self.met[*place]);
        let places: UInt32Array = places.map(|place| place as u32).collect();
        Ok(take_record_batch(&self.merged, &places)?)
    }
}

/// The rows that have a reading: any of its columns says something.
#[derive(Debug)]
enum Said {
    Everywhere,
    Where(BooleanBuffer),
}

impl Said {
    fn of(rows: &RecordBatch, cell: &[usize]) -> Self {
        let mut said: Option<BooleanBuffer> = None;
        for at in cell {
            let Some(nulls) = rows.column(*at).logical_nulls() else {
                return Self::Everywhere;
            };
            said = Some(match said {
                None => nulls.into_inner(),
                Some(before) => &before | nulls.inner(),
            });
        }
        said.map_or(Self::Everywhere, Self::Where)
    }

    fn in_row(&self, row: u32) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Where(said) => said.value(row as usize),
        }
    }
}

/// One row per key: of each reading the last one in the order of arrival, as a whole.
fn merge(all: &RecordBatch, schema: SchemaRef, cells: &Cells) -> Result<RecordBatch> {
    let width = schema.fields().len();
    let (assets, times) = keys(all)?;
    let arrival = Arc::clone(all.column(width));
    // Rows of one record share their number; the place in the batch tells them apart.
    let place: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..all.num_rows() as u32));
    let order = lexsort_to_indices(
        &[all.column(ASSET_AT), all.column(TIME_AT), &arrival, &place].map(|values| SortColumn {
            values: Arc::clone(values),
            options: None,
        }),
        None,
    )?;
    let same_key = |a: u32, b: u32| {
        let (a, b) = (a as usize, b as usize);
        times.value(a) == times.value(b) && assets.value(a) == assets.value(b)
    };
    let groups: Vec<&[u32]> = order.values().chunk_by(|a, b| same_key(*a, *b)).collect();
    let first: UInt32Array = groups.iter().map(|rows| rows.first().copied()).collect();
    let mut columns = all.columns()[..width].to_vec();
    for at in [ASSET_AT, TIME_AT] {
        columns[at] = take(&columns[at], &first, None)?;
    }
    for cell in cells.iter() {
        let said = Said::of(all, cell);
        let last = groups.iter().map(|rows| {
            let found = rows.iter().rev().find(|row| said.in_row(**row));
            found.copied()
        });
        let last: UInt32Array = last.collect();
        for at in cell {
            columns[*at] = take(&columns[*at], &last, None)?;
        }
    }
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn keys(batch: &RecordBatch) -> Result<(&StringArray, &TimestampMicrosecondArray)> {
    let assets = batch.column(ASSET_AT).as_string_opt::<i32>();
    let times = batch
        .column(TIME_AT)
        .as_primitive_opt::<TimestampMicrosecondType>();
    assets.zip(times).ok_or_else(|| {
        exec_datafusion_err!("asset must be Utf8 and time a timestamp in microseconds")
    })
}
