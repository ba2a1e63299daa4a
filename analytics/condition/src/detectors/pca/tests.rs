use std::f64::consts::TAU;

use super::super::super::detector::FitError;
use super::super::super::model::{Model, learn};
use super::super::super::settings::tests::settings;
use super::super::super::window::{Seen, Window};
use super::super::Fitted;
use super::*;

/// Numbers that look random and are always the same, in -1..1.
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

fn window(at: i64, values: &[f64]) -> Window {
    let seen = |value: &f64| Seen {
        count: 10,
        mean: *value,
        deviation: 0.1,
        flat: false,
    };
    let (start, end) = (at * 60_000_000, (at + 1) * 60_000_000);
    Window {
        start,
        end,
        rows: 10,
        metrics: values.iter().map(seen).collect(),
        measured: None,
    }
}

/// Three metrics that follow one load, each with noise of its own.
fn machine(windows: usize) -> Vec<Vec<f64>> {
    let mut noise = noise(7);
    (0..windows)
        .map(|at| {
            let load = (TAU * at as f64 / 50.0).sin();
            let mut around = |level: f64, gain: f64| level + gain * load + 0.1 * noise();
            vec![around(100.0, 5.0), around(3.0, -1.0), around(40.0, 2.0)]
        })
        .collect()
}

fn names(count: usize) -> Vec<String> {
    ["a", "b", "c", "d"][..count]
        .iter()
        .map(|name| (*name).to_owned())
        .collect()
}

/// The principal components of a model.
fn components(model: &Model) -> PcaModel {
    match &model.detectors["pca"] {
        Fitted::Pca(components) => components.clone(),
        other => panic!("{other:?}"),
    }
}

fn trained(rows: &[Vec<f64>], own: &str) -> Result<PcaModel, FitError> {
    learned(rows, own).map(|model| components(&model))
}

fn learned(rows: &[Vec<f64>], own: &str) -> Result<Model, FitError> {
    let windows: Vec<Window> = rows
        .iter()
        .enumerate()
        .map(|(at, row)| window(at as i64, row))
        .collect();
    learn("P-1", "x", &settings(own), &names(rows[0].len()), &windows)
}

/// Covariance of the standardized rows, by definition.
fn covariance(rows: &[Vec<f64>], model: &PcaModel) -> Vec<Vec<f64>> {
    let z = |row: &[f64], at: usize| (row[at] - model.center[at]) / model.scale[at];
    let size = rows[0].len();
    let cell = |a: usize, b: usize| {
        rows.iter().map(|row| z(row, a) * z(row, b)).sum::<f64>() / (rows.len() as f64 - 1.0)
    };
    (0..size)
        .map(|a| (0..size).map(|b| cell(a, b)).collect())
        .collect()
}

#[test]
fn t2_is_the_mahalanobis_distance_computed_by_hand() {
    let rows = machine(200);
    let model = trained(
        &rows,
        "detectors.pca.with.drift_factor = 0.0\nstep = '1m'\nwindow = '1m'",
    )
    .unwrap();
    assert_eq!(
        model.components.len(),
        3,
        "explained_variance = 1 keeps all"
    );
    let scorer = Scorer::new(model.clone());
    let covariance = covariance(&rows, &model);
    let matrix = Square::from_fn(3, |row, column| covariance[row][column]);
    for probe in [[101.0, 2.5, 40.0], [100.0, 3.0, 40.0], [90.0, 9.0, 10.0]] {
        let score = scorer.score(&probe, &[0.0; 3]).unwrap();
        // z' C^-1 z by elimination: no decomposition, nothing of linfa.
        let solved = matrix.solve_part(&[0, 1, 2], &score.standardized).unwrap();
        let by_hand: f64 = solved
            .iter()
            .zip(&score.standardized)
            .map(|(a, b)| a * b)
            .sum();
        assert!(
            (score.t2 / by_hand - 1.0).abs() < 1e-6 || by_hand < 1e-9,
            "{} {by_hand}",
            score.t2
        );
    }
    // What linfa calls explained variance is another number: it divides by components - 1.
    let n = rows.len() as f64;
    let of_linfa = model.variances[0] * (n - 1.0) / (3.0 - 1.0);
    assert!((of_linfa / model.variances[0] - 99.5).abs() < 1e-9);
}

#[test]
fn components_are_orthonormal_and_their_variances_sum_to_the_total() {
    for width in [1, 2, 3, 4, 8, 30, 128] {
        let mut noise = noise(width as u64 + 1);
        let rows: Vec<Vec<f64>> = (0..400)
            .map(|_| {
                let common = noise();
                (0..width)
                    .map(|at| common * (at % 7) as f64 + noise())
                    .collect()
            })
            .collect();
        let windows: Vec<Window> = rows
            .iter()
            .enumerate()
            .map(|(at, row)| window(at as i64, row))
            .collect();
        let metrics: Vec<String> = (0..width).map(|at| format!("m{at:02}")).collect();
        let settings =
            settings("detectors.pca.with.drift_factor = 0.0\nstep = '1m'\nwindow = '1m'");
        let model = components(&learn("P-1", "x", &settings, &metrics, &windows).unwrap());
        assert_eq!(model.components.len(), width);
        let total: f64 = model.variances.iter().sum();
        assert!(
            (total - width as f64).abs() < 1e-6 * width as f64,
            "{width}: {total}"
        );
        for (a, one) in model.components.iter().enumerate() {
            for (b, other) in model.components.iter().enumerate() {
                let product: f64 = one.iter().zip(other).map(|(x, y)| x * y).sum();
                let expected = if a == b { 1.0 } else { 0.0 };
                assert!(
                    (product - expected).abs() < 1e-5,
                    "{width}: {a} {b} {product}"
                );
            }
        }
    }
}

#[test]
fn spe_sees_what_the_kept_components_do_not_explain() {
    let rows = machine(200);
    let model = trained(
        &rows,
        "detectors.pca.with.components = 1\ndetectors.pca.with.drift_factor = 0.0\nstep = '1m'\nwindow = '1m'",
    )
    .unwrap();
    assert_eq!(model.components.len(), 1);
    let scorer = Scorer::new(model);
    let along = scorer.score(&[104.0, 2.2, 41.6], &[0.0; 3]).unwrap();
    let across = scorer.score(&[104.0, 3.8, 41.6], &[0.0; 3]).unwrap();
    assert!(along.ratio < 1.0, "moves with the load: {along:?}");
    assert!(across.ratio > 5.0, "moves against it: {across:?}");
    assert!(across.spe / along.spe.max(1e-9) > 20.0);
    assert!(
        across.t2 < 10.0,
        "T² alone would not have seen it: {}",
        across.t2
    );
}

#[test]
fn the_metric_that_moved_contributes_most_and_the_expected_value_is_right() {
    let scorer = Scorer::new(trained(&machine(200), "step = '1m'\nwindow = '1m'").unwrap());
    // The load says 102 for a, 2.6 for b and 40.8 for c; b stands at 4.
    let score = scorer.score(&[102.0, 4.0, 40.8], &[0.0; 3]).unwrap();
    let contributions = scorer.contributions(&score, &[0.0; 3]);
    let first = &contributions[0];
    assert_eq!(first.feature, 1, "b");
    assert!(first.share > 0.5, "{contributions:?}");
    assert!((first.observed - 4.0).abs() < 1e-9);
    assert!((first.expected - 2.6).abs() < 0.15, "{}", first.expected);
    assert!((contributions.iter().map(|c| c.share).sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn a_missing_metric_neither_hides_nor_makes_a_deviation() {
    let scorer = Scorer::new(trained(&machine(200), "step = '1m'\nwindow = '1m'").unwrap());
    let whole = scorer.score(&[105.0, 2.0, 42.0], &[0.0; 3]).unwrap();
    let missing = scorer.score(&[105.0, f64::NAN, 42.0], &[0.0; 3]).unwrap();
    assert_eq!(missing.missing, [1]);
    assert!(
        missing.ratio <= whole.ratio + 1e-9,
        "full load is normal, {missing:?}"
    );
    let filled = scorer.model().center[1] + scorer.model().scale[1] * missing.standardized[1];
    assert!((filled - 2.0).abs() < 0.2, "the others suggest 2: {filled}");
    let wrong = scorer.score(&[105.0, f64::NAN, 38.0], &[0.0; 3]).unwrap();
    assert!(wrong.ratio > 5.0, "a and c still contradict each other");
    assert_eq!(
        scorer.score(&[105.0, f64::NAN, f64::NAN], &[0.0; 3]),
        None,
        "too little is left"
    );
}

#[test]
fn drift_that_was_normal_while_learning_widens_the_band_for_it_alone() {
    let mut noise = noise(3);
    // c wanders, a and b do not.
    let mut wander = 0.0;
    let rows: Vec<Vec<f64>> = (0..300)
        .map(|_| {
            wander += 0.1 * noise();
            vec![noise(), noise(), wander]
        })
        .collect();
    let own = "step = '1m'\nwindow = '1m'\nlearning = '5h'\ndetectors.pca.with.drift_lag = '60m'\n";
    let without = Scorer::new(
        trained(
            &rows,
            &format!("{own}detectors.pca.with.drift_factor = 0.0"),
        )
        .unwrap(),
    );
    let with = Scorer::new(
        trained(
            &rows,
            &format!("{own}detectors.pca.with.drift_factor = 3.0"),
        )
        .unwrap(),
    );
    let far = |scorer: &Scorer, at: usize| {
        let model = scorer.model();
        let mut probe = model.center.clone();
        probe[at] += 5.0 * model.scale[at];
        scorer.score(&probe, &[0.0; 3]).unwrap().ratio
    };
    let [wandering, steady] = [2, 0].map(|at| far(&with, at) / far(&without, at));
    assert!(
        wandering < 0.5,
        "the wandering metric may go farther: {wandering}"
    );
    assert!(steady > wandering + 0.1, "the others hardly: {steady}");
}

#[test]
fn what_cannot_be_learned_is_left_out_with_the_reason() {
    let mut rows = machine(100);
    for (at, row) in rows.iter_mut().enumerate() {
        row.push(if at % 3 == 0 { f64::NAN } else { at as f64 });
        row[1] = 7.0;
    }
    let model = learned(&rows, "step = '1m'\nwindow = '1m'").unwrap();
    let features: Vec<&str> = model.features.iter().map(|f| f.metric.as_str()).collect();
    assert_eq!(features, ["a", "c"]);
    let left_out: Vec<(&str, &str)> = model
        .left_out
        .iter()
        .map(|l| (l.metric.as_str(), l.reason.as_str()))
        .collect();
    assert_eq!(
        left_out,
        [
            ("b", "did not move while learning"),
            ("d", "missing in too many windows while learning"),
        ]
    );
    assert_eq!(
        trained(&vec![vec![1.0]; 50], "").unwrap_err(),
        FitError::NothingMoved
    );
    let few = trained(&machine(10), "").unwrap_err();
    assert_eq!(
        few,
        FitError::TooFewWindows {
            found: 10,
            needed: 20
        }
    );
}

#[test]
fn twin_metrics_do_not_break_the_model() {
    let rows: Vec<Vec<f64>> = machine(200)
        .into_iter()
        .map(|row| vec![row[0], row[1], row[0] * 1.8 + 32.0])
        .collect();
    let model = trained(&rows, "step = '1m'\nwindow = '1m'").unwrap();
    assert_eq!(
        model.components.len(),
        2,
        "the third direction has no variance"
    );
    let scorer = Scorer::new(model);
    assert!(
        rows.iter()
            .all(|row| scorer.score(row, &[0.0; 3]).unwrap().ratio < 1.0)
    );
    let apart = scorer
        .score(&[rows[0][0], rows[0][1], rows[0][2] + 5.0], &[0.0; 3])
        .unwrap();
    assert!(apart.ratio > 1.0, "twins that differ are not normal");
}

#[test]
fn a_model_survives_being_written_down() {
    let model = learned(&machine(60), "step = '1m'\nwindow = '1m'").unwrap();
    let text = serde_json::to_string(&model).unwrap();
    let read: Model = serde_json::from_str(&text).unwrap();
    let names = (&read.version, &read.features, &read.lively, &read.left_out);
    assert_eq!(
        names,
        (
            &model.version,
            &model.features,
            &model.lively,
            &model.left_out
        )
    );
    // The last bit of a number may be another one.
    let probe = [101.0, 2.5, 43.0];
    let [a, b] = [model, read].map(|m| {
        Scorer::new(components(&m))
            .score(&probe, &[0.0; 3])
            .unwrap()
            .ratio
    });
    assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}");
}
