//! Bytes per row of the TSBS readings: all files of the table and its log.
//!
//! `FIELDWRIGHT_TSBS=DIR cargo test -p fieldwright-ingest --lib tsbs_readings -- --nocapture`, where
//! `DIR` has `readings.parquet` in arrival order.

use std::collections::HashMap;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt64Array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use super::*;
use crate::batch::{Batch, Part};
use crate::catalog::{instant_type, sequence_field};

const BATCH_ROWS: usize = 8192;
const FLUSH_ROWS: usize = 500_000;

#[test]
fn tsbs_readings_take_few_bytes() {
    let Ok(data) = std::env::var("FIELDWRIGHT_TSBS") else {
        eprintln!("skipped: FIELDWRIGHT_TSBS names no folder with readings.parquet");
        return;
    };
    let file = fs::File::open(Path::new(&data).join("readings.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let reader = reader.with_batch_size(BATCH_ROWS).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let lake = open(folder.path());
    let tables = Tables::new(0, Arc::new(lake.root()), Vec::new());
    let mut newest: BTreeMap<Arc<str>, i64> = BTreeMap::new();
    let (mut sequence, mut rows, mut hot) = (0, 0, 0);
    let flush = |sequence: u64, newest: &BTreeMap<Arc<str>, i64>| {
        let watermarks = [("readings".into(), newest.clone())].into();
        let mut frozen = tables.freeze();
        lake.flush(&mut frozen, sequence, &watermarks, &tables)
            .unwrap();
    };
    for batch in reader {
        sequence += 1;
        let batch = shaped(&batch.unwrap(), sequence);
        (rows, hot) = (rows + batch.num_rows(), hot + batch.num_rows());
        tables.apply(&[split(&batch, sequence, &mut newest)]);
        if hot >= FLUSH_ROWS {
            flush(sequence, &newest);
            hot = 0;
        }
    }
    flush(sequence, &newest);
    let of = |folder: &Path| bytes_below(folder) as f64 / rows as f64;
    let table = folder.path().join("readings");
    let flushed = of(&table);
    let limits = IngestConfig::default().compaction_limits();
    let name = "readings".into();
    while lake
        .compact(&name, limits, true, i64::MIN, &tables, &|| true)
        .is_ok_and(|done| done.is_some())
    {}
    lake.clear(i64::MAX).unwrap();
    let whole = of(&table);
    eprintln!(
        "{rows} rows: {flushed:.3} bytes a row flushed, {whole:.3} compacted, of which log {:.3}; \
         roll-ups by minute {:.3}, by hour {:.3} beside it",
        of(&table.join("_delta_log")),
        of(&folder.path().join("readings_1m")),
        of(&folder.path().join("readings_1h")),
    );
    let mut columns: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for path in parquet_files(&folder.path().join("readings")) {
        if path.parent().unwrap().ends_with("_delta_log") {
            continue;
        }
        let opened = SerializedFileReader::new(fs::File::open(&path).unwrap()).unwrap();
        for group in opened.metadata().row_groups() {
            for column in group.columns() {
                let entry = columns.entry(column.column_path().string()).or_default();
                entry.0 += column.compressed_size() as u64;
                entry.1 = format!("{:?}", column.encodings().collect::<Vec<_>>());
            }
        }
    }
    for (column, (bytes, encodings)) in columns {
        eprintln!("{column:28} {:.3} {encodings}", bytes as f64 / rows as f64);
    }
    assert!(whole <= 9.0, "{whole} bytes a row");
}

/// The suite's columns as ours: capacities are tags, and tags are texts.
fn shaped(rows: &RecordBatch, sequence: u64) -> RecordBatch {
    let schema = rows.schema();
    let count = rows.num_rows();
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    let named = cast(rows.column_by_name("name").unwrap(), &DataType::Utf8).unwrap();
    // A row without a name is of the truck that nobody knows.
    let assets: StringArray = named
        .as_string::<i32>()
        .iter()
        .map(|name| Some(name.unwrap_or("unknown")))
        .collect();
    let received = START * 1000 + sequence as i64 * 37_000;
    let received = TimestampMicrosecondArray::from(vec![received; count]).with_timezone("UTC");
    for (name, column) in [
        ("asset", Arc::new(assets) as ArrayRef),
        (
            "time",
            cast(rows.column_by_name("ts").unwrap(), &instant_type()).unwrap(),
        ),
        ("received_at", Arc::new(received)),
    ] {
        fields.push(Field::new(name, column.data_type().clone(), false));
        columns.push(column);
    }
    for (place, field) in schema.fields().iter().enumerate() {
        let form = match field.name().as_str() {
            "ts" | "name" => continue,
            "load_capacity" | "fuel_capacity" | "nominal_fuel_consumption" => DataType::Utf8,
            _ if field.data_type() == &DataType::Float64 => DataType::Float64,
            _ => DataType::Utf8,
        };
        columns.push(cast(rows.column(place), &form).unwrap());
        fields.push(Field::new(field.name(), form, true));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// In-order and late rows, as intake tells them apart.
fn split(rows: &RecordBatch, sequence: u64, newest: &mut BTreeMap<Arc<str>, i64>) -> Batch {
    let assets = rows.column(0).as_string::<i32>();
    let times = rows.column(1).as_primitive::<TimestampMicrosecondType>();
    let mut known: HashMap<Arc<str>, i64> = std::mem::take(newest).into_iter().collect();
    let late: BooleanArray = (0..rows.num_rows())
        .map(|row| {
            let newest = known.entry(assets.value(row).into()).or_insert(i64::MIN);
            let late = times.value(row) <= *newest;
            *newest = (*newest).max(times.value(row));
            Some(late)
        })
        .collect();
    newest.extend(known);
    let in_order = arrow::compute::not(&late).unwrap();
    let mut batch = OpenBatch::new(sequence).close(&Catalog::default());
    for (is_late, chosen) in [(false, in_order), (true, late)] {
        let mut part = filter_record_batch(rows, &chosen).unwrap();
        if part.num_rows() == 0 {
            continue;
        }
        if is_late {
            let mut fields: Vec<_> = part.schema().fields().iter().cloned().collect();
            let mut columns = part.columns().to_vec();
            let numbers = (0..part.num_rows() as u64).map(|place| (sequence << 20) | place);
            fields.insert(3, Arc::new(sequence_field()));
            columns.insert(3, Arc::new(UInt64Array::from_iter_values(numbers)));
            part = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        }
        let times = part.column(1).as_primitive::<TimestampMicrosecondType>();
        let hot = HotBatch {
            min_time: times.values().iter().copied().min().unwrap(),
            max_time: times.values().iter().copied().max().unwrap(),
            batch: part,
        };
        batch.parts.push(Part {
            class: "readings".into(),
            late: is_late,
            rows: Arc::new(hot),
            schema: rows.schema(),
        });
    }
    batch
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let sizes = entries.map(|path| match path.is_dir() {
        true => bytes_below(&path),
        false => fs::metadata(&path).unwrap().len(),
    });
    sizes.sum()
}
