//! `time_in_state(state, time, 'name'[, until])`: seconds during which a state held.
//!
//! A state holds until the next reading; the last one holds until `until`, without it for no time.
//! The call is rewritten to `time_in_state(state = 'name', time[, until])`, which may be written too.

use std::sync::Arc;

use datafusion::logical_expr::AggregateUDF;

use super::over_time::{Compute, OverTime, Value};
use super::points::Points;

pub(super) fn time_in_state() -> Arc<AggregateUDF> {
    OverTime {
        name: "time_in_state",
        value: Value::Condition,
        until: true,
        compute: Compute(seconds),
    }
    .function()
}

fn seconds(points: &Points) -> Option<f64> {
    let spans = points.spans();
    let held = spans.iter().filter(|(state, _)| *state != 0.0);
    // Not `sum`: that of nothing is minus zero.
    let held = held.fold(0.0, |sum, (_, seconds)| sum + seconds);
    (!spans.is_empty()).then_some(held)
}
