use std::f64::consts::TAU;

use super::super::{Window, Windows};
use super::*;
use crate::features;
use crate::settings::tests::settings;

/// **Units**: microseconds.
const SECOND: i64 = 1_000_000;

/// The windows of one metric's readings as (microsecond, value), for these features.
fn windows(own: &str, readings: impl Iterator<Item = (i64, f64)>) -> Vec<Window> {
    let settings = settings(own);
    assert_eq!(settings.mistakes(), Vec::<String>::new());
    let (step, steps) = (settings.step.micros(), settings.steps_per_window());
    let mut windows = Windows::new(step, steps, i64::MIN + 1).measured_for(&settings.features);
    let mut closed = Vec::new();
    for (time, value) in readings {
        windows.add(time, 1, |_| value, |window| closed.push(window));
    }
    closed
}

/// The value of the first declared feature in every window.
fn values(own: &str, readings: impl Iterator<Item = (i64, f64)>) -> Vec<f64> {
    let kind = settings(own).features[0];
    let windows = windows(own, readings);
    windows
        .iter()
        .map(|w| features::value(w, 0, kind))
        .collect()
}

const MINUTES: &str = "window = '10m'\nstep = '5m'\nlearning = '1d'\n";

#[track_caller]
fn check(own: &str, readings: &[(i64, f64)], expected: &[f64]) {
    let readings = readings
        .iter()
        .map(|(second, value)| (second * SECOND, *value));
    let found = values(&format!("{MINUTES}features = ['{own}']"), readings);
    let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9 || a.is_nan() && b.is_nan();
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(close),
        "{own}: {found:?}"
    );
}

/// Two readings in each pane of five minutes, none in the third; the last one closes.
const READINGS: [(i64, f64); 8] = [
    (0, 1e6 + 1.0),
    (100, 1e6 - 4.0),
    (300, 1e6 + 7.0),
    (400, f64::NAN),
    (1_000, 1e6 + 2.0),
    (1_100, 1e6 + 2.5),
    (1_200, 1e6),
    (1_500, 1e6),
];

#[test]
fn extremes_of_overlapping_windows() {
    let near = |values: [f64; 4]| values.map(|value| 1e6 + value);
    check("min", &READINGS, &near([-4.0, 7.0, 2.0, 0.0]));
    check("max", &READINGS, &near([7.0, 7.0, 2.5, 2.5]));
    check("peak_to_peak", &READINGS, &[11.0, f64::NAN, 0.5, 2.5]);
}

#[test]
fn rms_and_crest_factor() {
    let square = [
        (0, 3.0),
        (60, -1.0),
        (120, 3.0),
        (180, -1.0),
        (300, 0.0),
        (600, 9.0),
    ];
    // The mean is 0.8, the deviation 2.049.
    check("rms", &square, &[2.0]);
    let variance = (2.0 * 2.2_f64.powi(2) + 2.0 * 1.8_f64.powi(2) + 0.64) / 4.0;
    check("crest_factor", &square, &[2.2 / variance.sqrt()]);
    let flat: Vec<(i64, f64)> = (0..3).map(|at| (at * 300, 5.0)).collect();
    check("crest_factor", &flat, &[f64::NAN]);
}

#[test]
fn the_slope_of_a_line_is_exact_whatever_is_missing_of_it() {
    let line = |second: i64| (second, 50.0 - 3.0 * (second - 7) as f64 / 3_600.0);
    let uneven = [0, 7, 250, 299, 310, 590, 601, 899, 905, 1_300].map(line);
    check("slope", &uneven, &[-3.0, -3.0, -3.0]);
    check("slope", &[0, 10, 610].map(line), &[f64::NAN]);
    let level: Vec<(i64, f64)> = (0..12).map(|at| (at * 60, 5.0)).collect();
    check("slope", &level, &[0.0]);
}

#[test]
fn the_slope_far_from_1970_and_from_zero_keeps_its_digits() {
    let at = |second: i64| {
        (
            (1_800_000_000 + second) * SECOND,
            1e5 + 0.01 * second as f64,
        )
    };
    let found = values(
        &format!("{MINUTES}features = ['slope']"),
        (0..1_300).step_by(20).map(at),
    );
    assert_eq!(found.len(), 3);
    assert!(
        found.iter().all(|slope| (slope - 36.0).abs() < 1e-6),
        "{found:?}"
    );
}

const FAST: &str = "window = '2s'\nstep = '1s'\nlearning = '1h'\n\
                    features = [{ band = { from_hz = 45, to_hz = 55 } }]";

/// A reading of 2·sin at 50 Hz, 500 a second.
fn sine(place: i64) -> (i64, f64) {
    let time = place * 2_000;
    (time, 2.0 * (TAU * 50.0 * time as f64 / 1e6).sin())
}

#[test]
fn a_gap_makes_the_spectra_of_its_windows_missing_and_no_others() {
    let found = values(FAST, (0..3_001).filter(|at| *at != 1_200).map(sine));
    let present: Vec<bool> = found.iter().map(|value| value.is_finite()).collect();
    assert_eq!(present, [true, false, false, true, true]);
    let rms = 2.0_f64.sqrt();
    assert!(
        found.iter().all(|v| v.is_nan() || (v - rms).abs() < 1e-3),
        "{found:?}"
    );
}

#[test]
fn a_signal_among_rows_of_other_metrics_has_its_spectrum() {
    let mut windows = Windows::new(SECOND, 1, 0).measured_for(&settings(FAST).features);
    let mut closed = Vec::new();
    for place in 0..1_001 {
        let (time, value) = sine(place);
        let signal = |metric: usize| [value, f64::NAN][metric];
        windows.add(time, 2, signal, |window| closed.push(window));
        let slow = |metric: usize| [f64::NAN, 20.0][metric];
        windows.add(time + 700, 2, slow, |window| closed.push(window));
    }
    let kind = settings(FAST).features[0];
    assert_eq!(closed.len(), 2);
    for window in &closed {
        assert!((features::value(window, 0, kind) - 2.0_f64.sqrt()).abs() < 1e-3);
        assert!(features::value(window, 1, kind) < 1e-9);
    }
}

#[test]
fn what_is_kept_of_readings_is_bounded() {
    let features = settings(FAST).features;
    let mut windows = Windows::new(SECOND, 2, 0).measured_for(&features);
    let mut most = 0;
    let mut closed = Vec::new();
    // 50,000 readings a second: two seconds of them are too many, one is not.
    let fast = (0..200_000).map(|place| place * 20);
    let slow = (0..6_000).map(|place| 4 * SECOND + place * 1_000);
    for time in fast.chain(slow) {
        windows.add(
            time,
            1,
            |_| (time as f64).sin(),
            |window| closed.push(window),
        );
        most = most.max(windows.heap_bytes());
    }
    assert!(most < MAX_READINGS * 32 + 10_000, "{most} bytes");
    let found: Vec<f64> = closed
        .iter()
        .map(|w| features::value(w, 0, features[0]))
        .collect();
    assert!(found[..4].iter().all(|value| value.is_nan()), "{found:?}");
    assert!(
        found[5..].iter().all(|value| value.is_finite()),
        "{found:?}"
    );
}

#[test]
fn classes_without_such_features_keep_nothing() {
    assert!(Measuring::of(&settings("").features, SECOND).is_none());
    let moments =
        settings("features = ['mean', 'log_std', 'rms', { ewma = { half_life = '1h' } }]");
    assert!(Measuring::of(&moments.features, SECOND).is_none());
    let slope = windows(
        &format!("{MINUTES}features = ['mean']"),
        (0..9).map(|at| (at * 200 * SECOND, 1.0)),
    );
    assert!(slope.iter().all(|window| window.measured.is_none()));
}
