//! `time_weighted_avg(value, time[, until])`: the average over time instead of over readings.
//!
//! Each value holds until the next reading. The last one holds until `until`; without that it has
//! no weight. When no time passes between the readings they are averaged plainly.

use std::sync::Arc;

use datafusion::logical_expr::AggregateUDF;

use super::over_time::{Compute, OverTime, Value};
use super::points::Points;

pub(super) fn time_weighted_avg() -> Arc<AggregateUDF> {
    OverTime {
        name: "time_weighted_avg",
        value: Value::Number,
        until: true,
        compute: Compute(average),
    }
    .function()
}

fn average(points: &Points) -> Option<f64> {
    let spans = points.spans();
    let seconds: f64 = spans.iter().map(|(_, held)| held).sum();
    if seconds > 0.0 {
        let area: f64 = spans
            .iter()
            .filter(|span| span.1 > 0.0)
            .map(|(v, held)| v * held)
            .sum();
        return Some(area / seconds);
    }
    let sum: f64 = spans.iter().map(|(value, _)| value).sum();
    (!spans.is_empty()).then(|| sum / spans.len() as f64)
}
