//! Rows of a file, for those who read them one batch after the other.

use std::io;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::physical;
use super::root::LakeRoot;
use crate::snapshot::ColdFile;

/// The rows of one file as the table's schema has them; columns that the file lacks are missing.
///
/// Late rows have `_sequence`.
pub struct FileRows {
    physical: SchemaRef,
    reader: ParquetRecordBatchReader,
}

impl FileRows {
    /// Opens a file; takes as long as the store needs.
    ///
    /// `physical` is the table's; `columns` are those of it that are wanted, all without it.
    ///
    /// **Errors**: the file is away (`NotFound`), or is no Parquet file.
    pub fn open(
        lake: &LakeRoot,
        physical: &SchemaRef,
        file: &ColdFile,
        columns: Option<&[&str]>,
        batch_rows: usize,
    ) -> io::Result<Self> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(lake.open(file)?);
        let mut builder = builder
            .map_err(io::Error::other)?
            .with_batch_size(batch_rows);
        if let Some(columns) = columns {
            let side = |name: &str| {
                let side = physical.field_with_name(name).ok();
                side.and_then(physical::double_side_of)
            };
            let names = builder.parquet_schema().root_schema().get_fields().iter();
            let wanted = names.enumerate().filter(|(_, field)| {
                columns.contains(&field.name())
                    || side(field.name()).is_some_and(|metric| columns.contains(&metric))
            });
            let wanted: Vec<usize> = wanted.map(|(place, _)| place).collect();
            let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
            builder = builder.with_projection(mask);
        }
        Ok(Self {
            physical: physical.clone(),
            reader: builder.build().map_err(io::Error::other)?,
        })
    }
}

impl Iterator for FileRows {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.reader.next()?;
        Some(rows.and_then(|rows| physical::decode(&self.physical, &rows)))
    }
}

impl std::fmt::Debug for FileRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileRows")
            .field("physical", &self.physical)
            .finish_non_exhaustive()
    }
}
