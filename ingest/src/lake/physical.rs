//! How a table's columns stand in files, and the way there and back.
//!
//! A number metric whose first sample is exactly a decimal becomes one: decimals pack by
//! differences, doubles do not. A value that its decimal cannot hold to the last bit goes to a side
//! column of doubles, so no bit is ever lost. Both are joined again on the way back.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, UInt64Array,
    new_null_array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, is_not_null};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, UInt64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::decimal::Decimal;
use crate::catalog::{FIXED_COLUMNS, fixed_fields};
use crate::snapshot::{KIND, SEQUENCE, SIDE_OF};

/// The kind of a side column of doubles, which only files have.
const DOUBLE: &str = "double";

/// The columns of a new table: the fixed ones.
pub(super) fn empty() -> SchemaRef {
    let mut fields = fixed_fields();
    fields.push(Field::new(SEQUENCE, DataType::Int64, true));
    Arc::new(Schema::new(fields))
}

/// Whether a column is known to files only.
fn is_double_side(field: &Field) -> bool {
    field
        .metadata()
        .get(KIND)
        .is_some_and(|kind| kind == DOUBLE)
}

/// The columns as everybody but the files knows them.
pub(super) fn logical(physical: &SchemaRef) -> SchemaRef {
    let fields = physical.fields().iter();
    let fields = fields.filter(|field| field.name() != SEQUENCE && !is_double_side(field));
    let fields = fields.map(|field| match field.data_type() {
        DataType::Decimal128(..) => Arc::new(Field::clone(field).with_data_type(DataType::Float64)),
        _ => field.clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The metric whose odd values a column holds; none for any other column.
pub(super) fn double_side_of(field: &Field) -> Option<&str> {
    is_double_side(field)
        .then(|| field.metadata().get(SIDE_OF).map(String::as_str))
        .flatten()
}

fn double_side_field(metric: &str) -> Field {
    let metadata = [(SIDE_OF, metric), (KIND, DOUBLE)];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Field::new(format!("{metric}__{DOUBLE}"), DataType::Float64, true)
        .with_metadata(metadata.into())
}

/// Rows as their file will have them; `physical` grows by what is new in them.
///
/// `rows` are in their logical form: numbers are doubles, `_sequence` is unsigned.
pub(super) fn encode(
    physical: &mut SchemaRef,
    rows: &RecordBatch,
) -> Result<RecordBatch, ArrowError> {
    let mut all: Vec<Arc<Field>> = physical.fields().iter().cloned().collect();
    let mut places: HashMap<String, usize> = all
        .iter()
        .enumerate()
        .map(|(place, field)| (field.name().clone(), place))
        .collect();
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let place = *places.entry(field.name().clone()).or_insert_with(|| {
            all.push(Arc::new(first_form(field, column)));
            all.len() - 1
        });
        if all[place].metadata() != field.metadata() && field.name() != SEQUENCE {
            let renewed = Field::clone(&all[place]).with_metadata(field.metadata().clone());
            all[place] = Arc::new(renewed);
        }
        let known = all[place].clone();
        let odd = match (known.data_type(), column.data_type()) {
            (DataType::Decimal128(precision, scale), DataType::Float64) => {
                let decimal = Decimal::new(*precision, *scale);
                let (whole, odd) = split(decimal, column.as_primitive());
                columns.push(Arc::new(whole) as ArrayRef);
                odd
            }
            (known, found) if known == found => {
                columns.push(column.clone());
                None
            }
            (known, _) => {
                columns.push(cast(column, known)?);
                None
            }
        };
        fields.push(known);
        if let Some(odd) = odd {
            let side = Arc::new(double_side_field(field.name()));
            places.entry(side.name().clone()).or_insert_with(|| {
                all.push(side.clone());
                all.len() - 1
            });
            fields.push(side);
            columns.push(Arc::new(odd));
        }
    }
    if all.as_slice() != physical.fields().as_ref() {
        *physical = Arc::new(Schema::new(all));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// The columns in the order of the table's, each before its side column.
pub(super) fn ordered(physical: &SchemaRef, logical: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = physical.fields().iter().cloned().collect();
    fields.sort_by_key(|field| {
        let metric = double_side_of(field).unwrap_or(field.name());
        let place = match metric {
            SEQUENCE => Some(FIXED_COLUMNS - 1),
            _ => logical.index_of(metric).ok(),
        };
        (
            place.unwrap_or(usize::MAX),
            field.name() == SEQUENCE,
            is_double_side(field),
        )
    });
    Arc::new(Schema::new(fields))
}

/// The first schema, with the columns of the second that it lacks after its own.
pub(super) fn united(one: &SchemaRef, other: &SchemaRef) -> SchemaRef {
    let lacking = |field: &&Arc<Field>| one.field_with_name(field.name()).is_err();
    let more: Vec<Arc<Field>> = other.fields().iter().filter(lacking).cloned().collect();
    if more.is_empty() {
        return one.clone();
    }
    let fields = one.fields().iter().cloned().chain(more);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The form of a column that is written for the first time, for good.
fn first_form(field: &Field, column: &ArrayRef) -> Field {
    let form = match column.data_type() {
        DataType::Float64 => Decimal::fitting(column.as_primitive())
            .map_or(DataType::Float64, |decimal| decimal.data_type()),
        DataType::UInt64 => DataType::Int64,
        DataType::Dictionary(_, values) => DataType::clone(values),
        other => other.clone(),
    };
    field.clone().with_data_type(form)
}

/// The values that the decimal holds to the last bit, and the others if there are any.
fn split(decimal: Decimal, values: &Float64Array) -> (Decimal128Array, Option<Float64Array>) {
    let exact: Vec<Option<i128>> = values
        .iter()
        .map(|value| {
            value
                .and_then(|value| decimal.exactly(value))
                .map(i128::from)
        })
        .collect();
    let odd = exact.iter().filter(|exact| exact.is_none()).count() > values.null_count();
    let odd = odd.then(|| {
        let pairs = values.iter().zip(&exact);
        pairs
            .map(|(value, exact)| value.filter(|_| exact.is_none()))
            .collect::<Float64Array>()
    });
    let whole = Decimal128Array::from(exact).with_data_type(decimal.data_type());
    (whole, odd)
}

/// Rows of a file in their logical form, with the columns of `logical` that the file has.
pub(super) fn decode(physical: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let found = rows.schema();
    let mut sides: HashMap<&str, &ArrayRef> = HashMap::new();
    for field in physical.fields() {
        if let (Some(metric), Ok(place)) = (double_side_of(field), found.index_of(field.name())) {
            sides.insert(metric, rows.column(place));
        }
    }
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (place, field) in found.fields().iter().enumerate() {
        let known = physical.field_with_name(field.name());
        let known = known.map_or_else(|_| Field::clone(field), Field::clone);
        if is_double_side(&known) {
            continue;
        }
        let column = rows.column(place);
        let column = match (column.data_type(), known.name().as_str()) {
            (DataType::Decimal128(_, scale), name) => {
                let whole = doubles(column.as_primitive(), *scale);
                match sides.get(name) {
                    Some(odd) => zip(&is_not_null(odd)?, odd, &whole)?,
                    None => Arc::new(whole),
                }
            }
            (DataType::Int64, SEQUENCE) => Arc::new(unsigned(column.as_primitive())),
            _ => column.clone(),
        };
        let nullable = known.is_nullable() && known.name() != SEQUENCE;
        let field = known.with_data_type(column.data_type().clone());
        fields.push(field.with_nullable(nullable));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn doubles(whole: &Decimal128Array, scale: i8) -> Float64Array {
    let decimal = Decimal::new(0, scale);
    whole.unary::<_, Float64Type>(|value| decimal.value(value as i64))
}

fn unsigned(sequence: &Int64Array) -> UInt64Array {
    sequence.unary::<_, UInt64Type>(|number| number as u64)
}

/// The batch with exactly the columns of `schema`, absent ones null.
pub(super) fn align(schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| match rows.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
            Some(column) => cast(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), rows.num_rows())),
        });
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: Vec<Option<f64>>) -> RecordBatch {
        let field = Field::new("m", DataType::Float64, true);
        let column: ArrayRef = Arc::new(Float64Array::from(values));
        RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]).unwrap()
    }

    /// Every value comes back to the last bit; gives the form of `m`.
    fn check(first: Vec<Option<f64>>, second: Vec<Option<f64>>) -> (DataType, bool) {
        let mut physical = empty();
        for values in [first, second] {
            let before = rows(values);
            let encoded = encode(&mut physical, &before).unwrap();
            let after = decode(&physical, &encoded).unwrap();
            let bits = |rows: &RecordBatch| -> Vec<Option<u64>> {
                let column: &Float64Array = rows.column_by_name("m").unwrap().as_primitive();
                column.iter().map(|value| value.map(f64::to_bits)).collect()
            };
            assert_eq!(bits(&before), bits(&after));
            assert_eq!(after.schema().fields().len(), 1);
        }
        let form = physical.field_with_name("m").unwrap().data_type().clone();
        assert_eq!(
            logical(&physical).field_with_name("m").unwrap().data_type(),
            &DataType::Float64
        );
        (form, physical.field_with_name("m__double").is_ok())
    }

    #[test]
    fn what_goes_in_comes_out_to_the_last_bit() {
        let tenths = |count: i32| {
            (0..count)
                .map(|n| Some(f64::from(n) / 10.0))
                .collect::<Vec<_>>()
        };
        let odd = vec![
            Some(-0.0),
            Some(f64::NAN),
            Some(f64::INFINITY),
            Some(0.05),
            None,
            Some(1e300),
            Some(0.1),
        ];
        let decimal = DataType::Decimal128(9, 1);
        assert_eq!(check(tenths(100), tenths(100)), (decimal.clone(), false));
        assert_eq!(check(tenths(100), odd.clone()), (decimal, true));
        assert_eq!(check(tenths(3), odd.clone()), (DataType::Float64, false));
        let thirds = (1..100).map(|n| Some(f64::from(n) / 3.0)).collect();
        assert_eq!(check(thirds, odd.clone()), (DataType::Float64, false));
        let wide = (1..100).map(|n| Some(f64::from(n) * 1e8 + 0.25)).collect();
        assert_eq!(check(wide, odd), (DataType::Decimal128(15, 2), true));
    }
}
