//! What an asset costs before anything was found: there may be a hundred thousand.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

use super::*;
use crate::detect::config::tests::config;

const ASSETS: usize = 1_000;
const METRICS: usize = 10;
const SECOND: i64 = 1_000_000;

fn engine() -> Engine {
    Engine::new(Arc::new(config("").unwrap()))
}

/// A reading of ten metrics of every asset.
fn readings(time: i64) -> RecordBatch {
    let tags = (0..ASSETS).map(|asset| format!("asset-{asset}"));
    let times = TimestampMicrosecondArray::from(vec![time; ASSETS]).with_timezone("UTC");
    let tags: ArrayRef = Arc::new(StringArray::from_iter_values(tags));
    let mut columns = vec![
        ("asset".to_owned(), tags),
        ("time".to_owned(), Arc::new(times)),
    ];
    for metric in 0..METRICS {
        let values = (0..ASSETS).map(|asset| (asset * 7 + metric) as f64 + time as f64);
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values(values));
        columns.push((format!("metric_{metric}"), values));
    }
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Bytes of an asset after readings at these seconds, but for the windows it learns from.
fn bytes_per_asset(seconds: &[i64]) -> usize {
    let mut engine = engine();
    let class: Arc<str> = "bench".into();
    let mut found = Vec::new();
    for second in seconds {
        engine.ingest(&class, &readings(second * SECOND), &mut found);
    }
    assert_eq!(engine.counts().rows as usize, ASSETS * seconds.len());
    let tracks = &engine.classes[&class];
    let lists = tracks.tracks.iter().map(|track| track.monitor.heap_bytes());
    // Both tables keep the tag in the one piece of memory that has its letters.
    let letters = |tag: &Arc<str>| (tag.len() + 16).next_multiple_of(16) / Arc::strong_count(tag);
    let names = engine.owners.keys().chain(tracks.numbers.keys());
    let names = names.chain(&tracks.tags).map(letters);
    let tables = size_of::<(Arc<str>, Owner)>() + size_of::<(Arc<str>, usize)>();
    let places = size_of::<Track>() + size_of::<Arc<str>>() + tables;
    let bytes = lists.sum::<usize>() + names.sum::<usize>() + places * ASSETS;
    bytes / ASSETS
}

#[test]
fn an_asset_of_ten_metrics_takes_some_500_bytes_and_no_more_with_every_window() {
    let (one, many) = (
        bytes_per_asset(&[1]),
        bytes_per_asset(&[1, 2, 3, 301, 302, 303]),
    );
    eprintln!("{one} bytes an asset after one reading, {many} after many");
    assert!(one <= 580, "{one} bytes after one reading");
    assert!(many <= 820, "{many} bytes after many readings");
}

#[test]
fn the_letters_of_a_tag_are_kept_once() {
    let mut engine = engine();
    engine.ingest(&"bench".into(), &readings(SECOND), &mut Vec::new());
    for tag in engine.owners.keys() {
        assert_eq!(Arc::strong_count(tag), 3, "{tag}");
    }
}
