use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::detector::{FitError, Training};
use crate::detectors::canonical::CanonicalSettings;
use crate::detectors::dynamic_pca::DynamicPcaSettings;
use crate::features::Feature;
use crate::settings::FeatureKind;

const MINUTE: i64 = 60_000_000;

fn settings() -> CanonicalSettings {
    CanonicalSettings {
        past: 3,
        future: 3,
        states: 4,
        memories: vec![5.0, 20.0],
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

fn fitted(rows: &[Vec<f64>]) -> DynamicModel {
    learned(rows, |training| settings().fit(training)).unwrap()
}

fn learned(
    rows: &[Vec<f64>],
    fit: impl Fn(&Training<'_>) -> Result<DynamicModel, FitError>,
) -> Result<DynamicModel, FitError> {
    let features: Vec<Feature> = ["level", "valve", "flow", "noise"]
        .map(|metric| Feature {
            metric: metric.to_owned(),
            kind: FeatureKind::Mean,
        })
        .to_vec();
    let times: Vec<i64> = (0..).step_by(60_000_000).take(rows.len()).collect();
    fit(&Training {
        times: &times,
        features: &features,
        rows,
        starts: &[],
    })
}

fn begun(model: DynamicModel) -> DynamicDetector {
    DynamicDetector::new(model, &settings().common())
}

fn over(detector: &mut DynamicDetector, rows: &[Vec<f64>]) -> usize {
    let ratios = ratios(detector, rows);
    ratios
        .iter()
        .flatten()
        .filter(|ratio| **ratio > 1.0)
        .count()
}

fn ratios(detector: &mut DynamicDetector, rows: &[Vec<f64>]) -> Vec<Option<f64>> {
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
    let mut detector = begun(model);
    let ratios = ratios(&mut detector, &plant(600, 2, |_| 0.0));
    assert_eq!(ratios[..2], [None, None]);
    let over = ratios.iter().flatten().filter(|r| **r > 1.0).count();
    assert!(over < 6, "{over} of 600");
}

#[test]
fn a_compensated_fault_is_found_and_the_valve_or_its_flow_is_named() {
    let model = fitted(&plant(600, 1, |_| 0.0));
    let mut detector = begun(model);
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
    let mut detector = begun(model);
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
    let mut whole = begun(model.clone());
    let expected = ratios(&mut whole, &rows);
    let mut first = begun(model.clone());
    ratios(&mut first, &rows[..40]);
    let saved = first.save();
    let mut second = begun(model);
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

#[test]
fn a_fault_inside_the_learning_period_is_left_out_of_it() {
    let rows = plant(
        600,
        1,
        |row| if (300..350).contains(&row) { 3.0 } else { 0.0 },
    );
    let model = fitted(&rows);
    assert!(
        (1..=2).contains(&model.faulty_blocks),
        "{}",
        model.faulty_blocks
    );
    let faulty = plant(300, 3, |row| if row >= 100 { 0.3 } else { 0.0 });
    assert!(over(&mut begun(model), &faulty) > 160);
    // A period that is like that everywhere is normal, however rough.
    let rough = plant(600, 1, |row| if row % 120 < 60 { 3.0 } else { 0.0 });
    assert_eq!(fitted(&rough).faulty_blocks, 0);
}

#[test]
fn what_is_read_back_judges_as_before_and_assets_share_the_large_part() {
    let model = fitted(&plant(600, 1, |_| 0.0));
    let text = serde_json::to_string(&model).unwrap();
    let read: DynamicModel = serde_json::from_str(&text).unwrap();
    let rows = plant(100, 5, |_| 0.0);
    let expected = ratios(&mut begun(model), &rows);
    let found = ratios(&mut begun(read.clone()), &rows);
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }
    let [one, other] = [begun(read.clone()), begun(read)];
    assert!(std::ptr::eq(&raw const *one.space, &raw const *other.space));
}

#[test]
fn dynamic_components_find_what_leaves_the_usual_place() {
    let settings = DynamicPcaSettings {
        past: 3,
        explained_variance: 0.9,
        memories: vec![5.0, 20.0],
        blocks: 10,
        limit_factor: 1.0,
        component_factor: 2.0,
    };
    assert_eq!(settings.mistakes(), Vec::<String>::new());
    let model = learned(&plant(600, 1, |_| 0.0), |training| settings.fit(training)).unwrap();
    let begun = || DynamicDetector::new(model.clone(), &settings.common());
    let quiet = over(&mut begun(), &plant(600, 2, |_| 0.0));
    assert!(quiet < 30, "{quiet} of 600");
    let faulty = plant(300, 3, |row| if row >= 100 { 1.0 } else { 0.0 });
    assert!(over(&mut begun(), &faulty) > 150);
}

#[test]
fn mistakes_are_named() {
    let mut settings = settings();
    settings.past = 0;
    settings.states = 0;
    assert_eq!(settings.mistakes().len(), 2);
}
