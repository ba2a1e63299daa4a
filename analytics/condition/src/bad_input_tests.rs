//! What becomes of bad input: one stated behavior and one test each (docs/detection.md).

use std::f64::consts::TAU;
use std::sync::Arc;

use super::bench::Feed;
use super::model::learn;
use super::settings::tests::settings;
use super::watch::Verdict;
use super::window::Windows;
use super::{ClassSettings, FitError};

/// **Units**: microseconds.
const MINUTE: i64 = 60_000_000;
const DAY: usize = 1440;
const METRICS: [&str; 4] = [
    "flow_m3h",
    "pressure_bar",
    "vibration_mm_s",
    "bearing_temp_c",
];

/// A pump that reports every minute: a load with a daily cycle, and noise.
struct Machine {
    state: u64,
}

impl Machine {
    fn new(seed: u64) -> Self {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { state }
    }

    /// About normal, deviation 1.
    fn noise(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..12 {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            sum += (self.state >> 11) as f64 / (1_u64 << 53) as f64;
        }
        sum - 6.0
    }

    fn read(&mut self, minute: usize) -> [f64; 4] {
        let load = 0.7 + 0.2 * (TAU * minute as f64 / DAY as f64).sin() + 0.02 * self.noise();
        [
            100.0 * load + 0.8 * self.noise(),
            6.0 - 1.5 * load + 0.03 * self.noise(),
            2.0 + load + 0.06 * self.noise(),
            40.0 + 25.0 * load + 0.5 * self.noise(),
        ]
    }
}

fn watched() -> Arc<ClassSettings> {
    Arc::new(settings(
        "window = '10m'\nstep = '10m'\nlearning = '2d'\nmin_duration = '30m'\n\
         detectors.pca.with = { drift_lag = '3h', limit_factor = 2.0, adapt_half_life = '14d' }",
    ))
}

fn names() -> Vec<String> {
    METRICS.map(str::to_owned).to_vec()
}

/// Four days of a machine whose readings pass through `change(minute, values)`; gives the verdicts
/// with the minute at which each was known.
fn run(change: impl FnMut(usize, &mut [f64; 4])) -> Vec<(usize, Verdict)> {
    run_with(&mut Feed::fresh("P-1".into(), names(), &watched()), change)
}

fn run_with(
    feed: &mut Feed,
    mut change: impl FnMut(usize, &mut [f64; 4]),
) -> Vec<(usize, Verdict)> {
    let mut machine = Machine::new(11);
    let mut verdicts = Vec::new();
    for minute in 0..4 * DAY {
        let mut values = machine.read(minute);
        change(minute, &mut values);
        let time = i64::try_from(minute).unwrap() * MINUTE;
        if let Some((_, judgement)) = feed.take(time, &values) {
            verdicts.extend(judgement.verdicts[0].map(|verdict| (minute, verdict)));
        }
    }
    verdicts
}

/// Share of the verdicts from `from` on that are in alarm.
fn alarms(verdicts: &[(usize, Verdict)], from: usize) -> f64 {
    let later: Vec<bool> = verdicts
        .iter()
        .filter(|(minute, _)| *minute >= from)
        .map(|(_, verdict)| verdict.alarm)
        .collect();
    assert!(later.len() > 20, "only {} verdicts", later.len());
    later.iter().filter(|alarm| **alarm).count() as f64 / later.len() as f64
}

#[test]
fn nothing_wrong_is_quiet() {
    assert_eq!(alarms(&run(|_, _| {}), 2 * DAY), 0.0);
}

#[test]
fn a_sensor_that_was_constant_while_learning_is_left_out_and_the_others_watch_on() {
    let constant = |minute: usize, values: &mut [f64; 4]| {
        values[1] = 4.0;
        if minute > 3 * DAY {
            values[2] += 1.0;
        }
    };
    let mut feed = Feed::fresh("P-1".into(), names(), &watched());
    let verdicts = run_with(&mut feed, constant);
    let model = feed.monitor().watch().unwrap().model();
    let left_out: Vec<&str> = model.left_out.iter().map(|l| l.metric.as_str()).collect();
    assert_eq!(left_out, ["pressure_bar"]);
    assert!(alarms(&verdicts, 3 * DAY + 60) > 0.9);
}

#[test]
fn a_sensor_that_sticks_or_saturates_counts_as_missing_and_raises_nothing_by_itself() {
    for stuck_at in [5.0, 9.9] {
        let verdicts = run(|minute, values| {
            if minute > 3 * DAY {
                values[1] = stuck_at;
            }
        });
        assert_eq!(alarms(&verdicts, 3 * DAY + 60), 0.0, "stuck at {stuck_at}");
    }
}

#[test]
fn a_missing_or_vanished_metric_leaves_the_others_to_watch() {
    let verdicts = run(|minute, values| {
        if minute > 3 * DAY {
            values[0] = f64::NAN;
        }
    });
    assert_eq!(alarms(&verdicts, 3 * DAY + 60), 0.0);
    let with_fault = run(|minute, values| {
        if minute > 3 * DAY {
            values[0] = f64::NAN;
            values[2] += 1.0;
        }
    });
    assert!(alarms(&with_fault, 3 * DAY + 60) > 0.9, "still watched");
}

#[test]
fn with_half_of_its_metrics_gone_an_asset_is_not_judged() {
    let verdicts = run(|minute, values| {
        if minute > 3 * DAY {
            values[0] = f64::NAN;
            values[2] = f64::NAN;
        }
    });
    let later = verdicts.iter().filter(|(minute, _)| *minute > 3 * DAY + 20);
    assert_eq!(later.count(), 0, "no verdict is better than a wrong one");
}

#[test]
fn a_sensor_that_drifts_is_followed_no_farther_than_the_bound_and_then_raises() {
    // Ten deviations in a day, far faster than the reference follows.
    let verdicts = run(|minute, values| {
        let days = minute.saturating_sub(2 * DAY + 60) as f64 / DAY as f64;
        values[3] += 20.0 * days;
    });
    assert!(alarms(&verdicts, 3 * DAY + 720) > 0.9);
}

#[test]
fn swapped_sensors_are_an_alarm_whose_evidence_has_both_far_out() {
    let mut feed = Feed::fresh("P-1".into(), names(), &watched());
    let mut far_out: Vec<String> = Vec::new();
    let mut machine = Machine::new(11);
    for minute in 0..4 * DAY {
        let mut values = machine.read(minute);
        if minute > 3 * DAY {
            values.swap(1, 2);
        }
        let time = i64::try_from(minute).unwrap() * MINUTE;
        if let Some((window, judgement)) = feed.take(time, &values)
            && judgement.verdicts[0].is_some_and(|verdict| verdict.alarm)
        {
            let watch = feed.monitor().watch().unwrap();
            let features = &watch.model().features;
            far_out = watch
                .explain(&window, 0)
                .contributions
                .iter()
                .filter(|part| part.deviations.abs() > 9.0)
                .map(|part| features[part.feature].metric.clone())
                .collect();
        }
    }
    far_out.sort();
    assert_eq!(far_out, ["pressure_bar", "vibration_mm_s"]);
}

#[test]
fn a_clock_that_jumps_back_is_late_and_one_that_jumps_ahead_is_a_gap() {
    let settings = watched();
    let mut feed = Feed::fresh("P-1".into(), names(), &settings);
    let mut machine = Machine::new(11);
    let mut verdicts = Vec::new();
    for minute in 0..4 * DAY {
        let values = machine.read(minute);
        let jump = match minute {
            // Two hours back for an hour: those instants have been seen.
            4400..4461 => -120,
            // A day ahead: nothing in between is made up.
            4461.. => 1440,
            _ => 0,
        };
        let time = (i64::try_from(minute).unwrap() + jump) * MINUTE;
        if let Some((_, judgement)) = feed.take(time, &values) {
            verdicts.push((minute, judgement));
        }
    }
    let back = verdicts.iter().filter(|(m, _)| (4400..4461).contains(m));
    assert_eq!(back.count(), 0, "late readings close no window");
    let ahead: Vec<i64> = verdicts
        .iter()
        .filter(|(minute, _)| *minute >= 4461)
        .map(|(_, judgement)| judgement.start)
        .collect();
    assert!(ahead.len() > 100, "and it goes on: {}", ahead.len());
    let alarms = verdicts
        .iter()
        .filter_map(|(_, judgement)| judgement.verdicts[0])
        .filter(|verdict| verdict.alarm);
    assert_eq!(alarms.count(), 0);
}

#[test]
fn faults_inside_the_learning_period_do_not_hide_the_same_fault_later() {
    let fault = |minute: usize, values: &mut [f64; 4]| {
        // Three per cent of the learning period, and again on the last day.
        if (1000..1090).contains(&minute) || minute > 3 * DAY {
            values[2] += 1.5;
            values[3] += 8.0;
        }
    };
    assert!(alarms(&run(fault), 3 * DAY + 60) > 0.9);
}

#[test]
fn a_class_with_one_asset_and_too_little_to_learn_from_says_so() {
    let mut windows = Windows::new(10 * MINUTE, 1, i64::MIN + 1);
    let mut closed = Vec::new();
    let mut machine = Machine::new(3);
    for minute in 0..120 {
        let values = machine.read(minute);
        let time = i64::try_from(minute).unwrap() * MINUTE;
        windows.add(
            time,
            4,
            |metric| values[metric],
            |window| closed.push(window),
        );
    }
    let few = learn("P-1", "pump", &watched(), &names(), &closed).unwrap_err();
    assert!(matches!(few, FitError::TooFewWindows { .. }), "{few}");
}

#[test]
fn the_component_that_deviates_has_the_lowest_health() {
    let mut own = (*watched()).clone();
    own.components = [("bearing", 2..4), ("hydraulics", 0..2)]
        .map(|(name, metrics)| {
            (
                name.to_owned(),
                METRICS[metrics].iter().map(|m| (*m).to_owned()).collect(),
            )
        })
        .into();
    let mut feed = Feed::fresh("P-1".into(), names(), &Arc::new(own.clone()));
    let health = |feed: &Feed| feed.monitor().watch().unwrap().condition(&own).unwrap();
    run_with(&mut feed, |_, _| {});
    let well = health(&feed);
    let mut feed = Feed::fresh("P-1".into(), names(), &Arc::new(own.clone()));
    run_with(&mut feed, |minute, values| {
        if minute > 3 * DAY {
            values[2] += 1.0;
        }
    });
    let ill = health(&feed);
    let of = |condition: &super::watch::Condition, name: &str| {
        let found = condition.components.iter().find(|(own, _)| own == name);
        found.unwrap().1.index
    };
    assert!(well.asset.index > 80.0, "{well:?}");
    assert!(ill.asset.index < 50.0, "{ill:?}");
    assert!(of(&ill, "bearing") < 50.0 && of(&ill, "hydraulics") > of(&ill, "bearing"));
    assert!(
        ill.asset.reasons[0].text.contains("vibration_mm_s"),
        "{ill:?}"
    );
}
