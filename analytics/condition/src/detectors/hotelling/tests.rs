use super::*;

/// Noise in [-1, 1] that is the same in every run.
fn noise(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    #[expect(clippy::cast_precision_loss, reason = "31 bits")]
    let unit = (*seed >> 33) as f64 / f64::from(1_u32 << 31);
    2.0 * unit - 1.0
}

fn settings() -> HotellingSettings {
    HotellingSettings {
        smoothing: Span::seconds(0),
        drift_lag: Span::seconds(20),
        drift_factor: 1.0,
        tolerance: 0.0,
        adapt_half_life: Span::seconds(60),
        adapt_bound: 100.0,
        memory: Span::seconds(3_600),
        remainder: 0.3,
        remainder_duration: Span::seconds(5),
        accept_after: Span::seconds(0),
        limit_factor: 4.0,
        reset_after: Span::seconds(0),
    }
}

fn features(count: usize) -> Vec<Feature> {
    let name = |number: usize| Feature {
        metric: number.to_string(),
        kind: FeatureKind::Mean,
    };
    (0..count).map(name).collect()
}

/// Two metrics around 10 that move together, and one that does not.
fn learned(settings: &HotellingSettings) -> (HotellingDetector, u64) {
    let mut seed = 7;
    let rows: Vec<Vec<f64>> = (0..300).map(|_| row(&mut seed)).collect();
    let times: Vec<i64> = (0..300).map(|second| second * 1_000_000).collect();
    let features = features(3);
    let training = Training {
        times: &times,
        features: &features,
        rows: &rows,
        starts: &[],
    };
    let model = settings.fit(&training).unwrap();
    (HotellingDetector::new(model, settings), seed)
}

fn row(seed: &mut u64) -> Vec<f64> {
    let load = noise(seed);
    vec![
        10.0 + load + 0.1 * noise(seed),
        10.0 + load + 0.1 * noise(seed),
        10.0 + noise(seed),
    ]
}

/// The ratio of a second, which is calm when that is below 0.7.
fn step(detector: &mut HotellingDetector, second: i64, values: &[f64]) -> f64 {
    let sample = Sample {
        at: second * 1_000_000,
        elapsed: 1_000_000,
        values,
    };
    let score = detector.score(&sample).unwrap();
    detector.follow(&sample, &score, score.ratio < 0.7);
    score.ratio
}

fn mean_ratio(
    detector: &mut HotellingDetector,
    seed: &mut u64,
    seconds: std::ops::Range<i64>,
    offset: impl Fn(i64) -> [f64; 3],
) -> f64 {
    let mut sum = 0.0;
    let mut number = 0.0;
    for second in seconds {
        let mut values = row(seed);
        for (value, more) in values.iter_mut().zip(offset(second)) {
            *value += more;
        }
        sum += step(detector, second, &values);
        number += 1.0;
    }
    sum / number
}

#[test]
fn what_breaks_the_correlation_counts_more_than_what_keeps_it() {
    let (mut detector, mut seed) = learned(&settings());
    let calm = mean_ratio(&mut detector, &mut seed, 300..400, |_| [0.0; 3]);
    let together = mean_ratio(&mut detector, &mut seed, 400..410, |_| [0.8, 0.8, 0.0]);
    let apart = mean_ratio(&mut detector, &mut seed, 410..420, |_| [0.8, -0.8, 0.0]);
    assert!(calm < 0.5 && together < 1.0, "{calm} {together}");
    assert!(apart > 5.0, "{apart}");
}

#[test]
fn the_reference_follows_slow_change_and_stands_still_in_a_fault() {
    let (mut detector, mut seed) = learned(&settings());
    #[expect(clippy::cast_precision_loss, reason = "seconds of a test")]
    let drifting = |second: i64| [0.0, 0.0, (second - 300) as f64 * 0.005];
    let drift = mean_ratio(&mut detector, &mut seed, 300..1_300, drifting);
    assert!(drift < 0.5, "{drift}");
    let moved = detector.state.references[0].clone();
    let fault = mean_ratio(&mut detector, &mut seed, 1_300..1_700, |_| [6.0, -6.0, 5.0]);
    assert!(fault > 10.0, "{fault}");
    assert_eq!(
        detector.state.references[0], moved,
        "a fault is not learned"
    );
}

#[test]
fn the_reference_stops_at_its_bound() {
    let mut bounded = settings();
    bounded.adapt_bound = 0.5;
    bounded.memory = Span::seconds(0);
    let (mut detector, mut seed) = learned(&bounded);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a test")]
    let drifting = |second: i64| [0.0, 0.0, (second - 300) as f64 * 0.005];
    let end = mean_ratio(&mut detector, &mut seed, 300..2_300, drifting);
    assert!(end > 1.0, "a slow fault shows in the end: {end}");
    let place = detector.precision.form(&detector.state.references[0]) / detector.limit();
    assert!(place <= 0.5, "{place}");
}

#[test]
fn a_fault_that_leads_elsewhere_is_over_and_both_levels_are_normal() {
    let (mut detector, mut seed) = learned(&settings());
    let fault = mean_ratio(&mut detector, &mut seed, 300..400, |_| [0.0, 0.0, 20.0]);
    assert!(fault > 10.0, "{fault}");
    let elsewhere = |_| [0.5, -0.5, 0.0];
    mean_ratio(&mut detector, &mut seed, 400..405, elsewhere);
    let after = mean_ratio(&mut detector, &mut seed, 406..450, elsewhere);
    assert!(after < 1.0, "{after}");
    let back = mean_ratio(&mut detector, &mut seed, 450..500, |_| [0.0; 3]);
    assert!(back < 1.0, "{back}");
}

#[test]
fn a_tolerance_keeps_a_quiet_metric_from_shouting() {
    let mut tolerant = settings();
    tolerant.tolerance = 0.1;
    let (mut strict, mut seed) = learned(&settings());
    let (mut mild, _) = learned(&tolerant);
    let offset = |_| [0.5, -0.5, 0.0];
    let before = mean_ratio(&mut strict, &mut seed, 300..320, offset);
    let after = mean_ratio(&mut mild, &mut seed, 300..320, offset);
    assert!(before > 2.0 && after < 0.5, "{before} {after}");
}

#[test]
fn a_missing_metric_is_what_the_others_suggest() {
    let (mut detector, _) = learned(&settings());
    let missing = step(&mut detector, 300, &[10.5, f64::NAN, 10.0]);
    assert!(missing < 0.5, "{missing}");
    let sample = Sample {
        at: 301_000_000,
        elapsed: 1_000_000,
        values: &[f64::NAN, f64::NAN, 10.0],
    };
    assert_eq!(detector.score(&sample), None);
}

#[test]
fn a_level_that_lasts_is_accepted_only_where_that_is_wanted() {
    let mut accepting = settings();
    accepting.accept_after = Span::seconds(100);
    let (mut patient, mut seed) = learned(&accepting);
    let (mut never, _) = learned(&settings());
    let elsewhere = |_| [6.0, -6.0, 0.0];
    let during = mean_ratio(&mut patient, &mut seed, 300..390, elsewhere);
    mean_ratio(&mut patient, &mut seed, 390..405, elsewhere);
    let after = mean_ratio(&mut patient, &mut seed, 405..450, elsewhere);
    assert!(during > 1.0 && after < 0.7, "{during} {after}");
    let still = mean_ratio(&mut never, &mut seed, 300..2_000, elsewhere);
    assert!(still > 1.0, "{still}");
}

#[test]
fn after_a_long_gap_the_reference_begins_where_the_asset_is() {
    let mut resetting = settings();
    resetting.reset_after = Span::seconds(60);
    let (mut detector, _) = learned(&resetting);
    assert!(step(&mut detector, 300, &[10.0, 10.0, 10.0]) < 0.5);
    assert_eq!(step(&mut detector, 900, &[30.0, 30.0, 10.0]), 0.0);
    assert!(step(&mut detector, 901, &[30.0, 10.0, 10.0]) > 1.0);
}

#[test]
fn what_is_saved_goes_on_as_if_nothing_had_happened() {
    let (mut detector, mut seed) = learned(&settings());
    mean_ratio(&mut detector, &mut seed, 300..350, |_| [0.0; 3]);
    let model = detector.model.clone();
    let mut again = HotellingDetector::new(model, &settings());
    again.restore(&detector.save());
    // The precision of the other is up to nine samples old.
    detector.restore(&detector.save());
    for second in 350..400 {
        let values = row(&mut seed);
        let (a, b) = (
            step(&mut detector, second, &values),
            step(&mut again, second, &values),
        );
        assert_eq!(a, b);
    }
    again.restore(&json!({ "nonsense": 1 }));
    assert_eq!(again.state, detector.state);
}

#[test]
fn the_strongest_contribution_is_what_broke() {
    let (mut detector, _) = learned(&settings());
    let values = [10.0, 13.0, 10.0];
    step(&mut detector, 300, &values);
    let sample = Sample {
        at: 300_000_000,
        elapsed: 0,
        values: &values,
    };
    let first = detector.explain(&sample).contributions[0].clone();
    assert!((first.observed - 13.0).abs() < 0.2 || first.feature == 0);
    assert!(first.share > 0.3, "{first:?}");
}
