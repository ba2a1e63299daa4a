use super::*;
use crate::features::Feature;
use crate::settings::FeatureKind;

fn settings() -> NeighborSettings {
    NeighborSettings {
        lengths: vec![5, 10],
        difference_lengths: vec![5],
        level_lengths: vec![10],
        history: 400,
        warm_up: 15,
        half_life: 2000,
        refractory: 20,
        settle: 0,
        usual_factor: 0.0,
        limit_factor: 1.0,
        least_deviation: 0.0,
    }
}

/// A wave of 24 readings with a little noise of its own that is the same in every run.
fn wave(at: usize) -> f64 {
    let turn = f64::from(u32::try_from(at % 24).unwrap()) / 24.0;
    let noise = f64::from(u32::try_from(at * 7919 % 101).unwrap()) / 101.0;
    (turn * std::f64::consts::TAU).sin() * 10.0 + noise
}

fn detector(settings: &NeighborSettings, values: impl Iterator<Item = f64>) -> NeighborDetector {
    let rows: Vec<Vec<f64>> = values.map(|value| vec![value]).collect();
    let times: Vec<i64> = (0..).take(rows.len()).collect();
    let features = [Feature {
        metric: "load".into(),
        kind: FeatureKind::Mean,
    }];
    let training = Training {
        times: &times,
        features: &features,
        rows: &rows,
        starts: &[],
    };
    NeighborDetector::new(settings.fit(&training).unwrap(), settings)
}

fn ratio(detector: &mut NeighborDetector, value: f64) -> Option<f64> {
    let sample = Sample {
        at: 0,
        elapsed: 1,
        values: &[value],
    };
    detector.score(&sample).map(|score| score.ratio)
}

/// Numbers of the readings that reach the limit.
fn alarms(detector: &mut NeighborDetector, values: impl Iterator<Item = f64>) -> Vec<usize> {
    let reaches = |value| ratio(detector, value).is_some_and(|ratio| ratio >= 1.0);
    let hits: Vec<bool> = values.map(reaches).collect();
    (0..hits.len()).filter(|at| hits[*at]).collect()
}

#[test]
fn a_wave_that_goes_on_is_quiet_and_a_standstill_in_it_is_not() {
    let settings = settings();
    let mut detector = detector(&settings, (0..200).map(wave));
    assert_eq!(alarms(&mut detector, (200..800).map(wave)), [0; 0]);
    let stands = (0..30).map(|_| 4.0);
    let found = alarms(&mut detector, stands);
    assert!(found.first().is_some_and(|first| *first < 12), "{found:?}");
}

#[test]
fn a_level_that_was_never_there_is_one_alarm_and_the_same_again_is_none() {
    let settings = settings();
    let mut detector = detector(&settings, (0..200).map(wave));
    let step = |at: usize| wave(at) + if (300..340).contains(&at) { 50.0 } else { 0.0 };
    let found = alarms(&mut detector, (200..400).map(step));
    assert_eq!(found.first(), Some(&100), "{found:?}");
    assert!(
        found.windows(2).all(|two| two[1] - two[0] >= 20),
        "{found:?}"
    );
    let again = |at: usize| wave(at) + if (500..540).contains(&at) { 50.0 } else { 0.0 };
    assert_eq!(alarms(&mut detector, (400..600).map(again)), [0; 0]);
}

#[test]
fn it_says_what_it_saw() {
    let settings = settings();
    let mut detector = detector(&settings, (0..200).map(wave));
    let found = ratio(&mut detector, 80.0).unwrap();
    let sample = Sample {
        at: 0,
        elapsed: 1,
        values: &[80.0],
    };
    let why = detector.explain(&sample);
    assert_eq!(why.contributions.len(), 1);
    assert_eq!(why.contributions[0].observed, 80.0);
    assert_eq!(why.contributions[0].deviations, found);
    assert!(why.contributions[0].expected.abs() < 12.0, "{why:?}");
}

#[test]
fn a_restart_changes_nothing() {
    let settings = settings();
    let rows = |at: usize| wave(at) + if at == 700 { 40.0 } else { 0.0 };
    let mut through = detector(&settings, (0..200).map(rows));
    let mut before = detector(&settings, (0..200).map(rows));
    for at in 200..690 {
        assert_eq!(ratio(&mut through, rows(at)), ratio(&mut before, rows(at)));
    }
    let saved = before.save().to_string();
    let mut after = detector(&settings, (0..50).map(|_| 1.0));
    after.restore(&serde_json::from_str(&saved).unwrap());
    for at in 690..900 {
        assert_eq!(ratio(&mut through, rows(at)), ratio(&mut after, rows(at)));
    }
    let mut kept = detector(&settings, (0..200).map(rows));
    let expected = ratio(&mut detector(&settings, (0..200).map(rows)), 1.0);
    kept.restore(&json!({ "series": [] }));
    assert_eq!(ratio(&mut kept, 1.0), expected);
}

#[test]
fn beside_a_model_from_elsewhere_it_settles_first() {
    let settings = NeighborSettings {
        settle: 100,
        least_deviation: 0.5,
        ..settings()
    };
    let mut detector = detector(&settings, (0..200).map(|_| 3.0));
    // Another level from the first reading on: not judged while it settles, then normal.
    let said: Vec<Option<f64>> = (0..200).map(|_| ratio(&mut detector, 8.0)).collect();
    assert!(said[..99].iter().all(Option::is_none));
    assert!(said[110..].iter().all(|one| one.is_some_and(|r| r < 1.0)));
    assert!(ratio(&mut detector, 60.0).unwrap() >= 1.0);
}

#[test]
fn missing_values_are_not_judged_and_leave_no_trace() {
    let settings = settings();
    let mut with = detector(&settings, (0..200).map(wave));
    let mut without = detector(&settings, (0..200).map(wave));
    for at in 200..300 {
        assert_eq!(ratio(&mut with, f64::NAN), None);
        assert_eq!(ratio(&mut with, wave(at)), ratio(&mut without, wave(at)));
    }
}

#[test]
fn too_short_a_learning_period_is_refused() {
    let settings = settings();
    let features = [Feature {
        metric: "load".into(),
        kind: FeatureKind::Mean,
    }];
    let times: Vec<i64> = (0..19).collect();
    let rows = vec![vec![1.0]; 19];
    let training = Training {
        times: &times,
        features: &features,
        rows: &rows,
        starts: &[],
    };
    let refused = settings.fit(&training).unwrap_err();
    assert_eq!(
        refused,
        FitError::TooFewWindows {
            found: 19,
            needed: 20
        }
    );
}

#[test]
fn mistakes_are_told() {
    let wrong = NeighborSettings {
        lengths: vec![],
        history: 10,
        usual_factor: -1.0,
        limit_factor: 0.0,
        least_deviation: -1.0,
        ..settings()
    };
    assert_eq!(wrong.mistakes().len(), 5);
    assert!(settings().mistakes().is_empty());
}

#[test]
fn a_small_shift_in_much_noise_is_found_by_its_level() {
    let noise = |at: usize| f64::from(u32::try_from(at * at * 7919 % 1009).unwrap()) / 1009.0;
    let settings = NeighborSettings {
        level_lengths: vec![40],
        warm_up: 60,
        usual_factor: 2.0,
        ..settings()
    };
    let mut with = detector(&settings, (0..300).map(noise));
    let shifted = |at: usize| noise(at) + if at >= 600 { 0.4 } else { 0.0 };
    let found = alarms(&mut with, (300..700).map(shifted));
    assert!(found.iter().all(|at| *at >= 300), "{found:?}");
    assert!(!found.is_empty());
}

#[test]
fn an_absurd_value_is_news_and_leaves_no_record() {
    for absurd in [65_535.0, -9_999.0] {
        let fault = |at: usize| {
            wave(at)
                + if (3_100..3_110).contains(&at) {
                    25.0
                } else {
                    0.0
                }
        };
        let mut calm = detector(&settings(), (0..2_000).map(wave));
        let mut torn = detector(&settings(), (0..2_000).map(wave));
        let news = alarms(&mut torn, (2_000..2_050).map(wave).chain([absurd; 3]));
        assert_eq!(news, [50], "{absurd}: once, as long as it rests");
        alarms(&mut calm, (2_000..2_050).map(wave));
        // What comes after it is judged as if it had not been there.
        let after = |one: &mut NeighborDetector| alarms(one, (2_050..3_200).map(fault));
        let (calm, torn) = (after(&mut calm), after(&mut torn));
        assert!(calm.contains(&1_050), "{calm:?}");
        assert_eq!(torn, calm);
    }
}

#[test]
fn a_level_far_away_that_stays_is_where_the_metric_is() {
    let mut one = detector(&settings(), (0..2_000).map(wave));
    let far = |at: usize| 5_000.0 + wave(at);
    let news = alarms(&mut one, (2_000..2_400).map(far));
    assert_eq!(news[0], 0);
    assert!(news.iter().all(|at| *at < 100), "{news:?}");
}
