use super::super::super::features::Feature;
use super::*;

const NONE: [i64; 0] = [];

fn settings() -> ChangepointSettings {
    ChangepointSettings {
        apart: Span::seconds(1),
        before: Span::seconds(30),
        tolerance: 0.0,
        memory: Span::seconds(600),
        rest: Span::seconds(10),
        limit_factor: 8.0,
    }
}

/// A saw tooth of period 7 in one metric, of period 5 in another.
fn values(second: i64) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "below seven")]
    let tooth = |period: i64| (second % period) as f64;
    vec![100.0 + tooth(7), tooth(5)]
}

fn learned() -> ChangepointDetector {
    let features: Vec<Feature> = ["a", "b"]
        .map(|metric| Feature {
            metric: metric.to_owned(),
            kind: FeatureKind::Mean,
        })
        .into();
    let times: Vec<i64> = (0..200).map(|second| second * 1_000_000).collect();
    let rows: Vec<Vec<f64>> = (0..200).map(values).collect();
    let training = Training {
        times: &times,
        features: &features,
        rows: &rows,
        starts: &[],
    };
    let model = settings().fit(&training).unwrap();
    ChangepointDetector::new(model, &settings())
}

fn marks(detector: &mut ChangepointDetector, from: i64, to: i64, offset: f64) -> Vec<i64> {
    let mut marks = Vec::new();
    for second in from..to {
        let mut values = values(second);
        values[1] += offset;
        let sample = Sample {
            at: second * 1_000_000,
            elapsed: 1_000_000,
            values: &values,
        };
        if detector.score(&sample).unwrap().ratio >= 1.0 {
            marks.push(second);
        }
    }
    marks
}

#[test]
fn a_step_is_marked_at_once_and_again_while_it_is_news() {
    let mut detector = learned();
    assert_eq!(marks(&mut detector, 200, 260, 0.0), NONE);
    let step = marks(&mut detector, 260, 400, 40.0);
    assert_eq!(step[..2], [260, 270]);
    assert!(
        *step.last().unwrap() <= 300,
        "the level is usual now: {step:?}"
    );
    assert_eq!(marks(&mut detector, 400, 401, 0.0), [400], "and back");
}

#[test]
fn a_gap_empties_what_lies_before() {
    let mut detector = learned();
    assert_eq!(marks(&mut detector, 200, 240, 0.0), NONE);
    assert_eq!(marks(&mut detector, 1_000, 1_010, 40.0), NONE);
}

#[test]
fn what_is_saved_goes_on() {
    let mut detector = learned();
    marks(&mut detector, 200, 255, 0.0);
    let mut again = learned();
    again.restore(&detector.save());
    assert_eq!(again.state, detector.state);
    assert_eq!(marks(&mut again, 255, 260, 40.0), [255]);
}

#[test]
fn what_is_saved_while_a_metric_is_missing_goes_on_too() {
    let mut detector = learned();
    marks(&mut detector, 200, 250, 0.0);
    let mut missing = values(250);
    missing[0] = f64::NAN;
    detector.score(&Sample {
        at: 250 * 1_000_000,
        elapsed: 1_000_000,
        values: &missing,
    });
    let saved = serde_json::to_string(&detector.save()).unwrap();
    let mut again = learned();
    again.restore(&serde_json::from_str(&saved).unwrap());
    assert_eq!(
        again.state.past.vectors.len(),
        detector.state.past.vectors.len()
    );
    assert_eq!(
        marks(&mut again, 251, 260, 40.0),
        marks(&mut detector, 251, 260, 40.0)
    );
    // As a former release kept it: a list of times and numbers.
    let mut old = detector.save();
    let kept = detector.state.past.vectors.iter();
    let kept: Vec<(i64, &[f64])> = kept
        .take(20)
        .map(|kept| (kept.at, &kept.values[..]))
        .collect();
    old["past"]["vectors"] = serde_json::to_value(&kept).unwrap();
    let mut again = learned();
    again.restore(&old);
    assert_eq!(again.state.past.vectors.len(), kept.len());
}

#[test]
fn too_short_a_learning_period_is_refused() {
    let times = [0, 1_000_000];
    let rows = [values(0), values(1)];
    let training = Training {
        times: &times,
        features: &[],
        rows: &rows,
        starts: &[],
    };
    assert!(matches!(
        settings().fit(&training),
        Err(FitError::TooFewWindows { found: 0, .. })
    ));
}
