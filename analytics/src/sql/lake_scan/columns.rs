//! From the columns of a file to the columns that queries know.
//!
//! A number may be stored as a decimal, with the values that do not fit in a column beside it.
//! Queries see one column of Float64 and nothing of this.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, new_null_array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, concat, is_not_null};
use arrow::datatypes::{DataType, Decimal128Type, Field, Schema, SchemaRef};
use datafusion::common::exec_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::object_store::ObjectStore;
use fieldwright_ingest::snapshot::{ColdFile, KIND, SIDE_OF};
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use super::super::metric::DOUBLE;
use super::file::LakeFile;
use super::footer::Footer;

/// A column that queries know, and where a file has it.
#[derive(Debug, Clone)]
pub(in crate::sql) struct StoredColumn {
    /// Its name, for queries and in the files.
    pub(in crate::sql) name: Arc<str>,
    /// Its type for queries.
    pub(in crate::sql) data_type: DataType,
    /// The column of values that do not fit in the first one.
    pub(in crate::sql) double: Option<Arc<str>>,
}

impl StoredColumn {
    /// The columns of a class that are asked for, as its files may have them.
    pub(in crate::sql) fn of(fields: &Schema, physical: &Schema) -> Vec<Self> {
        let column = |field: &Arc<Field>| Self {
            name: field.name().as_str().into(),
            data_type: field.data_type().clone(),
            double: double_of(physical, field.name()),
        };
        fields.fields().iter().map(column).collect()
    }

    /// Whether the file has anything of it.
    fn is_in(&self, file: &Schema) -> bool {
        let has = |name: &str| file.index_of(name).is_ok();
        has(&self.name) || self.double.as_deref().is_some_and(has)
    }
}

fn double_of(physical: &Schema, metric: &str) -> Option<Arc<str>> {
    let fields = physical.fields().iter();
    let mut doubles = fields.filter(|field| {
        let said = |key, value: &str| field.metadata().get(key).is_some_and(|v| v == value);
        said(SIDE_OF, metric) && said(KIND, DOUBLE)
    });
    doubles.next().map(|field| field.name().as_str().into())
}

/// Reads columns of one row group, each whole.
pub(super) async fn decode(
    store: &Arc<dyn ObjectStore>,
    file: &ColdFile,
    footer: &Footer,
    group: usize,
    columns: &[&StoredColumn],
) -> Result<Vec<ArrayRef>> {
    let rows = footer.rows(group);
    let schema = footer.schema();
    let mut roots: Vec<usize> = Vec::new();
    for column in columns {
        let names = [Some(&column.name), column.double.as_ref()];
        let found = names.into_iter().flatten();
        roots.extend(found.filter_map(|name| schema.index_of(name).ok()));
    }
    let stored = match roots.is_empty() {
        true => Stored::default(),
        false => read(store, file, footer, group, roots).await?,
    };
    columns
        .iter()
        .map(|column| match column.is_in(schema) {
            true => stored.column(column, rows),
            false => Ok(new_null_array(&column.data_type, rows)),
        })
        .collect()
}

/// Columns as the file has them.
#[derive(Debug)]
struct Stored {
    schema: SchemaRef,
    columns: Vec<ArrayRef>,
}

impl Default for Stored {
    fn default() -> Self {
        Self {
            schema: Arc::new(Schema::empty()),
            columns: Vec::new(),
        }
    }
}

async fn read(
    store: &Arc<dyn ObjectStore>,
    file: &ColdFile,
    footer: &Footer,
    group: usize,
    roots: Vec<usize>,
) -> Result<Stored> {
    let reader = LakeFile::new(store, file);
    let metadata = footer.metadata().clone();
    let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
    let mut groups = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
        .with_row_groups(vec![group])
        .with_projection(mask)
        .with_batch_size(footer.rows(group).max(1))
        .build()
        .map_err(DataFusionError::from)?;
    let schema = Arc::clone(groups.schema());
    let rows = groups
        .next_row_group()
        .await
        .map_err(DataFusionError::from)?;
    let batches = rows.into_iter().flatten().collect::<Result<Vec<_>, _>>()?;
    let columns = (0..schema.fields().len()).map(|at| {
        let parts: Vec<&dyn Array> = batches
            .iter()
            .map(|batch| batch.column(at).as_ref())
            .collect();
        match parts.as_slice() {
            [] => Ok(new_null_array(schema.field(at).data_type(), 0)),
            [_] => Ok(Arc::clone(batches[0].column(at))),
            parts => concat(parts),
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    Ok(Stored { schema, columns })
}

impl Stored {
    fn get(&self, name: &str) -> Option<&ArrayRef> {
        self.schema.index_of(name).ok().map(|at| &self.columns[at])
    }

    fn column(&self, column: &StoredColumn, rows: usize) -> Result<ArrayRef> {
        let double = column.double.as_deref().and_then(|name| self.get(name));
        let joined = join_stored(self.get(&column.name), double, &column.data_type)?;
        let joined = joined.unwrap_or_else(|| new_null_array(&column.data_type, rows));
        match joined.len() == rows {
            true => Ok(joined),
            false => Err(exec_datafusion_err!(
                "column {} has {} rows in a row group of {rows}",
                column.name,
                joined.len()
            )),
        }
    }
}

/// The values that did not fit where there are any, else those that did; nothing of nothing.
pub(in crate::sql) fn join_stored(
    value: Option<&ArrayRef>,
    double: Option<&ArrayRef>,
    wanted: &DataType,
) -> Result<Option<ArrayRef>> {
    // Most columns of a file have no value that does not fit.
    let double = double.filter(|double| value.is_none() || double.null_count() < double.len());
    Ok(match (value, double) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(as_type(one, wanted)?),
        (Some(value), Some(double)) => {
            let (value, double) = (as_type(value, wanted)?, as_type(double, wanted)?);
            Some(zip(&is_not_null(&double)?, &double, &value)?)
        }
    })
}

fn as_type(stored: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    match (stored.data_type(), wanted) {
        (found, wanted) if found == wanted => Ok(Arc::clone(stored)),
        (DataType::Decimal128(_, scale), DataType::Float64) if (0..=22).contains(scale) => {
            let tenth_powers = 10_f64.powi(i32::from(*scale));
            let decimals = stored.as_primitive::<Decimal128Type>();
            // Exact below 2^53 on both sides of the division, so the quotient is the nearest
            // double to the decimal: the one that the writer made it of.
            let values = decimals
                .values()
                .iter()
                .map(|value| *value as f64 / tenth_powers);
            let values = values.collect::<Vec<f64>>();
            Ok(Arc::new(Float64Array::new(
                values.into(),
                decimals.nulls().cloned(),
            )))
        }
        _ => Ok(cast(stored, wanted)?),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, StringArray};

    use super::*;

    fn stored(columns: Vec<(&str, ArrayRef)>) -> Stored {
        let fields = columns
            .iter()
            .map(|(name, values)| Field::new(*name, values.data_type().clone(), true));
        Stored {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            columns: columns.into_iter().map(|(_, values)| values).collect(),
        }
    }

    fn decimals(values: Vec<Option<i128>>) -> ArrayRef {
        let values = Decimal128Array::from(values).with_precision_and_scale(9, 1);
        Arc::new(values.unwrap())
    }

    fn check(stored: &Stored, expected: Vec<Option<f64>>) {
        let column = StoredColumn {
            name: "m".into(),
            data_type: DataType::Float64,
            double: Some("m__double".into()),
        };
        let found = stored.column(&column, expected.len()).unwrap();
        assert_eq!(found.as_primitive(), &Float64Array::from(expected));
    }

    #[test]
    fn decimals_and_doubles_are_one_column() {
        let m = decimals(vec![Some(1), None, None, Some(-25)]);
        let doubles: ArrayRef =
            Arc::new(Float64Array::from(vec![None, Some(0.123), None, Some(7.0)]));
        let none: ArrayRef = Arc::new(Float64Array::from(vec![None; 4]));
        let (d, one) = (Some(0.123), Some(0.1));
        check(
            &stored(vec![("m", m.clone())]),
            vec![one, None, None, Some(-2.5)],
        );
        check(
            &stored(vec![("m", m.clone()), ("m__double", none)]),
            vec![one, None, None, Some(-2.5)],
        );
        check(
            &stored(vec![("m", m), ("m__double", doubles.clone())]),
            vec![one, d, None, Some(7.0)],
        );
        check(
            &stored(vec![("m__double", doubles)]),
            vec![None, d, None, Some(7.0)],
        );
        check(&stored(vec![]), vec![None; 2]);
    }

    #[test]
    fn a_decimal_is_the_double_that_it_was_made_of() {
        for unscaled in [1_i128, 3, 7, 70_123, 123_456_789, 9_007_199_254_740_991] {
            for scale in 0..=9_i8 {
                let text = format!("{unscaled}e-{scale}");
                let array = Decimal128Array::from(vec![unscaled]);
                let array = array.with_precision_and_scale(18, scale).unwrap();
                let double = as_type(&(Arc::new(array) as ArrayRef), &DataType::Float64).unwrap();
                let double = double
                    .as_primitive::<arrow::datatypes::Float64Type>()
                    .value(0);
                assert_eq!(double, text.parse::<f64>().unwrap(), "{text}");
            }
        }
    }

    #[test]
    fn the_physical_schema_says_which_column_stands_beside_a_metric() {
        let side = [
            (SIDE_OF.to_owned(), "m".to_owned()),
            (KIND.to_owned(), DOUBLE.to_owned()),
        ];
        let physical = Schema::new(vec![
            Field::new("m", DataType::Decimal128(9, 1), true),
            Field::new("m__double", DataType::Float64, true).with_metadata(side.into()),
            Field::new("text", DataType::Utf8, true),
        ]);
        let logical = Schema::new(vec![
            Field::new("m", DataType::Float64, true),
            Field::new("text", DataType::Utf8, true),
        ]);
        let columns = StoredColumn::of(&logical, &physical);
        let doubles: Vec<_> = columns.iter().map(|c| c.double.as_deref()).collect();
        assert_eq!(doubles, [Some("m__double"), None]);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        assert_eq!(
            stored(vec![("text", texts.clone())])
                .column(&columns[1], 1)
                .unwrap()
                .as_ref(),
            texts.as_ref()
        );
    }
}
