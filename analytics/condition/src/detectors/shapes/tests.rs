use super::super::super::features::Feature;
use super::super::super::settings::FeatureKind;
use super::*;

/// Two clouds: around (0, 0) and (10, 10), in turn.
fn rows() -> Vec<Vec<f64>> {
    let mut seed = 3_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        #[expect(clippy::cast_precision_loss, reason = "31 bits")]
        let unit = (seed >> 33) as f64 / f64::from(1_u32 << 31);
        2.0 * unit - 1.0
    };
    (0..400)
        .map(|at| {
            let cloud = if at % 2 == 0 { 0.0 } else { 10.0 };
            vec![cloud + noise(), cloud + noise()]
        })
        .collect()
}

/// Ratios at the heart of a cloud, between the clouds, and off the line through them.
fn ratios<T: ShapeSettings>(settings: &T) -> [f64; 3]
where
    ShapeModel<T::Learned>: Serialize,
{
    assert_eq!(settings.mistakes(), Vec::<String>::new());
    let rows = rows();
    let times: Vec<i64> = (0..400).collect();
    let features = ["a", "b"].map(|metric| Feature {
        metric: metric.to_owned(),
        kind: FeatureKind::Mean,
    });
    let training = Training {
        times: &times,
        features: &features,
        rows: &rows,
        starts: &[],
    };
    let model = settings.fit(&training).unwrap();
    let again = settings.fit(&training).unwrap();
    let text = serde_json::to_string(&model).unwrap();
    assert_eq!(text, serde_json::to_string(&again).unwrap(), "same twice");
    let mut detector = ShapeDetector::new(model, settings.limit_factor());
    let mut ratio = |values: [f64; 2]| {
        let sample = Sample {
            at: 500,
            elapsed: 1,
            values: &values,
        };
        detector.score(&sample).unwrap().ratio
    };
    let all = [ratio([0.0, 0.0]), ratio([5.0, 5.0]), ratio([0.0, 10.0])];
    let sample = Sample {
        at: 500,
        elapsed: 1,
        values: &[0.0, 10.0],
    };
    let shares = detector.explain(&sample).contributions;
    assert_eq!(shares.len(), 2);
    let missing = Sample {
        values: &[f64::NAN, f64::NAN],
        ..sample
    };
    assert_eq!(detector.score(&missing), None);
    all
}

#[test]
fn clusters_see_the_room_between_them() {
    let [heart, between, off] = ratios(&ClusterSettings {
        clusters: 2,
        blocks: 4,
        limit_factor: 1.0,
    });
    assert!(
        heart < 0.5 && between > 3.0 && off > 3.0,
        "{heart} {between} {off}"
    );
}

#[test]
fn a_mixture_sees_the_room_between_its_parts() {
    let [heart, between, off] = ratios(&MixtureSettings {
        parts: 2,
        least_variance: 1e-4,
        blocks: 4,
        limit_factor: 1.0,
    });
    assert!(
        heart < 0.5 && between > 3.0 && off > 3.0,
        "{heart} {between} {off}"
    );
}

#[test]
fn a_boundary_lies_around_what_was_seen() {
    let [heart, between, off] = ratios(&BoundarySettings {
        outside: 0.1,
        width: 0.1,
        rows: 400,
        blocks: 4,
        limit_factor: 1.0,
    });
    assert!(
        heart < 1.0 && between > 1.5 && off > 1.5,
        "{heart} {between} {off}"
    );
}

#[test]
fn relations_see_what_breaks_the_relation_alone() {
    let [heart, between, off] = ratios(&RelationSettings {
        penalty: 0.01,
        l1_ratio: 0.5,
        blocks: 4,
        limit_factor: 1.0,
    });
    assert!(
        heart < 0.5 && between < 1.0 && off > 3.0,
        "{heart} {between} {off}"
    );
}

#[test]
fn too_few_rows_are_refused() {
    let settings = ClusterSettings {
        clusters: 2,
        blocks: 4,
        limit_factor: 1.0,
    };
    let training = Training {
        times: &[1],
        features: &[],
        rows: &[vec![1.0]],
        starts: &[],
    };
    assert!(matches!(
        settings.fit(&training),
        Err(FitError::TooFewWindows { .. })
    ));
}
