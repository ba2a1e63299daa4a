//! What a declared threshold has to say about a reading.

use fieldwright_condition::episode::Turn;
use fieldwright_condition::guard::{Guarded, ThresholdSettings};
use serde_json::json;

use super::engine::Found;
use super::evidence::instant;
use crate::alarms::Occurrence;

/// What a turn means for the alarm of a threshold; `time` is that of the reading.
pub(super) fn found(
    (asset, class): (&str, &str),
    (name, own): (&String, &ThresholdSettings),
    guarded: &Guarded,
    time: i64,
) -> Option<Found> {
    let at = instant(time);
    let began_at = match guarded.turn {
        Turn::Raise { began } => instant(began),
        Turn::Return => {
            return Some(Found::Return {
                asset: asset.to_owned(),
                cause: name.clone(),
                at,
            });
        }
        Turn::None | Turn::Worse => return None,
    };
    let is_low = own.below.is_some_and(|limit| guarded.value <= limit);
    let (limit, side) = match (is_low, own.below, own.above) {
        (true, Some(limit), _) => (limit, "at or below"),
        (_, _, above) => (above.unwrap_or(f64::NAN), "at or above"),
    };
    Some(Found::Raise(Occurrence {
        asset: asset.to_owned(),
        class: class.to_owned(),
        cause: name.clone(),
        severity: own.severity,
        summary: format!(
            "{asset}: {} is {}, {side} its limit of {limit}",
            own.metric, guarded.value
        ),
        evidence: json!({
            "detector": name,
            "threshold": own,
            "metric": own.metric,
            "observed": guarded.value,
            "limit": limit,
            "began_at": began_at,
        }),
        began_at,
        raised_at: at,
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    };
    use fieldwright_ingest::snapshot::{ASSET, TIME};

    use crate::detect::config::tests::config;
    use crate::detect::engine::{Engine, Finding, Found};

    fn batch(from: i64, values: &[f64]) -> RecordBatch {
        let times: Vec<i64> = (from..).take(values.len()).map(|s| s * 1_000_000).collect();
        let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
        let tags = StringArray::from(vec!["M-1"; values.len()]);
        RecordBatch::try_from_iter([
            (ASSET, Arc::new(tags) as ArrayRef),
            (TIME, Arc::new(times) as ArrayRef),
            ("temp_c", Arc::new(Float64Array::from(values.to_vec()))),
        ])
        .unwrap()
    }

    /// R raised, B back, with the second.
    fn shown(findings: &[Finding]) -> String {
        let one = |finding: &Finding| match &finding.found {
            Found::Raise(found) => format!("R{}", found.raised_at.timestamp()),
            Found::Return { at, .. } => format!("B{}", at.timestamp()),
            other => panic!("{other:?}"),
        };
        findings.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_threshold_needs_no_learning_and_its_delay_survives_a_restart() {
        let config = Arc::new(
            config(
                "[classes.mill.thresholds.too_hot]\nmetric = 'temp_c'\nabove = 95.0\n\
                 hysteresis = 2.0\nmin_duration = '3s'\nseverity = 'critical'",
            )
            .unwrap(),
        );
        assert_eq!(config.validate(), Vec::<String>::new());
        let values = [
            90.0, 96.0, 96.0, 94.0, 96.0, 96.0, 92.0, 92.0, 92.0, 92.0, 92.0,
        ];
        let class: Arc<str> = "mill".into();
        let mut whole = Engine::new(Arc::clone(&config));
        let mut expected = Vec::new();
        whole.ingest(&class, &batch(0, &values), &mut expected);
        assert_eq!(shown(&expected), "R4 B9");
        for cut in 1..values.len() {
            let mut before = Engine::new(Arc::clone(&config));
            let mut found = Vec::new();
            before.ingest(&class, &batch(0, &values[..cut]), &mut found);
            let done: Vec<Finding> = found.clone();
            for finding in &done {
                before.kept(finding);
            }
            let saved = before.take_progress(10).progress;
            let mut after = Engine::new(Arc::clone(&config));
            after.restore(saved, Vec::new());
            // Rows from before come once more.
            after.ingest(&class, &batch(0, &values), &mut found);
            assert_eq!(shown(&found), "R4 B9", "cut at {cut}");
        }
    }
}
