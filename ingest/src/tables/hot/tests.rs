//! What merging may cost.

use super::*;
use crate::catalog::Catalog;
use crate::rows::{Cells, RowHead, Rows};

const METRICS: usize = 1_000;

/// A table of many metrics.
fn wide() -> Catalog {
    let mut catalog = Catalog::default();
    let id = catalog.add_class("pump");
    for metric in 0..METRICS {
        let name = format!("m{metric}");
        catalog.class_mut(id).add_metric(&name, None);
    }
    catalog
}

/// Rows in it, each a list of metrics.
fn batches(rows: &[Vec<u32>]) -> (SchemaRef, Vec<Arc<HotBatch>>) {
    batches_of(&wide(), rows)
}

fn batches_of(catalog: &Catalog, rows: &[Vec<u32>]) -> (SchemaRef, Vec<Arc<HotBatch>>) {
    let mut open = Rows::default();
    for (time, metrics) in rows.iter().enumerate() {
        let head = RowHead {
            asset: "P1",
            time: time as i64,
            received_at: 0,
            sequence: None,
        };
        let values: Vec<(u32, f64)> = metrics.iter().map(|metric| (*metric, 1.0)).collect();
        let cells = Cells {
            numbers: &values,
            texts: &[],
            letters: "",
            tags: None,
        };
        open.push(head, cells);
    }
    let class = catalog.class(0);
    (class.schema.clone(), open.finish(class))
}

fn bytes(batches: &[Arc<HotBatch>]) -> usize {
    batches.iter().map(|rows| rows.memory_bytes()).sum()
}

fn rows(batches: &[Arc<HotBatch>]) -> usize {
    batches.iter().map(|rows| rows.batch.num_rows()).sum()
}

#[test]
fn rows_of_one_metric_each_do_not_pay_for_all_columns() {
    let sparse: Vec<Vec<u32>> = (0..8_000).map(|row| vec![row % METRICS as u32]).collect();
    let (_, cut) = batches(&sparse);
    assert_eq!(rows(&cut), 8_000);
    let dense = 8_000 * METRICS * 8;
    assert!(bytes(&cut) * 4 < dense, "{} of {dense}", bytes(&cut));
    let times = cut.iter().flat_map(|rows| [rows.min_time, rows.max_time]);
    assert!(times.is_sorted(), "arrival order");
    // A row with every metric after many with one.
    let mut late = vec![vec![0]; 8_000];
    late.push((0..METRICS as u32).collect());
    let (_, cut) = batches(&late);
    assert_eq!(rows(&cut), 8_001);
    assert!(bytes(&cut) < 1 << 20, "{}", bytes(&cut));
}

#[test]
fn rows_that_share_their_metrics_stay_one_batch() {
    let full: Vec<Vec<u32>> = vec![(0..100).collect(); 1_000];
    // Two kinds of one class, half of the metrics each.
    let halves: Vec<Vec<u32>> = (0..1_000)
        .map(|row| (0..100).filter(|metric| metric % 2 == row % 2).collect())
        .collect();
    for rows in [full, halves] {
        assert_eq!(batches(&rows).1.len(), 1);
    }
}

/// Commits one by one, tidied after each: what is left.
fn commits(commits: &[Vec<u32>]) -> Vec<Arc<HotBatch>> {
    let (mut hot, catalog) = (Hot::default(), wide());
    for (number, metrics) in commits.iter().enumerate() {
        let (schema, rows) = batches_of(&catalog, std::slice::from_ref(metrics));
        rows.into_iter().for_each(|rows| hot.push(rows));
        hot.tidy(&schema);
        assert_eq!(rows_of(&hot), number + 1);
    }
    hot.all()
}

fn rows_of(hot: &Hot) -> usize {
    rows(&hot.all())
}

#[test]
fn merging_does_not_spread_absent_values() {
    let sparse: Vec<Vec<u32>> = (0..1_500)
        .map(|row| vec![row * 7 % METRICS as u32])
        .collect();
    let left = commits(&sparse);
    assert!(left.len() < 400, "{} batches", left.len());
    let dense = 1_500 * METRICS * 8;
    assert!(bytes(&left) * 3 < dense, "{} of {dense}", bytes(&left));
}

#[test]
fn merging_keeps_batches_few_where_it_costs_nothing() {
    let same = vec![vec![1, 2, 3]; 600];
    let left = commits(&same);
    assert!(left.len() < 3 * RUN, "{} batches", left.len());
    // The absent columns of a wide table are in none of them.
    assert!(left.iter().all(|rows| rows.batch.num_columns() == 6));
}

#[test]
fn a_piece_has_no_more_cells_than_asked_for() {
    let sparse: Vec<Vec<u32>> = (0..2_000).map(|row| vec![row % METRICS as u32]).collect();
    let (schema, cut) = batches(&sparse);
    assert!(cut.len() > 4);
    assert_eq!(pieces(&schema, &cut, usize::MAX).len(), 1);
    let most = 100_000;
    let pieces = pieces(&schema, &cut, most);
    assert!(pieces.len() > 1 && pieces.len() < cut.len());
    assert_eq!(pieces.iter().map(|piece| rows(piece)).sum::<usize>(), 2_000);
    for piece in pieces {
        let merged = merge(&schema, piece);
        assert!(merged.batch.num_rows() * metric_columns(&merged.batch.schema()) <= most);
    }
}
