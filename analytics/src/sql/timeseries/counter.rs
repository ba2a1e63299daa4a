//! `counter_increase(value, time)` and `counter_rate(value, time)`: how far and how fast a counter
//! went up, when it may fall back to zero.
//!
//! A value below the one before it is a reset: the counter began again at zero and has reached
//! that value since. What was counted between the last reading and the reset is not known.

use std::sync::Arc;

use datafusion::logical_expr::AggregateUDF;

use super::instants::seconds;
use super::over_time::{Compute, OverTime, Value};
use super::points::Points;

pub(super) fn counter_increase() -> Arc<AggregateUDF> {
    OverTime {
        name: "counter_increase",
        value: Value::Number,
        until: false,
        compute: Compute(|points| increase(&points.sorted())),
    }
    .function()
}

pub(super) fn counter_rate() -> Arc<AggregateUDF> {
    OverTime {
        name: "counter_rate",
        value: Value::Number,
        until: false,
        compute: Compute(rate),
    }
    .function()
}

/// Needs two readings.
fn increase(points: &[(i64, f64)]) -> Option<f64> {
    let steps = points.windows(2).map(|pair| match pair {
        [(_, before), (_, after)] if after < before => *after,
        [(_, before), (_, after)] => after - before,
        _ => 0.0,
    });
    (points.len() >= 2).then(|| steps.fold(0.0, |sum, step| sum + step))
}

/// Per second between the first and the last reading, which must differ in time.
fn rate(points: &Points) -> Option<f64> {
    let points = points.sorted();
    let (first, last) = (points.first()?.0, points.last()?.0);
    let seconds = seconds(first, last);
    let increase = increase(&points)?;
    (seconds > 0.0).then(|| increase / seconds)
}
