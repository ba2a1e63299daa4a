//! A small world of readings that is written as the ingester would, and a naive model of it.
//!
//! A reading is what stands in a metric's column and in those beside it: here `v` has one of texts
//! and one of qualities, written as numbers that [`shown`] turns into words.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Decimal128Array, Float64Array, StringArray, TimestampMicrosecondArray,
    UInt64Array, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use fieldwright_ingest::snapshot::{
    ASSET, ColdFile, HotBatch, KIND, LakeRoot, RECEIVED_AT, SEQUENCE, SIDE_OF, Snapshot, TIME,
    TableSnapshot,
};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

/// Values by column.
pub(super) type Values = BTreeMap<&'static str, f64>;

/// Columns beside a metric's own.
pub(super) const V_TEXT: &str = "v__text";
pub(super) const V_QUALITY: &str = "v__quality";

/// The metric of a column, and what it holds when it stands beside the metric's own.
pub(super) fn metric_of(column: &str) -> (&str, Option<&str>) {
    match column.split_once("__") {
        Some((metric, kind)) => (metric, Some(kind)),
        None => (column, None),
    }
}

/// What a column of texts says for a number.
pub(super) fn word(column: &str, value: f64) -> String {
    match metric_of(column).1 {
        Some("quality") if value > 0.0 => "bad".to_owned(),
        Some("quality") => "uncertain".to_owned(),
        _ => format!("says {value}"),
    }
}

/// A value as an answer shows it.
pub(super) fn shown(column: &str, value: f64) -> serde_json::Value {
    match metric_of(column).1 {
        Some(_) => word(column, value).into(),
        None => value.into(),
    }
}

#[derive(Debug, Clone)]
struct Row {
    asset: String,
    time: i64,
    received_at: i64,
    sequence: u64,
    values: Values,
}

/// One class being written.
pub(super) struct World {
    class: &'static str,
    folder: TempDir,
    metrics: Vec<&'static str>,
    newest: BTreeMap<String, i64>,
    sequence: u64,
    paths: Vec<PathBuf>,
    in_order: Part,
    late: Part,
    /// What every query must agree with: (asset, time) → (received at, values).
    pub(super) model: BTreeMap<(String, i64), (i64, Values)>,
}

/// Either the in-order or the late rows.
#[derive(Default)]
struct Part {
    open: Vec<Row>,
    frozen: Vec<Vec<Row>>,
    hot: Vec<Arc<HotBatch>>,
    files: Vec<Arc<ColdFile>>,
}

impl World {
    pub(super) fn new(class: &'static str) -> Self {
        Self {
            class,
            folder: tempfile::tempdir().unwrap(),
            metrics: vec![],
            newest: BTreeMap::new(),
            sequence: 0,
            paths: vec![],
            in_order: Part::default(),
            late: Part::default(),
            model: BTreeMap::new(),
        }
    }

    /// One reading arrives. Times are microseconds; each is received in its turn.
    pub(super) fn receive(&mut self, asset: &str, time: i64, values: &[(&'static str, f64)]) {
        self.sequence += 1;
        let received_at = 1_900_000_000_000_000 + i64::try_from(self.sequence).unwrap();
        for (metric, _) in values {
            if !self.metrics.contains(metric) {
                self.metrics.push(metric);
            }
        }
        let values: Values = values.iter().copied().collect();
        let known = self.model.entry((asset.to_owned(), time)).or_default();
        known.0 = received_at;
        let said: Vec<&str> = values.keys().map(|column| metric_of(column).0).collect();
        known
            .1
            .retain(|column, _| !said.contains(&metric_of(column).0));
        known.1.extend(&values);

        let in_order = self.newest.get(asset).is_none_or(|newest| time > *newest);
        let sequence = self.sequence;
        let row = Row {
            asset: asset.to_owned(),
            time,
            received_at,
            sequence,
            values,
        };
        if in_order {
            self.newest.insert(asset.to_owned(), time);
            self.in_order.open.push(row);
        } else {
            self.late.open.push(row);
        }
    }

    /// Closes the open rows as hot batches.
    pub(super) fn freeze(&mut self) {
        for late in [false, true] {
            let rows = std::mem::take(&mut self.part(late).open);
            if rows.is_empty() {
                continue;
            }
            let batch = batch(&rows, &self.metrics, late);
            let (min_time, max_time) = span(&rows);
            let part = self.part(late);
            part.hot.push(Arc::new(HotBatch {
                batch,
                min_time,
                max_time,
            }));
            part.frozen.push(rows);
        }
    }

    /// Writes all hot batches to one file per kind.
    pub(super) fn flush(&mut self, late: bool) {
        self.freeze();
        let part = self.part(late);
        part.hot.clear();
        let mut rows: Vec<Row> = std::mem::take(&mut part.frozen).concat();
        if rows.is_empty() {
            return;
        }
        rows.sort_by(|a, b| (&a.asset, a.time).cmp(&(&b.asset, b.time)));
        let batch = stored(&batch(&rows, &self.metrics, late));
        let (min_time, max_time) = span(&rows);
        let name = format!("class {}%20ö.parquet", self.paths.len() + 1);
        let path = self.folder.path().join(name);
        self.paths.push(path.clone());
        let file = std::fs::File::create(&path).unwrap();
        let properties = parquet::file::properties::WriterProperties::builder()
            .set_max_row_group_row_count(Some(7))
            .build();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let bytes = std::fs::metadata(&path).unwrap().len();
        let assets = || rows.iter().map(|row| row.asset.clone());
        let (min_asset, max_asset) = (assets().min().unwrap(), assets().max().unwrap());
        let rows = rows.len() as u64;
        let file = ColdFile {
            path: datafusion::object_store::path::Path::from_absolute_path(&path).unwrap(),
            rows,
            bytes,
            min_time,
            max_time,
            min_asset: min_asset.into(),
            max_asset: max_asset.into(),
            level: 0,
            late,
            sorted: true,
            through: self.sequence,
        };
        self.part(late).files.push(Arc::new(file));
    }

    fn part(&mut self, late: bool) -> &mut Part {
        if late {
            &mut self.late
        } else {
            &mut self.in_order
        }
    }

    /// The picture that queries see now.
    pub(super) fn table(&mut self) -> Arc<TableSnapshot> {
        self.freeze();
        Arc::new(TableSnapshot {
            class: self.class.into(),
            schema: schema(&self.metrics, false),
            physical: physical(&schema(&self.metrics, false)),
            hot: self.in_order.hot.clone(),
            files: self.in_order.files.clone(),
            late_hot: self.late.hot.clone(),
            late_files: self.late.files.clone(),
        })
    }

    pub(super) fn snapshot(&mut self) -> Snapshot {
        let table = self.table();
        Snapshot {
            sequence: self.sequence,
            tables: [(table.class.clone(), table)].into(),
            lake: lake(),
            ..Snapshot::default()
        }
    }

    /// Paths of all files written, for tests that break them.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.paths.clone()
    }

    pub(super) fn metrics(&self) -> &[&'static str] {
        &self.metrics
    }
}

pub(super) fn snapshot_of(worlds: &mut [World]) -> Snapshot {
    let tables = worlds.iter_mut().map(World::table);
    let tables = tables.map(|table| (table.class.clone(), table));
    Snapshot {
        sequence: 1,
        tables: tables.collect(),
        lake: lake(),
        ..Snapshot::default()
    }
}

/// The whole disk: every world has a folder of its own.
fn lake() -> Arc<LakeRoot> {
    Arc::new(LakeRoot::local(std::path::Path::new("/")).unwrap())
}

fn span(rows: &[Row]) -> (i64, i64) {
    let times = || rows.iter().map(|row| row.time);
    (times().min().unwrap(), times().max().unwrap())
}

fn schema(metrics: &[&'static str], late: bool) -> SchemaRef {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new(ASSET, DataType::Utf8, false),
        Field::new(TIME, instant.clone(), false),
        Field::new(RECEIVED_AT, instant, false),
    ];
    for metric in metrics {
        let (of, kind) = metric_of(metric);
        let metadata = match kind {
            Some(kind) => vec![(SIDE_OF, of), (KIND, kind)],
            None if of == "v" => vec![("unit", "mm/s")],
            None => vec![],
        };
        let metadata = metadata.into_iter();
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let data_type = kind.map_or(DataType::Float64, |_| DataType::Utf8);
        fields.push(Field::new(*metric, data_type, true).with_metadata(metadata.collect()));
    }
    if late {
        fields.push(Field::new(SEQUENCE, DataType::UInt64, false));
    }
    Arc::new(Schema::new(fields))
}

/// Metrics that files keep as decimals of one place, with the values that do not fit beside them.
const DECIMALS: [&str; 2] = ["v", "load"];

/// The columns as files have them.
fn physical(schema: &Schema) -> SchemaRef {
    let mut fields: Vec<Field> = Vec::new();
    for field in schema.fields() {
        let name = field.name().as_str();
        if !DECIMALS.contains(&name) {
            fields.push(field.as_ref().clone());
        } else {
            fields.push(Field::new(name, DataType::Decimal128(9, 1), true));
            let side = [(SIDE_OF, name), (KIND, "double")];
            let side = side.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let double = Field::new(format!("{name}__double"), DataType::Float64, true);
            fields.push(double.with_metadata(side.into()));
        }
        if name == RECEIVED_AT {
            fields.push(Field::new(SEQUENCE, DataType::Int64, true));
        }
    }
    fields.retain(|field| *field.data_type() != DataType::UInt64);
    Arc::new(Schema::new(fields))
}

/// The rows as files have them.
fn stored(rows: &RecordBatch) -> RecordBatch {
    let physical = physical(rows.schema_ref());
    let columns = physical.fields().iter().map(|field| -> ArrayRef {
        let name = field.name();
        let fits = |value: f64| (value * 10.0).round() / 10.0 == value;
        let numbers = |name: &str| {
            let numbers = rows.column_by_name(name).unwrap();
            numbers.as_primitive::<Float64Type>().clone()
        };
        match (field.data_type(), name.strip_suffix("__double")) {
            (DataType::Decimal128(precision, scale), _) => {
                let numbers = numbers(name);
                let unscaled = numbers.iter().map(|value| {
                    let value = value.filter(|value| fits(*value))?;
                    Some((value * 10.0).round() as i128)
                });
                let decimals: Decimal128Array = unscaled.collect();
                Arc::new(
                    decimals
                        .with_precision_and_scale(*precision, *scale)
                        .unwrap(),
                )
            }
            (_, Some(metric)) => {
                let rest = numbers(metric);
                let rest = rest.iter().map(|value| value.filter(|value| !fits(*value)));
                Arc::new(rest.collect::<Float64Array>())
            }
            (DataType::Int64, _) => match rows.column_by_name(SEQUENCE) {
                Some(sequence) => cast(sequence, &DataType::Int64).unwrap(),
                None => new_null_array(&DataType::Int64, rows.num_rows()),
            },
            _ => Arc::clone(rows.column_by_name(name).unwrap()),
        }
    });
    let columns = columns.collect();
    RecordBatch::try_new(physical, columns).unwrap()
}

fn batch(rows: &[Row], metrics: &[&'static str], late: bool) -> RecordBatch {
    let instants = |of: fn(&Row) -> i64| -> ArrayRef {
        let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(of));
        Arc::new(times.with_timezone("UTC"))
    };
    let assets = StringArray::from_iter_values(rows.iter().map(|row| &row.asset));
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(assets),
        instants(|row| row.time),
        instants(|row| row.received_at),
    ];
    for metric in metrics {
        let values = rows.iter().map(|row| row.values.get(metric).copied());
        columns.push(match metric_of(metric).1 {
            Some(_) => {
                let words = values.map(|value| value.map(|value| word(metric, value)));
                Arc::new(words.collect::<StringArray>())
            }
            None => Arc::new(Float64Array::from_iter(values)),
        });
    }
    if late {
        let sequence = UInt64Array::from_iter_values(rows.iter().map(|row| row.sequence));
        columns.push(Arc::new(sequence));
    }
    RecordBatch::try_new(schema(metrics, late), columns).unwrap()
}
