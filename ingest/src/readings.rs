//! What a snapshot says, resolved reading by reading as its rule says: the oracle of the tests.

use std::collections::BTreeMap;

use arrow::array::{
    Array, AsArray, Float64Array, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

use crate::snapshot::{
    ASSET, ColdFile, FileRows, LakeRoot, RECEIVED_AT, SEQUENCE, Snapshot, TIME, TableSnapshot,
};

/// (class, asset, time, metric).
pub(crate) type Key = (String, String, i64, String);
/// Every reading once; values beside a metric's own column go by their column's name.
pub(crate) type Readings = BTreeMap<Key, Value>;

/// The value of a reading.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Text(String),
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl PartialEq<f64> for Value {
    fn eq(&self, number: &f64) -> bool {
        matches!(self, Self::Number(own) if own == number)
    }
}

impl Value {
    /// The bits of a number. Panics at a text.
    pub(crate) fn to_bits(&self) -> u64 {
        match self {
            Self::Number(number) => number.to_bits(),
            Self::Text(text) => panic!("\"{text}\" is no number"),
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// All readings. Panics when two in-order rows have one key: the rule forbids it.
pub(crate) fn of(snapshot: &Snapshot) -> Readings {
    let mut readings = Readings::new();
    for (class, table) in &snapshot.tables {
        let mut in_order: Vec<RecordBatch> = table
            .files
            .iter()
            .flat_map(|file| read(&snapshot.lake, table, file))
            .collect();
        in_order.extend(table.hot.iter().map(|rows| rows.batch.clone()));
        for batch in &in_order {
            assert!(batch.column_by_name(SEQUENCE).is_none());
            for (_, key, value) in values(class, batch) {
                assert!(
                    readings.insert(key.clone(), value).is_none(),
                    "{key:?} stands twice"
                );
            }
        }
        let mut late: Vec<RecordBatch> = table
            .late_files
            .iter()
            .flat_map(|file| read(&snapshot.lake, table, file))
            .collect();
        late.extend(table.late_hot.iter().map(|rows| rows.batch.clone()));
        let mut corrections: Vec<_> = late.iter().flat_map(|batch| values(class, batch)).collect();
        corrections.sort_by_key(|(sequence, ..)| *sequence);
        readings.extend(corrections.into_iter().map(|(_, key, value)| (key, value)));
        // The table's schema has every metric that occurs.
        for batch in in_order.iter().chain(&late) {
            for field in batch.schema().fields() {
                let known = table.schema.field_with_name(field.name());
                assert!(
                    field.name() == SEQUENCE || known.is_ok(),
                    "{} of {class}: files {}, late files {}, hot {}, late hot {}, physical {}",
                    field.name(),
                    table.files.len(),
                    table.late_files.len(),
                    table.hot.len(),
                    table.late_hot.len(),
                    table.physical.field_with_name(field.name()).is_ok(),
                );
            }
        }
    }
    readings
}

/// The rows of a file.
pub(crate) fn read(lake: &LakeRoot, table: &TableSnapshot, file: &ColdFile) -> Vec<RecordBatch> {
    let rows = FileRows::open(lake, &table.physical, file, None, 1024).unwrap();
    let batches: Vec<_> = rows.map(Result::unwrap).collect();
    assert_eq!(
        batches
            .iter()
            .map(|batch| batch.num_rows() as u64)
            .sum::<u64>(),
        file.rows
    );
    batches
}

fn values(class: &str, batch: &RecordBatch) -> Vec<(u64, Key, Value)> {
    let assets: &StringArray = column(batch, ASSET).unwrap();
    let times: &TimestampMicrosecondArray = column(batch, TIME).unwrap();
    let sequences: Option<&UInt64Array> = column(batch, SEQUENCE);
    let mut values = Vec::new();
    for field in batch.schema().fields() {
        if [ASSET, TIME, RECEIVED_AT, SEQUENCE].contains(&field.name().as_str()) {
            continue;
        }
        let array = batch.column_by_name(field.name()).unwrap();
        let text = || cast(array, &DataType::Utf8).unwrap();
        let value: Box<dyn Fn(usize) -> Value> = match field.data_type() {
            DataType::Float64 => {
                let numbers: Float64Array = array.as_primitive().clone();
                Box::new(move |row| Value::Number(numbers.value(row)))
            }
            _ => {
                let texts: StringArray = text().as_string().clone();
                Box::new(move |row| Value::Text(texts.value(row).to_owned()))
            }
        };
        for row in (0..batch.num_rows()).filter(|row| array.is_valid(*row)) {
            let key = (
                class.to_owned(),
                assets.value(row).to_owned(),
                times.value(row),
                field.name().clone(),
            );
            values.push((sequences.map_or(0, |all| all.value(row)), key, value(row)));
        }
    }
    values
}

fn column<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> Option<&'a T> {
    batch
        .column_by_name(name)
        .map(|column| column.as_any().downcast_ref().unwrap())
}
