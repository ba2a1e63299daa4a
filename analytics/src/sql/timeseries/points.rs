//! Readings of one group, kept until all are there, then put in order of time.
//!
//! Rows come in any order and from several threads, so nothing can be computed before the last.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};

use super::instants;

/// Readings and the instant up to which the last one holds, when one is given.
///
/// **Units**: nanoseconds since 1970.
#[derive(Debug, Default, Clone)]
pub(super) struct Points {
    times: Vec<i64>,
    values: Vec<f64>,
    until: Option<i64>,
}

impl Points {
    /// Takes rows of (value, time[, until]). One without a value or without a time is no reading.
    pub(super) fn take(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let (values, times) = (&columns[0], instants::nanoseconds(&columns[1])?);
        let values = arrow::compute::cast(values, &DataType::Float64)?;
        let values = values.as_primitive::<Float64Type>();
        for (value, time) in values.iter().zip(times.iter()) {
            if let (Some(value), Some(time)) = (value, time) {
                self.times.push(time);
                self.values.push(value);
            }
        }
        if let Some(until) = columns.get(2) {
            self.hold_until(instants::nanoseconds(until)?.iter().flatten().max());
        }
        Ok(())
    }

    fn hold_until(&mut self, until: Option<i64>) {
        self.until = self.until.max(until);
    }

    /// In order of time; several readings of one instant in order of value.
    pub(super) fn sorted(&self) -> Vec<(i64, f64)> {
        let pairs = self.times.iter().copied().zip(self.values.iter().copied());
        let mut pairs: Vec<(i64, f64)> = pairs.collect();
        if !self.times.is_sorted_by(|a, b| a < b) {
            pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        }
        pairs
    }

    /// Each reading with how long it holds, seconds: until the next one, the last one until the
    /// instant that was given.
    pub(super) fn spans(&self) -> Vec<(f64, f64)> {
        let points = self.sorted();
        let ends = points.iter().skip(1).map(|next| Some(next.0));
        let ends = ends.chain([self.until]);
        let spans = points.iter().zip(ends).map(|((start, value), end)| {
            let held = instants::seconds(*start, end.unwrap_or(*start));
            (*value, held.max(0.0))
        });
        spans.collect()
    }

    /// Bytes held, with what sorting takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + (self.times.capacity() + self.values.capacity()) * 8 * 2
    }

    /// Fields of [`state`](Self::state).
    pub(super) fn state_fields(name: &str) -> Vec<Arc<Field>> {
        let list = |part: &str, item: DataType| {
            let item = DataType::new_list(item, true);
            Arc::new(Field::new(format!("{name}[{part}]"), item, true))
        };
        vec![
            list("times", DataType::Int64),
            list("values", DataType::Float64),
            Arc::new(Field::new(format!("{name}[until]"), DataType::Int64, true)),
        ]
    }

    pub(super) fn state(&mut self) -> Vec<ScalarValue> {
        let times = Int64Array::from(std::mem::take(&mut self.times));
        let values = Float64Array::from(std::mem::take(&mut self.values));
        let list = |items: ArrayRef| {
            let list = SingleRowListArrayBuilder::new(items).with_nullable(true);
            ScalarValue::List(Arc::new(list.build_list_array()))
        };
        vec![
            list(Arc::new(times)),
            list(Arc::new(values)),
            ScalarValue::Int64(self.until),
        ]
    }

    pub(super) fn merge(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [times, values, until] = states else {
            return Err(exec_datafusion_err!("readings are kept in three parts"));
        };
        let (times, values) = (times.as_list::<i32>(), values.as_list::<i32>());
        for row in 0..times.len() {
            if times.is_null(row) || values.is_null(row) {
                continue;
            }
            let (times, values) = (times.value(row), values.value(row));
            let times = times.as_primitive::<Int64Type>().values();
            self.times.extend_from_slice(times);
            let values = values.as_primitive::<Float64Type>().values();
            self.values.extend_from_slice(values);
        }
        let until = until.as_primitive::<Int64Type>();
        self.hold_until(until.iter().flatten().max());
        Ok(())
    }
}
