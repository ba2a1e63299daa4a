//! Which encoding each column of a file gets: the one that makes a sample smallest.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::snapshot::{ASSET, SEQUENCE, TIME};

/// Rows in one row group: what a selective scan can skip.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Rows from the middle of a file on which the encodings are tried.
const SAMPLE_ROWS: usize = 16 * 1024;

/// How a column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Dictionary,
    Encoded(Encoding),
}

/// A sorted batch as the bytes of a Parquet file.
///
/// **Errors**: the encoder's own.
pub(super) fn file(sorted: &RecordBatch, zstd_level: i32) -> Result<Vec<u8>, ParquetError> {
    let compression = Compression::ZSTD(ZstdLevel::try_new(zstd_level)?);
    let schema = sorted.schema();
    let sorting = [ASSET, TIME, SEQUENCE].into_iter().filter_map(|name| {
        Some(SortingColumn {
            column_idx: schema.index_of(name).ok()? as i32,
            descending: false,
            nulls_first: false,
        })
    });
    let mut properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(sorting.collect()));
    for (field, column) in schema.fields().iter().zip(sorted.columns()) {
        let way = way(field, column, compression)?;
        properties = way.on(properties, field.name());
    }
    encoded(sorted, properties.build())
}

impl Way {
    fn on(self, properties: WriterPropertiesBuilder, name: &str) -> WriterPropertiesBuilder {
        let path = ColumnPath::from(name);
        match self {
            Self::Dictionary => properties.set_column_dictionary_enabled(path, true),
            Self::Encoded(encoding) => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, encoding),
        }
    }
}

/// The best way for one column.
fn way(field: &Arc<Field>, column: &ArrayRef, with: Compression) -> Result<Way, ParquetError> {
    let delta = Way::Encoded(Encoding::DELTA_BINARY_PACKED);
    let plain = Way::Encoded(Encoding::PLAIN);
    let split = Way::Encoded(Encoding::BYTE_STREAM_SPLIT);
    let ways: &[Way] = match column.data_type() {
        _ if field.name() == TIME => return Ok(delta),
        DataType::Utf8 => return Ok(Way::Dictionary),
        DataType::Float64 => &[Way::Dictionary, plain, split],
        DataType::Decimal128(..) => &[delta, Way::Dictionary, plain],
        _ => &[delta, Way::Dictionary],
    };
    let rows = column.len().min(SAMPLE_ROWS);
    let sample = column.slice((column.len() - rows) / 2, rows);
    let schema = Arc::new(Schema::new(vec![field.clone()]));
    let sample = RecordBatch::try_new(schema, vec![sample])?;
    let mut best = (usize::MAX, ways[0]);
    for way in ways {
        let properties = WriterProperties::builder()
            .set_compression(with)
            .set_statistics_enabled(EnabledStatistics::None);
        let size = encoded(&sample, way.on(properties, field.name()).build())?.len();
        if size < best.0 {
            best = (size, *way);
        }
    }
    Ok(best.1)
}

fn encoded(rows: &RecordBatch, properties: WriterProperties) -> Result<Vec<u8>, ParquetError> {
    // Readers of the table go by the log's schema; ours need no copy of it in every file.
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new_with_options(&mut bytes, rows.schema(), options)?;
    writer.write(rows)?;
    writer.close()?;
    Ok(bytes)
}
