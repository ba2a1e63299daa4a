use linfa::Dataset;
use linfa::prelude::*;
use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};

use super::*;

/// Rows in the unit cube with a target that needs an interaction of two features.
fn data(rows: usize, seed: u64) -> (Array2<f64>, Array1<f64>) {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let records = Array2::from_shape_fn((rows, 4), |_| generator.random::<f64>());
    let target = |row: ndarray::ArrayView1<'_, f64>| {
        10.0 * row[0]
            + if row[1] > 0.5 && row[2] > 0.5 {
                20.0
            } else {
                0.0
            }
    };
    let targets = records.outer_iter().map(target).collect();
    (records, targets)
}

fn error(fitted: &BoostedTrees, records: &Array2<f64>, targets: &Array1<f64>) -> f64 {
    let answers: Array1<f64> = fitted.predict(records);
    ((&answers - targets).mapv(|e| e * e).mean().unwrap()).sqrt()
}

#[test]
fn learns_an_interaction_that_holds_on_new_rows() {
    let (records, targets) = data(2_000, 1);
    let fitted = BoostedTreesParams::default()
        .least_rows(10)
        .fit(&Dataset::new(records, targets))
        .unwrap();
    let (records, targets) = data(500, 2);
    let error = error(&fitted, &records, &targets);
    assert!(error < 2.0, "{error}");
}

#[test]
fn is_the_same_on_every_run_and_differs_by_seed() {
    let (records, targets) = data(500, 1);
    let set = Dataset::new(records, targets);
    let fit = |seed| {
        let params = BoostedTreesParams::default().trees(20).seed(seed);
        serde_json::to_string(&params.fit(&set).unwrap()).unwrap()
    };
    assert_eq!(fit(1), fit(1));
    assert_ne!(fit(1), fit(2));
}

#[test]
fn survives_its_own_serialization() {
    let (records, targets) = data(300, 1);
    let fitted = BoostedTreesParams::default()
        .trees(20)
        .fit(&Dataset::new(records.clone(), targets))
        .unwrap();
    let text = serde_json::to_string(&fitted).unwrap();
    let again: BoostedTrees = serde_json::from_str(&text).unwrap();
    let (answers, again): (Array1<f64>, Array1<f64>) =
        (fitted.predict(&records), again.predict(&records));
    assert!((&answers - &again).iter().all(|apart| apart.abs() < 1e-9));
}

#[test]
fn a_missing_value_goes_with_the_smallest() {
    let records = Array2::from_shape_fn((100, 1), |(row, _)| row as f64);
    let targets = Array1::from_shape_fn(100, |row| if row < 50 { 0.0 } else { 1.0 });
    let fitted = BoostedTreesParams::default()
        .least_rows(5)
        .fit(&Dataset::new(records, targets))
        .unwrap();
    assert!(fitted.answer(&[f64::NAN]) < 0.1 && fitted.answer(&[99.0]) > 0.9);
}

#[test]
fn one_constant_target_is_answered_by_itself() {
    let records = Array2::from_shape_fn((30, 2), |(row, column)| (row * column) as f64);
    let set = Dataset::new(records, Array1::from_elem(30, 7.0));
    let fitted = BoostedTreesParams::default().fit(&set).unwrap();
    assert_eq!(fitted.answer(&[3.0, 4.0]), 7.0);
}

#[test]
fn parameters_out_of_range_and_bad_data_are_refused() {
    let (records, targets) = data(20, 1);
    let set = Dataset::new(records.clone(), targets);
    let name = |params: BoostedTreesParams| match params.fit(&set) {
        Err(BoostingError::Parameter { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    let default = BoostedTreesParams::default;
    assert_eq!(name(default().trees(0)), "trees");
    assert_eq!(name(default().depth(0)), "depth");
    assert_eq!(name(default().learning_rate(0.0)), "learning_rate");
    assert_eq!(name(default().least_rows(0)), "least_rows");

    let mut targets = Array1::zeros(20);
    targets[4] = f64::NAN;
    let refused = default().fit(&Dataset::new(records, targets));
    assert!(matches!(refused, Err(BoostingError::Target(4))));
    let empty = Dataset::new(Array2::zeros((0, 2)), Array1::zeros(0));
    assert!(matches!(default().fit(&empty), Err(BoostingError::Empty)));
}
