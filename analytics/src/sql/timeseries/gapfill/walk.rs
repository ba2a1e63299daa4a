//! The walk through grouped rows in order of series and time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt64Array, new_null_array};
use arrow::compute::{cast, interleave, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::BaselineMetrics;
use futures::{Stream, StreamExt, stream};

use super::NAME;
use super::stride::Stride;
use crate::sql::SqlError;

/// Most rows that are made for one series.
const MADE_ROWS: u64 = 1_000_000;

/// The spans that every series has a row for, in the unit of the instants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spans {
    pub(super) stride: Stride,
    /// An instant of the first span.
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
    /// The span that begins at `to` belongs to them.
    pub(super) closed: bool,
}

impl Spans {
    /// Whether a span that begins then belongs to the range, as far as its end is known.
    fn holds(&self, bin: i64) -> bool {
        self.to
            .is_none_or(|to| bin < to || (self.closed && bin == to))
    }
}

/// Walks and makes rows.
pub(super) struct Walk {
    schema: SchemaRef,
    input: SendableRecordBatchStream,
    bin: usize,
    /// Places of the columns that tell one series from another.
    series_columns: Vec<usize>,
    series_rows: Option<RowConverter>,
    spans: Spans,
    rows_per_batch: usize,
    batch: Option<Grouped>,
    row: usize,
    ended: bool,
    series: Option<Series>,
    /// How many series were begun.
    begun: u64,
}

/// A batch that was read.
struct Grouped {
    rows: RecordBatch,
    series: Option<Rows>,
    bins: Int64Array,
}

/// The series that is being walked through.
struct Series {
    number: u64,
    key: Option<OwnedRow>,
    /// One row of it.
    row: RecordBatch,
    /// The span that is due.
    next: Option<i64>,
    made: u64,
}

/// What comes next.
enum Step {
    /// A row of the batch.
    Row(usize),
    /// A row that is made for the current series.
    Made(i64),
    /// The batch is used up.
    Used,
}

impl Walk {
    pub(super) fn new(
        schema: SchemaRef,
        input: SendableRecordBatchStream,
        (bin, series_columns): (usize, Vec<usize>),
        spans: Spans,
        rows_per_batch: usize,
    ) -> Result<Self> {
        let fields = series_columns.iter();
        let fields = fields.map(|at| SortField::new(schema.field(*at).data_type().clone()));
        let fields: Vec<SortField> = fields.collect();
        let series_rows = (!fields.is_empty()).then(|| RowConverter::new(fields));
        Ok(Self {
            series_rows: series_rows.transpose()?,
            schema,
            input,
            bin,
            series_columns,
            spans,
            rows_per_batch,
            batch: None,
            row: 0,
            ended: false,
            series: None,
            begun: 0,
        })
    }

    pub(super) fn into_stream(
        self,
        memory: MemoryReservation,
        metrics: BaselineMetrics,
    ) -> impl Stream<Item = Result<RecordBatch>> + Send {
        stream::try_unfold(
            (self, memory, metrics),
            |(mut walk, memory, metrics)| async move {
                let batch = walk.next_batch(&memory).await?;
                let rows = batch.as_ref().map_or(0, RecordBatch::num_rows);
                metrics.record_output(rows);
                Ok(batch.map(|batch| (batch, (walk, memory, metrics))))
            },
        )
    }

    async fn next_batch(&mut self, memory: &MemoryReservation) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.filled()? {
                return Ok(Some(batch));
            }
            if self.ended {
                return Ok(None);
            }
            self.row = 0;
            self.batch = match self.input.next().await {
                Some(batch) => Some(self.grouped(batch?)?),
                None => {
                    self.ended = true;
                    None
                }
            };
            let bytes = self.batch.as_ref().map_or(0, |batch| {
                batch.rows.get_array_memory_size() + batch.series.as_ref().map_or(0, Rows::size)
            });
            memory.try_resize(bytes * 2)?;
        }
    }

    fn grouped(&self, rows: RecordBatch) -> Result<Grouped> {
        let series = self.series_columns.iter();
        let series: Vec<ArrayRef> = series.map(|at| Arc::clone(rows.column(*at))).collect();
        let converter = self.series_rows.as_ref();
        let series = converter.map(|converter| converter.convert_columns(&series));
        let bins = cast(rows.column(self.bin), &DataType::Int64)?;
        Ok(Grouped {
            series: series.transpose()?,
            bins: bins.as_primitive::<Int64Type>().clone(),
            rows,
        })
    }

    /// Rows up to the size of a batch; none when the batch that was read is used up.
    fn filled(&mut self) -> Result<Option<RecordBatch>> {
        let mut output = Output::default();
        while output.bins.len() < self.rows_per_batch {
            match self.step()? {
                Step::Row(row) => {
                    let batch = self.batch.as_ref().expect("a row of a batch that is there");
                    let bin = batch.bins.is_valid(row).then(|| batch.bins.value(row));
                    output.row(&batch.rows, row, bin);
                }
                Step::Made(bin) => {
                    if let Some(series) = &self.series {
                        output.made(series, bin);
                    }
                }
                Step::Used => break,
            }
        }
        match output.bins.is_empty() {
            true => Ok(None),
            false => self.put_together(output).map(Some),
        }
    }

    fn step(&mut self) -> Result<Step> {
        let batch = self.batch.as_ref();
        let Some(batch) = batch.filter(|batch| self.row < batch.rows.num_rows()) else {
            return match self.ended {
                true => Ok(self.rest()?.map_or(Step::Used, Step::Made)),
                false => Ok(Step::Used),
            };
        };
        let key = batch.series.as_ref().map(|rows| rows.row(self.row));
        let same = self
            .series
            .as_ref()
            .is_some_and(|series| series.key.as_ref().map(OwnedRow::row) == key);
        if !same {
            let (key, row) = (key.map(|key| key.owned()), self.row as u64);
            if let Some(made) = self.rest()? {
                return Ok(Step::Made(made));
            }
            let batch = self.batch.as_ref().expect("looked at above");
            self.begun += 1;
            self.series = Some(Series {
                number: self.begun,
                key,
                row: take_record_batch(&batch.rows, &UInt64Array::from(vec![row]))?,
                next: self.spans.from,
                made: 0,
            });
        }
        let batch = self.batch.as_ref().expect("looked at above");
        let (row, bin) = (self.row, &batch.bins);
        let bin = bin.is_valid(row).then(|| bin.value(row));
        let (Some(bin), Some(series)) = (bin, self.series.as_mut()) else {
            self.row += 1;
            return Ok(Step::Row(row));
        };
        let due = *series.next.get_or_insert(bin);
        if due < bin && self.spans.holds(due) {
            return Ok(Step::Made(series.make(due, self.spans.stride)?));
        }
        if due <= bin {
            series.next = self.spans.stride.after(bin);
        }
        self.row += 1;
        Ok(Step::Row(row))
    }

    /// What the current series lacks after its last row, up to the end of the range.
    fn rest(&mut self) -> Result<Option<i64>> {
        let spans = self.spans;
        let Some(series) = &mut self.series else {
            return Ok(None);
        };
        match series.next {
            Some(due) if spans.to.is_some() && spans.holds(due) => {
                series.make(due, spans.stride).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn put_together(&self, output: Output) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (at, field) in self.schema.fields().iter().enumerate() {
            if at == self.bin {
                let bins = Int64Array::from(output.bins.clone());
                columns.push(cast(&bins, field.data_type())?);
                continue;
            }
            let of_series = self.series_columns.contains(&at);
            let none = new_null_array(field.data_type(), 1);
            let sources = output.sources.iter().map(|batch| batch.column(at).as_ref());
            let sources: Vec<&dyn Array> = sources.chain([none.as_ref()]).collect();
            let none = (sources.len() - 1, 0);
            let picks = output.picks.iter().zip(&output.is_made);
            let picks = picks.map(|(pick, made)| match *made && !of_series {
                true => none,
                false => *pick,
            });
            columns.push(interleave(&sources, &picks.collect::<Vec<_>>())?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

impl Series {
    fn make(&mut self, due: i64, stride: Stride) -> Result<i64> {
        self.made += 1;
        if self.made > MADE_ROWS {
            let refused = SqlError::NotOffered {
                what: format!("{NAME} beyond {MADE_ROWS} missing rows of one series"),
                instead: "Take a longer interval or a shorter range of time.",
            };
            return Err(refused.into());
        }
        self.next = stride.after(due);
        Ok(due)
    }
}

/// A batch of the answer while it is put together.
#[derive(Default)]
struct Output {
    sources: Vec<RecordBatch>,
    /// Place of the batch that was read among the sources.
    batch: Option<usize>,
    /// Number and place among the sources of the latest series that rows were made for.
    series: Option<(u64, usize)>,
    picks: Vec<(usize, usize)>,
    is_made: Vec<bool>,
    bins: Vec<Option<i64>>,
}

impl Output {
    fn row(&mut self, batch: &RecordBatch, row: usize, bin: Option<i64>) {
        let source = *self.batch.get_or_insert_with(|| {
            self.sources.push(batch.clone());
            self.sources.len() - 1
        });
        self.push((source, row), false, bin);
    }

    fn made(&mut self, series: &Series, bin: i64) {
        let place = match self.series {
            Some((number, place)) if number == series.number => place,
            _ => {
                self.sources.push(series.row.clone());
                self.sources.len() - 1
            }
        };
        self.series = Some((series.number, place));
        self.push((place, 0), true, Some(bin));
    }

    fn push(&mut self, pick: (usize, usize), made: bool, bin: Option<i64>) {
        self.picks.push(pick);
        self.is_made.push(made);
        self.bins.push(bin);
    }
}
