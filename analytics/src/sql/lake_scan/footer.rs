//! What the end of a file tells: its columns, and for each row group how many rows it has and
//! between which values they lie.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::object_store::ObjectStore;
use fieldwright_ingest::snapshot::ColdFile;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use super::file::LakeFile;

/// The end of one file.
#[derive(Debug)]
pub(in crate::sql) struct Footer {
    metadata: ArrowReaderMetadata,
}

impl Footer {
    /// Reads the end of `file`.
    pub(super) async fn read(store: &Arc<dyn ObjectStore>, file: &ColdFile) -> Result<Self> {
        // Types are taken from the file's own schema, as any other reader sees them.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata =
            ArrowReaderMetadata::load_async(&mut LakeFile::new(store, file), options).await;
        let metadata = metadata.map_err(DataFusionError::from)?;
        Ok(Self { metadata })
    }

    pub(super) fn metadata(&self) -> &ArrowReaderMetadata {
        &self.metadata
    }

    /// Names and types as the file has them.
    pub(super) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    pub(super) fn groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    pub(super) fn rows(&self, group: usize) -> usize {
        let rows = self.metadata.metadata().row_group(group).num_rows();
        usize::try_from(rows).unwrap_or(0)
    }

    /// **Units** bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.metadata.metadata().memory_size()
    }

    /// Smallest and largest value of a column per row group; nothing where the file does not say.
    pub(super) fn ranges(&self, column: &str, as_type: &DataType) -> Option<(ArrayRef, ArrayRef)> {
        let metadata = self.metadata.metadata();
        let schema = metadata.file_metadata().schema_descr();
        let converter = StatisticsConverter::try_new(column, self.schema(), schema).ok()?;
        let groups = metadata.row_groups();
        let min = converter.row_group_mins(groups.iter()).ok()?;
        let max = converter.row_group_maxes(groups.iter()).ok()?;
        Some((cast(&min, as_type).ok()?, cast(&max, as_type).ok()?))
    }

    /// True when the column has no value in any row group, or is not there.
    pub(super) fn is_empty_column(&self, column: &str) -> bool {
        let Ok(index) = self.schema().index_of(column) else {
            return true;
        };
        let groups = self.metadata.metadata().row_groups().iter();
        groups.into_iter().all(|group| {
            let nulls = group
                .column(index)
                .statistics()
                .and_then(|s| s.null_count_opt());
            nulls == u64::try_from(group.num_rows()).ok()
        })
    }
}
