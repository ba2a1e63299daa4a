//! What a declared threshold has to say about a reading.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fieldwright_condition::ClassSettings;
use fieldwright_condition::episode::{Episode, Turn};
use fieldwright_condition::guard::{Guarded, Guards, ThresholdSettings};
use serde_json::json;

use super::engine::Found;
use super::evidence::instant;
use super::verdict::AssetVerdict;
use super::withheld::Withheld;
use crate::alarms::Occurrence;

/// When the alarm of a threshold began, while it is up. **Units**: microseconds since 1970.
pub(super) fn began(guards: &Guards, threshold: usize) -> Option<i64> {
    match guards.standing(threshold)?.0 {
        Episode::Active { since, .. } => Some(since),
        Episode::Quiet | Episode::Pending { .. } => None,
    }
}

/// The thresholds whose alarm began in the past and was not raised, and whose metric has just been
/// judged at `time` again without a turn.
pub(super) fn withheld(
    guards: &Guards,
    thresholds: &BTreeMap<String, ThresholdSettings>,
    (withheld, time): (&Withheld, i64),
    value: impl Fn(usize) -> f64,
) -> Vec<Guarded> {
    let mut found = Vec::new();
    for (threshold, name) in thresholds.keys().enumerate() {
        let just = guards.standing(threshold).filter(|(_, seen)| *seen == time);
        if withheld.holds(name) && just.is_some_and(|(episode, _)| episode.is_active()) {
            found.push(Guarded {
                threshold,
                turn: Turn::None,
                value: value(threshold),
            });
        }
    }
    found
}

/// What the thresholds say about a repair done at `since`; `None` when none has an opinion.
///
/// One whose metric has been silent for longer than `stale_after` has none: a sensor that is gone
/// does not hold up a repair for ever. `newest` is the asset's newest reading.
pub(super) fn verdict(
    guards: &Guards,
    settings: &ClassSettings,
    (since, newest): (DateTime<Utc>, i64),
) -> Option<AssetVerdict> {
    let since = since.timestamp_micros();
    let windows = |count: usize| {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        settings.step.micros().saturating_mul(count)
    };
    let settled = since.saturating_add(settings.verify_settle.micros());
    let enough = windows(settings.verify_in_band_windows);
    let patience = windows(settings.verify_out_of_band_windows);
    let opinion = |threshold: usize| {
        let (episode, seen) = guards.standing(threshold)?;
        if newest.saturating_sub(seen) > settings.stale_after.micros() {
            return None;
        }
        let (since, is_quiet) = match episode {
            Episode::Quiet => (guards.quiet_since(threshold).unwrap_or(seen), true),
            Episode::Pending { since } | Episode::Active { since, .. } => (since, false),
        };
        let lasted = seen.saturating_sub(since.max(settled));
        Some(match is_quiet {
            true if lasted >= enough => AssetVerdict::InBand {
                windows: settings.verify_in_band_windows,
                newest: instant(seen),
            },
            false if lasted >= patience => AssetVerdict::OutOfBand {
                windows: settings.verify_out_of_band_windows,
                newest: instant(seen),
            },
            _ => AssetVerdict::Waiting,
        })
    };
    let opinions = (0..settings.thresholds.len()).filter_map(opinion);
    opinions.reduce(AssetVerdict::and)
}

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
    use chrono::DateTime;
    use fieldwright_ingest::snapshot::{ASSET, RECEIVED_AT, TIME};

    use crate::detect::config::tests::config;
    use crate::detect::engine::{Engine, Finding, Found};
    use crate::detect::verdict::AssetVerdict;

    fn batch(from: i64, values: &[f64]) -> RecordBatch {
        metric("temp_c", from, values, 0)
    }

    /// Readings a second apart, each received `age` seconds after its time.
    fn metric(name: &str, from: i64, values: &[f64], age: i64) -> RecordBatch {
        let instants = |shift: i64| {
            let times = (from..).take(values.len()).map(|s| (s + shift) * 1_000_000);
            let times: Vec<i64> = times.collect();
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")) as ArrayRef
        };
        let tags = StringArray::from(vec!["M-1"; values.len()]);
        RecordBatch::try_from_iter([
            (ASSET, Arc::new(tags) as ArrayRef),
            (TIME, instants(0)),
            (RECEIVED_AT, instants(age)),
            (name, Arc::new(Float64Array::from(values.to_vec()))),
        ])
        .unwrap()
    }

    const TOO_HOT: &str = "[classes.mill.thresholds.too_hot]\nmetric = 'temp_c'\nabove = 95.0\n\
        min_duration = '0s'\nseverity = 'critical'\n";

    fn engine(more: &str) -> Engine {
        Engine::new(Arc::new(config(&format!("{TOO_HOT}{more}")).unwrap()))
    }

    #[test]
    fn a_history_raises_nothing_and_what_is_still_there_is_raised_when_it_is_now() {
        const TWO_DAYS: i64 = 2 * 86_400;
        let (mut whole, class) = (engine(""), "mill".into());
        let mut found = Vec::new();
        let history = [90.0, 99.0, 90.0, 99.0, 99.0];
        whole.ingest(&class, &metric("temp_c", 0, &history, TWO_DAYS), &mut found);
        assert_eq!(shown(&found), "", "of the past");
        // A restart in between forgets nothing.
        let saved = whole.take_progress(10).progress;
        for (values, expected) in [(&[99.0, 90.0][..], "R9 B10"), (&[90.0, 99.0], "R10")] {
            let mut after = engine("");
            after.restore(saved.clone(), Vec::new());
            let mut found = Vec::new();
            after.ingest(&class, &batch(9, values), &mut found);
            assert_eq!(shown(&found), expected);
        }
    }

    #[test]
    fn metrics_that_come_in_messages_of_their_own_are_all_judged() {
        let (mut engine, class) = (
            engine(
                "[classes.mill.thresholds.pressed]\nmetric = 'bar'\nabove = 5.0\n\
                 min_duration = '0s'\nseverity = 'low'",
            ),
            "mill".into(),
        );
        let mut found = Vec::new();
        engine.ingest(&class, &metric("temp_c", 0, &[20.0, 20.0], 0), &mut found);
        // Ingest calls these late: their times are not newer than what the asset has.
        engine.ingest_late(&class, &metric("bar", 0, &[1.0, 6.0], 0), &mut found);
        assert_eq!(shown(&found), "R1");
        // What is older than the newest of its metric says nothing new.
        engine.ingest_late(&class, &metric("bar", 0, &[1.0, 1.0], 0), &mut found);
        engine.ingest_late(&class, &metric("temp_c", 0, &[99.0, 99.0], 0), &mut found);
        assert_eq!(shown(&found), "R1");
        // Of an asset that nobody knows nothing is late.
        engine.ingest_late(&"kiln".into(), &metric("bar", 0, &[9.0], 0), &mut found);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_threshold_has_a_say_in_the_verification_of_a_repair() {
        let more = "[classes.mill]\nwindow = '1s'\nstep = '1s'\nlearning = '1h'\n\
            verify_settle = '2s'\nverify_in_band_windows = 3\nverify_out_of_band_windows = 5\n\
            stale_after = '20s'";
        let config = config(&format!("{more}\n{TOO_HOT}")).unwrap();
        let (mut engine, class) = (Engine::new(Arc::new(config)), "mill".into());
        let since = DateTime::from_timestamp(10, 0).unwrap();
        let mut found = Vec::new();
        let mut says = |from: i64, values: &[f64]| {
            engine.ingest(&class, &batch(from, values), &mut found);
            match engine.verdict("M-1", since) {
                None => "nothing",
                Some(AssetVerdict::NoTelemetry) => "silent",
                Some(AssetVerdict::Waiting) => "waits",
                Some(AssetVerdict::InBand { .. }) => "in band",
                Some(AssetVerdict::OutOfBand { .. }) => "out of band",
            }
        };
        assert_eq!(says(0, &[99.0; 11]), "silent");
        assert_eq!(says(11, &[99.0; 5]), "waits");
        assert_eq!(
            says(16, &[99.0; 2]),
            "out of band",
            "two to settle and five"
        );
        assert_eq!(says(18, &[20.0]), "waits", "one good reading is none");
        assert_eq!(says(19, &[20.0; 2]), "waits");
        assert_eq!(says(21, &[20.0]), "in band", "for three seconds");
        // Its sensor is gone for longer than a reading is fresh: it has no say any more.
        engine.ingest_late(&class, &batch(18, &[20.0]), &mut found);
        engine.ingest(&class, &metric("bar", 60, &[1.0], 0), &mut found);
        assert_eq!(engine.verdict("M-1", since), None);
    }

    #[test]
    fn an_asset_that_leaves_its_class_leaves_no_alarm_behind() {
        let more = "[classes.kiln]\nstale_after = '1h'\n\
            [classes.oven.thresholds.too_hot]\nmetric = 'temp_c'\nabove = 90.0\n\
            min_duration = '0s'\nseverity = 'low'";
        for (class, expected) in [("kiln", "R0 B7200"), ("oven", "R0")] {
            let mut engine = engine(more);
            let mut found = Vec::new();
            engine.ingest(&"mill".into(), &batch(0, &[99.0]), &mut found);
            engine.ingest(&class.into(), &batch(7200, &[99.0]), &mut found);
            assert_eq!(shown(&found), expected, "{class}");
        }
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
