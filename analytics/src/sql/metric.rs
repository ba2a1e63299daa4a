//! The columns of one metric: its values, those of another type, and how good they are.

use std::collections::BTreeMap;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::{is_not_null, or};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::error::Result;
use fieldwright_ingest::snapshot::{ASSET, KIND, RECEIVED_AT, SIDE_OF, TIME, UNIT};

/// What the quality of a value is when nothing is said of it.
pub(super) const GOOD: &str = "good";

/// Kinds of columns beside a metric.
pub(super) const DOUBLE: &str = "double";
const KIND_TEXT: &str = "text";
const KIND_NUMBER: &str = "number";
const KIND_QUALITY: &str = "quality";

/// The places of the columns of each reading: a metric's own column and those beside it, which are
/// written and corrected together. What else a row has beside its key stands by itself.
pub(super) fn cells(schema: &Schema) -> Vec<Vec<usize>> {
    let mut cells: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, field) in schema.fields().iter().enumerate() {
        let name = field.name().as_str();
        if name != ASSET && name != TIME {
            let metric = field.metadata().get(SIDE_OF).map_or(name, String::as_str);
            cells.entry(metric).or_default().push(place);
        }
    }
    cells.into_values().collect()
}

/// One metric of a class and the places of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) unit: Option<String>,
    pub(super) number: Option<usize>,
    pub(super) text: Option<usize>,
    pub(super) quality: Option<usize>,
}

impl Metric {
    /// The metrics of a class in the order of its columns.
    pub(super) fn all_of(schema: &Schema) -> Vec<Self> {
        let own = [ASSET, TIME, RECEIVED_AT];
        let fields = || schema.fields().iter().enumerate();
        let is_metric = |field: &Field| {
            !own.contains(&field.name().as_str()) && !field.metadata().contains_key(SIDE_OF)
        };
        fields()
            .filter(|(_, field)| is_metric(field))
            .map(|(at, field)| {
                let side = |kind: &str| {
                    let said = |field: &Field, key, value: &str| {
                        field.metadata().get(key).is_some_and(|said| said == value)
                    };
                    let mut sides = fields();
                    let found = sides.find(|(_, side)| {
                        said(side, SIDE_OF, field.name()) && said(side, KIND, kind)
                    });
                    found.map(|(at, _)| at)
                };
                let is_text = *field.data_type() == DataType::Utf8;
                Self {
                    name: field.name().clone(),
                    unit: field.metadata().get(UNIT).cloned(),
                    number: if is_text { side(KIND_NUMBER) } else { Some(at) },
                    text: if is_text { Some(at) } else { side(KIND_TEXT) },
                    quality: side(KIND_QUALITY),
                }
            })
            .collect()
    }

    /// The places of its columns.
    pub(super) fn places_mut(&mut self) -> impl Iterator<Item = &mut usize> {
        let places = [&mut self.number, &mut self.text, &mut self.quality];
        places.into_iter().flatten()
    }

    /// The rows that say anything of the metric; nothing when all do.
    pub(super) fn said(&self, rows: &RecordBatch) -> Result<Option<BooleanArray>> {
        let places = [self.number, self.text, self.quality];
        let columns = places.into_iter().flatten().map(|at| rows.column(at));
        let mut said: Option<BooleanArray> = None;
        for column in columns {
            if column.null_count() == 0 {
                return Ok(None);
            }
            let of_column = is_not_null(column)?;
            said = Some(match said {
                None => of_column,
                Some(before) => or(&before, &of_column)?,
            });
        }
        Ok(said)
    }
}
