//! A file as the log names it: statistics for everybody, a tag for ourselves.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::aggregate::{max, max_string, min, min_string};
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use chrono::DateTime;
use deltalake_core::kernel::{Add, Remove};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::decimal::Decimal;
use crate::snapshot::ColdFile;

/// Our tag in an `add` action.
const TAG: &str = "fieldwright";
/// Longest text that statistics have; longer ones are left out.
const TEXT: usize = 256;

/// What only we want to know about a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tag {
    rows: u64,
    min_time: i64,
    max_time: i64,
    min_asset: String,
    max_asset: String,
    level: u8,
    late: bool,
    through: u64,
}

/// A file that is in its place and not yet in the log.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub file: Arc<ColdFile>,
    /// Statistics as the log's format wants them.
    pub stats: String,
}

/// The `add` action. Paths in the log are relative to the table.
pub(super) fn add(written: &Written, wall_ms: i64, data_change: bool) -> Add {
    let file = &written.file;
    let tag = Tag {
        rows: file.rows,
        min_time: file.min_time,
        max_time: file.max_time,
        min_asset: file.min_asset.to_string(),
        max_asset: file.max_asset.to_string(),
        level: file.level,
        late: file.late,
        through: file.through,
    };
    let tag = serde_json::to_string(&tag).expect("a tag is plain data");
    Add {
        path: name(file).to_owned(),
        partition_values: HashMap::new(),
        size: file.bytes as i64,
        modification_time: wall_ms,
        data_change,
        stats: Some(written.stats.clone()),
        tags: Some([(TAG.to_owned(), Some(tag))].into()),
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

/// The `remove` action.
pub(super) fn remove(file: &ColdFile, wall_ms: i64, data_change: bool) -> Remove {
    Remove {
        path: name(file).to_owned(),
        data_change,
        deletion_timestamp: Some(wall_ms),
        extended_file_metadata: Some(true),
        partition_values: Some(HashMap::new()),
        size: Some(file.bytes as i64),
        ..Remove::default()
    }
}

/// A file of the table `table`, read back; none when the action is not one of ours.
pub(super) fn file(table: &str, add: &Add) -> Option<ColdFile> {
    let tag = add.tags.as_ref()?.get(TAG)?.as_ref()?;
    let tag: Tag = serde_json::from_str(tag).ok()?;
    Some(ColdFile {
        path: object_store::path::Path::from_iter([table, &add.path]),
        rows: tag.rows,
        bytes: u64::try_from(add.size).ok()?,
        min_time: tag.min_time,
        max_time: tag.max_time,
        min_asset: tag.min_asset.into(),
        max_asset: tag.max_asset.into(),
        level: tag.level,
        late: tag.late,
        sorted: true,
        through: tag.through,
    })
}

/// The file's name in its table.
pub(super) fn name(file: &ColdFile) -> &str {
    file.path.filename().expect("every file has a name")
}

/// Rows, and per column the smallest and largest value and how many are absent.
pub(super) fn statistics(rows: &RecordBatch) -> String {
    let (mut least, mut most, mut absent) = (Map::new(), Map::new(), Map::new());
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        absent.insert(field.name().clone(), column.null_count().into());
        if let Some((min, max)) = range(column) {
            least.insert(field.name().clone(), min);
            most.insert(field.name().clone(), max);
        }
    }
    let mut all = Map::new();
    all.insert("numRecords".into(), rows.num_rows().into());
    all.insert("minValues".into(), least.into());
    all.insert("maxValues".into(), most.into());
    all.insert("nullCount".into(), absent.into());
    Value::Object(all).to_string()
}

/// The smallest and the largest value; none where they cannot be written exactly.
fn range(column: &ArrayRef) -> Option<(Value, Value)> {
    match column.data_type() {
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            let (min, max) = (min_string(texts)?, max_string(texts)?);
            (max.len().max(min.len()) <= TEXT).then(|| (min.into(), max.into()))
        }
        DataType::Timestamp(..) => {
            let times = column.as_primitive::<TimestampMicrosecondType>();
            Some((instant(min(times)?)?, instant(max(times)?)?))
        }
        DataType::Int64 => {
            let numbers = column.as_primitive::<Int64Type>();
            Some((min(numbers)?.into(), max(numbers)?.into()))
        }
        DataType::Float64 => {
            let numbers = column.as_primitive::<Float64Type>();
            // Not-a-number has no place in an order that readers agree on.
            let ordered = numbers.iter().flatten().all(|number| !number.is_nan());
            let number = |found: f64| Number::from_f64(found).map(Value::Number);
            let (min, max) = (min(numbers)?, max(numbers)?);
            ordered.then_some(())?;
            Some((number(min)?, number(max)?))
        }
        DataType::Decimal128(precision, scale) => {
            let decimal = Decimal::new(*precision, *scale);
            let numbers = column.as_primitive::<Decimal128Type>();
            let number = |found: i128| Number::from_f64(decimal.value(found as i64));
            let (min, max) = (number(min(numbers)?)?, number(max(numbers)?)?);
            Some((min.into(), max.into()))
        }
        _ => None,
    }
}

fn instant(micros: i64) -> Option<Value> {
    let instant = DateTime::from_timestamp_micros(micros)?;
    Some(instant.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into())
}
