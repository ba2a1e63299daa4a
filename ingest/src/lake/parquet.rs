//! One Parquet file: sorted, compressed, with statistics, synced.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::LakeError;
use crate::snapshot::{ASSET, RECEIVED_AT, SEQUENCE, TIME};

/// Rows in one row group: what a selective scan can skip.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Little is gained above it, and flushing shares the cores with receiving.
const ZSTD_LEVEL: i32 = 1;

/// Writes the rows sorted by asset and time, rows of one key in their arrival order. Returns the
/// file's size in bytes.
pub(super) fn write(path: &Path, rows: &RecordBatch) -> Result<u64, LakeError> {
    let encode = |source| LakeError::Encode {
        path: path.to_owned(),
        source,
    };
    let io = |operation| {
        move |source| LakeError::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    };
    let sorted = take_record_batch(rows, &order(rows)).map_err(|error| encode(error.into()))?;
    let file = File::create(path).map_err(io("make"))?;
    let mut writer =
        ArrowWriter::try_new(&file, sorted.schema(), Some(properties(rows))).map_err(encode)?;
    writer.write(&sorted).map_err(encode)?;
    writer.close().map_err(encode)?;
    file.sync_all().map_err(io("sync"))?;
    Ok(file.metadata().map_err(io("look at"))?.len())
}

/// The places of the rows in file order.
fn order(rows: &RecordBatch) -> UInt32Array {
    let column = |name| {
        rows.column_by_name(name)
            .expect("every batch has the fixed columns")
    };
    let assets: &StringArray = column(ASSET)
        .as_any()
        .downcast_ref()
        .expect("assets are texts");
    let times: &TimestampMicrosecondArray = column(TIME)
        .as_any()
        .downcast_ref()
        .expect("times are microseconds");
    let ranks = ranks(assets);
    let mut keys: Vec<(u32, i64, u32)> = ranks
        .into_iter()
        .zip(times.values())
        .zip(0..)
        .map(|((rank, time), place)| (rank, *time, place))
        .collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, _, place)| place).collect()
}

/// The place of each row's asset among the assets that occur: comparing numbers is much quicker
/// than comparing tags once per pair of rows.
fn ranks(assets: &StringArray) -> Vec<u32> {
    let mut known: std::collections::HashMap<&str, u32> = std::collections::HashMap::new();
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

fn properties(rows: &RecordBatch) -> WriterProperties {
    let schema = rows.schema();
    let sorting = [ASSET, TIME, SEQUENCE].into_iter().filter_map(|name| {
        let place = schema.index_of(name).ok()?;
        Some(SortingColumn {
            column_idx: place as i32,
            descending: false,
            nulls_first: false,
        })
    });
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(
            ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default(),
        ))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(sorting.collect()));
    // Instants hardly repeat and are nearly regular: a dictionary of them only costs.
    for name in [TIME, RECEIVED_AT, SEQUENCE] {
        let path = ColumnPath::from(name);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, parquet::basic::Encoding::DELTA_BINARY_PACKED);
    }
    properties.build()
}
