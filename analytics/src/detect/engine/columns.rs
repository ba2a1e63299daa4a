//! A batch of readings as slices of columns.

use arrow::array::{Array, Float64Array, StringArray, TimestampMicrosecondArray};
use arrow::buffer::NullBuffer;
use arrow::record_batch::RecordBatch;
use fieldwright_ingest::snapshot::{ASSET, RECEIVED_AT, SEQUENCE, TIME};

/// The columns of a batch.
pub(in crate::detect) struct Columns<'a> {
    assets: &'a StringArray,
    times: &'a TimestampMicrosecondArray,
    metrics: Vec<(usize, Slice<'a>)>,
}

/// The values of one metric.
#[derive(Clone, Copy)]
pub(in crate::detect) struct Slice<'a> {
    values: &'a [f64],
    nulls: Option<&'a NullBuffer>,
}

impl Slice<'_> {
    /// The value of a row, NaN where there is none.
    #[inline]
    pub(in crate::detect) fn value(&self, row: usize) -> f64 {
        match self.nulls {
            Some(nulls) if nulls.is_null(row) => f64::NAN,
            _ => self.values[row],
        }
    }
}

impl<'a> Columns<'a> {
    /// The columns of a batch; `number` gives each metric its number. `None` when it has no
    /// readings.
    pub(in crate::detect) fn of(
        batch: &'a RecordBatch,
        mut number: impl FnMut(&str) -> usize,
    ) -> Option<Self> {
        let assets = batch.column_by_name(ASSET)?.as_any().downcast_ref()?;
        let times = batch.column_by_name(TIME)?.as_any().downcast_ref()?;
        let schema = batch.schema_ref();
        let mut metrics = Vec::with_capacity(schema.fields().len());
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            if [ASSET, TIME, RECEIVED_AT, SEQUENCE].contains(&field.name().as_str()) {
                continue;
            }
            if let Some(values) = column.as_any().downcast_ref::<Float64Array>() {
                let slice = Slice {
                    values: values.values(),
                    nulls: values.nulls(),
                };
                metrics.push((number(field.name()), slice));
            }
        }
        Some(Self {
            assets,
            times,
            metrics,
        })
    }

    /// The slices by the number of their metric.
    pub(in crate::detect) fn by_metric(&self, metrics: usize) -> Vec<Option<Slice<'a>>> {
        let mut slices = vec![None; metrics];
        for (number, slice) in &self.metrics {
            slices[*number] = Some(*slice);
        }
        slices
    }

    #[inline]
    pub(in crate::detect) fn asset(&self, row: usize) -> &'a str {
        self.assets.value(row)
    }

    /// **Units**: microseconds since 1970.
    #[inline]
    pub(in crate::detect) fn time(&self, row: usize) -> i64 {
        self.times.value(row)
    }
}
