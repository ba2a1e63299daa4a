//! What is known of a scan's rows before any is read.

use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use fieldwright_ingest::snapshot::{ASSET, TIME};

use super::pieces::Found;

/// Rows, and where times lie: exactly when all rows of all files are read and none is dropped.
pub(super) fn of(schema: &SchemaRef, found: &Found, whole: bool) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = Precision::Exact(found.rows);
    if found.files().next().is_some() {
        let times = || found.files().map(|file| (file.min_time, file.max_time));
        let min = times().map(|(min, _)| min).min().unwrap_or_default();
        let max = times().map(|(_, max)| max).max().unwrap_or_default();
        let instant = |micros| ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
        for (field, column) in schema
            .fields()
            .iter()
            .zip(&mut statistics.column_statistics)
        {
            if field.name() == TIME {
                *column = ColumnStatistics {
                    min_value: Precision::Exact(instant(min)),
                    max_value: Precision::Exact(instant(max)),
                    null_count: Precision::Exact(0),
                    ..ColumnStatistics::new_unknown()
                };
            } else if field.name() == ASSET {
                column.null_count = Precision::Exact(0);
            }
        }
    }
    match whole {
        true => statistics,
        false => statistics.to_inexact(),
    }
}
