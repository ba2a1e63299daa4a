use super::super::super::detector::{Detector, Sample, Training};
use super::super::super::features::Feature;
use super::super::super::settings::FeatureKind;
use super::*;

const STEP: i64 = 6 * 3600 * 1_000_000;
const DAY: usize = 4;

fn settings() -> ResidualSettings {
    let text = r#"
        inputs = ["load", "ambient"]
        set_points = ["set_point"]
        ridge = 0.01
        drift_lag = "7d"
        drift_factor = 1.0
        half_life = "45d"
        trial = "7d"
        widening = 2.0
        set_point_change = 8.0
        settle = "2d"
        limit_factor = 4.0
    "#;
    toml::from_str(text).unwrap()
}

/// Noise without a crate: a sum of waves that never meet.
fn noise(window: usize, lane: usize) -> f64 {
    let at = window as f64 * (1.7 + lane as f64 * 0.31);
    (at.sin() + (at * 1.618).sin() + (at * 2.414 + 1.0).sin()) / 1.2
}

/// ambient, heat, load, set_point, shake: as a class sorts them.
fn row(window: usize, season: f64, fault: f64, set_point: f64) -> Vec<f64> {
    let load = 0.7 + 0.1 * noise(window, 1);
    let ambient = 10.0 + season + 3.0 * noise(window, 2);
    let heat = 20.0 + 30.0 * load * load + 0.9 * ambient + 0.01 * ambient * ambient;
    let shake = 1.0 + load + 0.2 * (set_point - 7.0);
    vec![
        ambient,
        heat + 0.3 * noise(window, 3),
        load,
        set_point + 0.01 * noise(window, 4),
        shake + 0.05 * noise(window, 5) + fault,
    ]
}

fn detector() -> ResidualDetector {
    let names = ["ambient", "heat", "load", "set_point", "shake"];
    let features: Vec<Feature> = names
        .iter()
        .map(|name| Feature {
            metric: (*name).to_owned(),
            kind: FeatureKind::Mean,
        })
        .collect();
    let rows: Vec<Vec<f64>> = (0..42 * DAY).map(|n| row(n, 0.0, 0.0, 7.0)).collect();
    let times: Vec<i64> = (0..rows.len()).map(|n| n as i64 * STEP).collect();
    let training = Training {
        times: &times,
        features: &features,
        rows: &rows,
        starts: &[],
    };
    let settings = settings();
    assert_eq!(settings.mistakes(), Vec::<String>::new());
    ResidualDetector::new(settings.fit(&training).unwrap(), &settings)
}

/// Ratios of later days; `None` where nothing was judged.
fn run(
    detector: &mut ResidualDetector,
    days: std::ops::Range<usize>,
    at: impl Fn(usize) -> Vec<f64>,
) -> Vec<Option<f64>> {
    (days.start * DAY..days.end * DAY)
        .map(|n| {
            let values = at(n);
            let sample = Sample {
                at: n as i64 * STEP,
                elapsed: STEP,
                values: &values,
            };
            let score = detector.score(&sample)?;
            detector.follow(&sample, &score, score.ratio < 0.7);
            Some(score.ratio)
        })
        .collect()
}

fn worst(ratios: &[Option<f64>]) -> f64 {
    ratios.iter().flatten().copied().fold(0.0, f64::max)
}

fn days(window: usize) -> f64 {
    (window as f64 - 42.0 * DAY as f64) / DAY as f64
}

#[test]
fn a_season_that_was_never_seen_is_no_alarm_and_a_fault_in_it_is() {
    let season = |n: usize| 10.0 * (days(n) / 365.0 * std::f64::consts::TAU).sin();
    let mut one = detector();
    let quiet = run(&mut one, 42..365, |n| row(n, season(n), 0.0, 7.0));
    assert!(worst(&quiet) < 1.0, "{}", worst(&quiet));

    // Twenty deviations in sixty days, in the hottest time.
    let mut one = detector();
    let fault = |n: usize| ((days(n) - 60.0) / 60.0).clamp(0.0, 1.0);
    let found = run(&mut one, 42..165, |n| row(n, season(n), fault(n), 7.0));
    let first = found
        .iter()
        .position(|ratio| ratio.is_some_and(|ratio| ratio > 1.0))
        .unwrap()
        / DAY;
    assert!((60..100).contains(&first), "day {first} of the watch");
    let values = row(165 * DAY, season(165 * DAY), 1.0, 7.0);
    let sample = Sample {
        at: 165 * DAY as i64 * STEP,
        elapsed: STEP,
        values: &values,
    };
    assert!(one.score(&sample).unwrap().ratio > 1.0, "it is not learned");
    let top = &one.explain(&sample).contributions[0];
    assert_eq!((top.feature, top.share > 0.6), (4, true), "{top:?}");
    assert!((top.observed - top.expected) > 0.7, "{top:?}");
}

#[test]
fn a_set_point_may_move_and_a_fault_after_it_is_still_seen() {
    let set_point = |n: usize| if days(n) < 30.0 { 7.0 } else { 8.5 };
    let fault = |n: usize| if days(n) < 60.0 { 0.0 } else { 1.0 };
    let mut one = detector();
    let ratios = run(&mut one, 42..110, |n| row(n, 0.0, fault(n), set_point(n)));
    let before = &ratios[..59 * DAY];
    assert!(worst(before) < 1.0, "{}", worst(before));
    let unjudged = before.iter().filter(|ratio| ratio.is_none()).count();
    assert!((8..=12).contains(&unjudged), "{unjudged}");
    assert!(worst(&ratios[60 * DAY..]) > 1.0);
}

#[test]
fn an_output_that_is_missing_while_a_set_point_settles_is_judged_when_it_is_back() {
    let set_point = |n: usize| if days(n) < 30.0 { 7.0 } else { 8.5 };
    let fault = |n: usize| if days(n) < 60.0 { 0.0 } else { 1.0 };
    // Shake is away from an hour before the step to four days after it.
    let at = |n: usize| {
        let mut values = row(n, 0.0, fault(n), set_point(n));
        if (29.9..34.0).contains(&days(n)) {
            values[4] = f64::NAN;
        }
        values
    };
    let mut one = detector();
    let before = run(&mut one, 42..101, at);
    assert!(worst(&before) < 1.0, "{}", worst(&before));
    assert!(one.state.offset.iter().all(|offset| offset.is_finite()));
    // A restart on the way keeps what it was.
    let mut again = detector();
    again.restore(&one.save());
    let after = run(&mut again, 101..110, at);
    assert!(worst(&after[2 * DAY..]) > 1.0, "{}", worst(&after));
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let at = |n: usize| row(n, 5.0 * (days(n) / 90.0), 0.0, 7.0);
    let mut one = detector();
    run(&mut one, 42..90, at);
    let mut other = detector();
    other.restore(&one.save());
    assert_eq!(run(&mut other, 90..120, at), run(&mut one, 90..120, at));
    other.restore(&serde_json::json!({"regression": 3}));
}

#[test]
fn missing_outputs_are_left_out_and_missing_inputs_are_not_judged() {
    let mut one = detector();
    let judged = run(&mut one, 42..43, |n| {
        let mut row = row(n, 0.0, 0.0, 7.0);
        row[1] = f64::NAN;
        row
    });
    assert!(
        judged.iter().all(Option::is_none),
        "one of two outputs is too little"
    );
    let judged = run(&mut one, 43..44, |n| {
        let mut row = row(n, 0.0, 0.0, 7.0);
        row[2] = f64::NAN;
        row
    });
    assert!(judged.iter().all(Option::is_none));
}
