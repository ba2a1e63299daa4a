//! `lake/manifest.json`: which files count, and up to which journal record they reach.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::LakeError;
use crate::catalog::{FIXED_COLUMNS, UNIT, fixed_fields, metric_field};

/// The file's name in the lake's folder.
pub(super) const NAME: &str = "manifest.json";
const VERSION: u64 = 1;

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u64,
    /// Number of the last journal record whose rows are all in files.
    pub flushed_through: u64,
    /// Number of the next file.
    pub next_file: u64,
    /// Tables in order of first sight.
    pub tables: Vec<TableEntry>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableEntry {
    pub class: String,
    /// Metrics in order of first sight.
    pub columns: Vec<ColumnEntry>,
    pub files: Vec<FileEntry>,
    pub late_files: Vec<FileEntry>,
    /// The newest event time of every asset as of `flushed_through`, microseconds since 1970.
    pub watermarks: BTreeMap<String, i64>,
}

/// One metric column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ColumnEntry {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// One file; times in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    /// Relative to the lake's folder.
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
    pub min_time: i64,
    pub max_time: i64,
    pub min_asset: String,
    pub max_asset: String,
    /// Number of the last journal record whose rows may be in it.
    pub through: u64,
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            version: VERSION,
            flushed_through: 0,
            next_file: 1,
            tables: Vec::new(),
        }
    }
}

impl Manifest {
    /// **Errors**: not a whole manifest, or one of another version.
    pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<Self, LakeError> {
        #[derive(Deserialize)]
        struct Head {
            version: u64,
        }
        let damaged = |error: serde_json::Error| LakeError::Damaged {
            path: path.to_owned(),
            detail: error.to_string(),
        };
        let Head { version } = serde_json::from_slice(bytes).map_err(damaged)?;
        if version != VERSION {
            let path = path.to_owned();
            return Err(LakeError::Version {
                path,
                found: version,
                known: VERSION,
            });
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest is plain data")
    }

    pub(super) fn all_files(&self) -> impl Iterator<Item = &FileEntry> {
        self.tables
            .iter()
            .flat_map(|table| table.files.iter().chain(&table.late_files))
    }

    pub(super) fn table_mut(&mut self, class: &str) -> Option<&mut TableEntry> {
        self.tables.iter_mut().find(|table| table.class == class)
    }

    pub(super) fn table_or_insert(&mut self, class: &str) -> &mut TableEntry {
        let place = match self.tables.iter().position(|table| table.class == class) {
            Some(place) => place,
            None => {
                self.tables.push(TableEntry {
                    class: class.to_owned(),
                    columns: Vec::new(),
                    files: Vec::new(),
                    late_files: Vec::new(),
                    watermarks: BTreeMap::new(),
                });
                self.tables.len() - 1
            }
        };
        &mut self.tables[place]
    }
}

impl TableEntry {
    pub(super) fn set_columns(&mut self, schema: &SchemaRef) {
        let metrics = schema.fields().iter().skip(FIXED_COLUMNS);
        let entry = |field: &Arc<arrow::datatypes::Field>| ColumnEntry {
            name: field.name().clone(),
            unit: field.metadata().get(UNIT).cloned(),
        };
        self.columns = metrics.map(entry).collect();
    }

    pub(super) fn schema(&self) -> SchemaRef {
        let metrics = self.columns.iter();
        let metrics = metrics.map(|column| metric_field(&column.name, column.unit.as_deref()));
        Arc::new(Schema::new(
            fixed_fields()
                .into_iter()
                .chain(metrics)
                .collect::<Vec<_>>(),
        ))
    }
}
