//! The order of rows in a file: by asset, time and arrival.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::snapshot::{ASSET, TIME};

/// The rows by asset and time, rows of one key in their arrival order.
pub(super) fn sorted(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    take_record_batch(rows, &UInt32Array::from(order(rows)?))
}

/// The assets and times of a batch.
pub(super) fn keys(
    rows: &RecordBatch,
) -> Result<(StringArray, TimestampMicrosecondArray), ArrowError> {
    let column = |name| {
        rows.column_by_name(name)
            .expect("every batch has the fixed columns")
    };
    let assets = cast(column(ASSET), &DataType::Utf8)?;
    let times: &TimestampMicrosecondArray = column(TIME).as_primitive();
    Ok((assets.as_string().clone(), times.clone()))
}

/// The places of the rows in file order.
pub(super) fn order(rows: &RecordBatch) -> Result<Vec<u32>, ArrowError> {
    let (assets, times) = keys(rows)?;
    let ranks = ranks(&assets);
    let mut keys: Vec<(u32, i64, u32)> = ranks
        .into_iter()
        .zip(times.values())
        .zip(0..)
        .map(|((rank, time), place)| (rank, *time, place))
        .collect();
    keys.sort_unstable();
    Ok(keys.into_iter().map(|(_, _, place)| place).collect())
}

/// The place of each row's asset among the assets that occur: comparing numbers is much quicker
/// than comparing tags once per pair of rows.
fn ranks(assets: &StringArray) -> Vec<u32> {
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut tags: Vec<&str> = Vec::new();
    let first_seen: Vec<u32> = (0..assets.len())
        .map(|row| {
            let tag = assets.value(row);
            *known.entry(tag).or_insert_with(|| {
                tags.push(tag);
                tags.len() as u32 - 1
            })
        })
        .collect();
    let mut sorted: Vec<u32> = (0..tags.len() as u32).collect();
    sorted.sort_unstable_by_key(|tag| tags[*tag as usize]);
    let mut rank = vec![0; tags.len()];
    for (place, tag) in sorted.into_iter().enumerate() {
        rank[tag as usize] = place as u32;
    }
    first_seen
        .into_iter()
        .map(|tag| rank[tag as usize])
        .collect()
}
