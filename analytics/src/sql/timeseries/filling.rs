//! `locf(value)` and `interpolate(value, time)` as window functions.
//!
//! Both look at their whole partition once, in the order that OVER gives; a frame means nothing to
//! them, as it means nothing to `lag`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};

use super::instants::{instant_type, nanoseconds, seconds};

/// `locf(value)`: the last value that is not null, up to the current row.
pub(super) fn locf() -> Arc<WindowUDF> {
    Arc::new(WindowUDF::from(Filling::new("locf", Kind::Last)))
}

/// `interpolate(value, time)`: where the value is null, the straight line between its neighbours.
/// Before the first and after the last value there is none.
pub(super) fn interpolate() -> Arc<WindowUDF> {
    Arc::new(WindowUDF::from(Filling::new("interpolate", Kind::Line)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Last,
    Line,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Filling {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl Filling {
    fn new(name: &'static str, kind: Kind) -> Self {
        let signature = match kind {
            Kind::Last => Signature::any(1, Volatility::Immutable),
            Kind::Line => Signature::user_defined(Volatility::Immutable),
        };
        Self {
            name,
            kind,
            signature,
        }
    }
}

impl WindowUDFImpl for Filling {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [value, time] if value.is_numeric() || value.is_null() => {
                Ok(vec![DataType::Float64, instant_type(self.name, time)?])
            }
            _ => plan_err!(
                "Write interpolate(value, time) OVER (… ORDER BY time) with a number and an \
                 instant, or group by date_bin_gapfill."
            ),
        }
    }
    fn partition_evaluator(
        &self,
        _: PartitionEvaluatorArgs<'_>,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator(self.kind)))
    }
    fn field(&self, arguments: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        let data_type = match (self.kind, arguments.get_input_field(0)) {
            (Kind::Last, Some(field)) => field.data_type().clone(),
            _ => DataType::Float64,
        };
        Ok(Arc::new(Field::new(arguments.name(), data_type, true)))
    }
}

#[derive(Debug)]
struct Evaluator(Kind);

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        match self.0 {
            Kind::Last => last(&columns[0], rows),
            Kind::Line => {
                let times = nanoseconds(&columns[1])?;
                let values = columns[0].as_primitive::<Float64Type>();
                let values: Vec<Option<f64>> = values.iter().collect();
                let times: Vec<Option<i64>> = times.iter().collect();
                Ok(Arc::new(Float64Array::from(line(&values, &times))))
            }
        }
    }
}

fn last(values: &ArrayRef, rows: usize) -> Result<ArrayRef> {
    let nulls = values.logical_nulls();
    let mut latest = None;
    let picks = (0..rows).map(|row| {
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
            latest = Some(row as u64);
        }
        latest
    });
    let picks = UInt64Array::from_iter(picks);
    Ok(take(values, &picks, None)?)
}

fn line(values: &[Option<f64>], times: &[Option<i64>]) -> Vec<Option<f64>> {
    let mut filled = values.to_vec();
    // The latest row with both a value and a time.
    let mut before: Option<(usize, f64, i64)> = None;
    for row in 0..values.len() {
        let (Some(value), Some(time)) = (values[row], times[row]) else {
            continue;
        };
        if let Some((from, first, start)) = before {
            for gap in from + 1..row {
                if let (None, Some(at)) = (values[gap], times[gap]) {
                    filled[gap] = Some(between((start, first), (time, value), at));
                }
            }
        }
        before = Some((row, value, time));
    }
    filled
}

fn between(from: (i64, f64), to: (i64, f64), at: i64) -> f64 {
    let whole = seconds(from.0, to.0);
    match whole == 0.0 {
        true => from.1,
        false => from.1 + (to.1 - from.1) * (seconds(from.0, at) / whole),
    }
}
