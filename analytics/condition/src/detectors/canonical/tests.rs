use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::super::features::Feature;
use super::super::super::settings::FeatureKind;
use super::*;
use crate::detector::Training;

const MINUTE: i64 = 60_000_000;

fn settings() -> CanonicalSettings {
    CanonicalSettings {
        past: 3,
        future: 3,
        states: 4,
        memory: 10.0,
        blocks: 10,
        limit_factor: 1.0,
        state_factor: 2.0,
    }
}

/// A level that a controller holds with a valve against a slow disturbance; the flow follows the
/// valve, with `bias` between them when the valve leaks. Then a metric of noise alone.
fn plant(rows: usize, seed: u64, bias: impl Fn(usize) -> f64) -> Vec<Vec<f64>> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut noise = || (0..12).map(|_| generator.random::<f64>()).sum::<f64>() - 6.0;
    let (mut level, mut disturbance, mut sum) = (0.0, 0.0, 0.0);
    (0..rows)
        .map(|row| {
            disturbance = 0.95 * disturbance + 0.3 * noise();
            sum += level;
            let valve = -0.6 * level - 0.1 * sum;
            let flow = valve + bias(row) + 0.05 * noise();
            level = 0.7 * level + disturbance + flow;
            vec![level + 0.1 * noise(), valve, flow, noise()]
        })
        .collect()
}

fn fitted(rows: &[Vec<f64>]) -> CanonicalModel {
    let features: Vec<Feature> = ["level", "valve", "flow", "noise"]
        .map(|metric| Feature {
            metric: metric.to_owned(),
            kind: FeatureKind::Mean,
        })
        .to_vec();
    let times: Vec<i64> = (0..).step_by(60_000_000).take(rows.len()).collect();
    let training = Training {
        times: &times,
        features: &features,
        rows,
    };
    settings().fit(&training).unwrap()
}

fn ratios(detector: &mut CanonicalDetector, rows: &[Vec<f64>]) -> Vec<Option<f64>> {
    let judge = |(row, values): (usize, &Vec<f64>)| {
        let sample = Sample {
            at: MINUTE * i64::try_from(row).unwrap(),
            elapsed: MINUTE,
            values,
        };
        detector.score(&sample).map(|score| score.ratio)
    };
    rows.iter().enumerate().map(judge).collect()
}

#[test]
fn normal_running_is_quiet_and_the_first_samples_are_not_judged() {
    let model = fitted(&plant(600, 1, |_| 0.0));
    let mut detector = CanonicalDetector::new(model, &settings());
    let ratios = ratios(&mut detector, &plant(600, 2, |_| 0.0));
    assert_eq!(ratios[..2], [None, None]);
    let over = ratios.iter().flatten().filter(|r| **r > 1.0).count();
    assert!(over < 6, "{over} of 600");
}

#[test]
fn a_compensated_fault_is_found_and_the_valve_or_its_flow_is_named() {
    let model = fitted(&plant(600, 1, |_| 0.0));
    let mut detector = CanonicalDetector::new(model, &settings());
    let rows = plant(300, 3, |row| if row >= 100 { 0.3 } else { 0.0 });
    let ratios = ratios(&mut detector, &rows);
    let over = ratios[120..].iter().flatten().filter(|r| **r > 1.0).count();
    assert!(over > 160, "{over} of 180");
    let sample = Sample {
        at: 0,
        elapsed: MINUTE,
        values: &rows[299],
    };
    let explained = detector.explain(&sample);
    let first = &explained.contributions[0];
    assert!([1, 2].contains(&first.feature), "{explained:?}");
}

#[test]
fn a_missing_value_is_what_the_others_suggest_and_too_many_are_not_judged() {
    let model = fitted(&plant(600, 1, |_| 0.0));
    let mut detector = CanonicalDetector::new(model, &settings());
    let mut rows = plant(300, 4, |_| 0.0);
    for row in &mut rows[50..] {
        row[2] = f64::NAN;
    }
    rows[200] = vec![f64::NAN; 4];
    let ratios = ratios(&mut detector, &rows);
    let over = ratios.iter().flatten().filter(|r| **r > 1.0).count();
    assert!(over < 6, "{over} of 300");
    assert_eq!(ratios[200..203], [None, None, None]);
    assert!(ratios[203].is_some());
}

#[test]
fn a_restart_goes_on_as_if_nothing_had_been() {
    let model = fitted(&plant(600, 1, |_| 0.0));
    let rows = plant(100, 5, |_| 0.0);
    let mut whole = CanonicalDetector::new(model.clone(), &settings());
    let expected = ratios(&mut whole, &rows);
    let mut first = CanonicalDetector::new(model.clone(), &settings());
    ratios(&mut first, &rows[..40]);
    let saved = first.save();
    let mut second = CanonicalDetector::new(model, &settings());
    second.restore(&saved);
    assert_eq!(ratios(&mut second, &rows[40..]), expected[40..]);
    second.restore(&json!({ "history": [[1.0]] }));
}

#[test]
fn a_short_learning_period_shortens_the_past() {
    assert_eq!(fitted(&plant(600, 1, |_| 0.0)).past, 3);
    assert_eq!(fitted(&plant(40, 1, |_| 0.0)).past, 3);
    assert_eq!(fitted(&plant(20, 1, |_| 0.0)).past, 2);
}
