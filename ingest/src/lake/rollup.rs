//! Roll-ups: what each minute and each hour of an asset held, for long looks back.
//!
//! They are made where rows are compacted: every hour that gets a new or a late row is reckoned
//! anew from all its compacted rows, so they are exact however late a row came. They are written
//! before the compaction that they belong to; should that not come about, they are ahead of it, and
//! the next one reckons the same hours again. Once raw rows are dropped, their hours stay as they
//! are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{
    DataType, Field, FieldRef, Float64Type, Schema, SchemaRef, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::log::Change;
use super::rows::FileRows;
use super::table::{self, Kind};
use super::{Lake, LakeError, locked, physical, sorting};
use crate::catalog::{FIXED_COLUMNS, fixed_fields};
use crate::clock::wall_now;
use crate::snapshot::{ColdFile, KIND, SIDE_OF, TIME, UNIT};
use crate::tables::Tables;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
/// Quality of a sample that no roll-up counts.
const BAD: &str = "bad";
const ZSTD_LEVEL: i32 = 9;
const BATCH_ROWS: usize = 32 * 1024;

/// One kind of roll-up.
struct Rollup {
    ending: &'static str,
    bucket: i64,
    /// The span of time of one file.
    page: i64,
}

const MINUTES: Rollup = Rollup {
    ending: "_1m",
    bucket: 60 * SECOND,
    page: 6 * HOUR,
};
const HOURS: Rollup = Rollup {
    ending: "_1h",
    bucket: HOUR,
    page: 240 * HOUR,
};

/// Whether a table is a roll-up by its name; no class has such a name.
pub(crate) fn is_rollup(name: &str) -> bool {
    [MINUTES, HOURS]
        .iter()
        .any(|rollup| name.ends_with(rollup.ending))
}

/// The columns of a new roll-up.
pub(super) fn empty() -> SchemaRef {
    let fields = fixed_fields();
    Arc::new(Schema::new(fields.into_iter().take(2).collect::<Vec<_>>()))
}

/// What one metric did in one bucket, or nothing.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    count: i64,
    min: f64,
    max: f64,
    sum: f64,
    last: f64,
}

impl Sum {
    /// Takes a value that comes after all before.
    fn take(&mut self, value: f64) {
        self.join(Self {
            count: 1,
            min: value,
            max: value,
            sum: value,
            last: value,
        });
    }

    /// Takes a bucket that comes after this one.
    fn join(&mut self, next: Self) {
        if next.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = next;
            return;
        }
        self.count += next.count;
        self.min = self.min.min(next.min);
        self.max = self.max.max(next.max);
        self.sum += next.sum;
        self.last = next.last;
    }
}

/// The asset and the begin of a bucket.
type Key = (Arc<str>, i64);
/// What every metric did, by bucket.
type Buckets = BTreeMap<Key, Vec<Sum>>;

/// The hours of some instants.
pub(super) fn hours(times: impl Iterator<Item = i64>) -> BTreeSet<i64> {
    times.map(|time| floor(time, HOUR)).collect()
}

fn floor(time: i64, unit: i64) -> i64 {
    time - time.rem_euclid(unit)
}

impl Lake {
    /// Reckons hours of a class anew; `files` are all its compacted files, by time.
    ///
    /// **Errors**: a file cannot be read or written; the hours are reckoned again by the next
    /// compaction that touches them.
    pub(super) fn roll_up(
        &self,
        class: &str,
        table: &SchemaRef,
        files: &[Arc<ColdFile>],
        hours: &BTreeSet<i64>,
        tables: &Tables,
    ) -> Result<(), LakeError> {
        let metrics = metrics(table);
        if metrics.is_empty() {
            return Ok(());
        }
        let mut of_hours = Buckets::new();
        let pages: BTreeSet<i64> = hours
            .iter()
            .map(|hour| floor(*hour, MINUTES.page))
            .collect();
        for page in pages {
            let own = hours.range(page..page + MINUTES.page).copied().collect();
            let minutes = self.reckon(table, &metrics, files, &own)?;
            for ((asset, begin), sums) in &minutes {
                let key = (asset.clone(), floor(*begin, HOUR));
                let new = || vec![Sum::default(); metrics.len()];
                let hour = of_hours.entry(key).or_insert_with(new);
                hour.iter_mut()
                    .zip(sums)
                    .for_each(|(hour, sum)| hour.join(*sum));
            }
            self.write_page(class, &MINUTES, page, &own, &metrics, minutes, tables)?;
        }
        let pages: BTreeSet<i64> = hours.iter().map(|hour| floor(*hour, HOURS.page)).collect();
        for page in pages {
            let own = hours.range(page..page + HOURS.page).copied().collect();
            let (in_page, rest): (Buckets, Buckets) = std::mem::take(&mut of_hours)
                .into_iter()
                .partition(|((_, begin), _)| floor(*begin, HOURS.page) == page);
            of_hours = rest;
            self.write_page(class, &HOURS, page, &own, &metrics, in_page, tables)?;
        }
        Ok(())
    }

    /// The minutes of some hours.
    fn reckon(
        &self,
        table: &SchemaRef,
        metrics: &[FieldRef],
        files: &[Arc<ColdFile>],
        hours: &BTreeSet<i64>,
    ) -> Result<Buckets, LakeError> {
        let mut buckets = Buckets::new();
        for file in files {
            let first = floor(file.min_time, HOUR);
            if hours.range(first..=file.max_time).next().is_none() {
                continue;
            }
            let failed = LakeError::rows(&file.path);
            let read = FileRows::open(self.place.root(), table, file, None, BATCH_ROWS);
            for rows in read.map_err(LakeError::open(&file.path))? {
                let rows = rows.map_err(&failed)?;
                take(&mut buckets, &rows, table, metrics, hours).map_err(&failed)?;
            }
        }
        Ok(buckets)
    }

    /// Replaces some hours in one page of a roll-up.
    #[expect(clippy::too_many_arguments, reason = "one step of one function")]
    fn write_page(
        &self,
        class: &str,
        rollup: &Rollup,
        page: i64,
        hours: &BTreeSet<i64>,
        metrics: &[FieldRef],
        buckets: Buckets,
        tables: &Tables,
    ) -> Result<(), LakeError> {
        let name: Arc<str> = format!("{class}{}", rollup.ending).into();
        let shared = self.table(&name);
        let running = self.place.running();
        let mut own = locked(&shared);
        own.settle(&self.place)?;
        let in_page = |file: &&Arc<ColdFile>| floor(file.min_time, rollup.page) == page;
        let removes: Vec<_> = own.log.files.iter().filter(in_page).cloned().collect();
        let mut physical = own.log.physical.clone();
        let at = LakeError::rows(&(&*name).into());
        let new = rows_of(metrics, buckets).map_err(&at)?;
        let mut batches = vec![new];
        for file in &removes {
            let failed = LakeError::rows(&file.path);
            let read = FileRows::open(self.place.root(), &physical, file, None, BATCH_ROWS);
            for rows in read.map_err(LakeError::open(&file.path))? {
                let rows = rows.map_err(&failed)?;
                let stays = |time: i64| !hours.contains(&floor(time, HOUR));
                batches.push(chosen(&rows, stays).map_err(&failed)?);
            }
        }
        let schemas = batches.iter().map(|rows| Schema::clone(&rows.schema()));
        let all = Arc::new(Schema::try_merge(schemas).map_err(&at)?);
        let aligned = batches.iter().map(|rows| physical::align(&all, rows));
        let aligned = aligned.collect::<Result<Vec<_>, _>>().map_err(&at)?;
        let rows = concat_batches(&all, &aligned).map_err(&at)?;
        let kind = Kind {
            level: 1,
            late: false,
            through: 0,
            zstd_level: ZSTD_LEVEL,
        };
        let mut adds = Vec::new();
        if rows.num_rows() > 0 {
            let number = own.next_number();
            adds.push(table::write(
                &self.place,
                &name,
                number,
                &mut physical,
                &rows,
                kind,
            )?);
        } else if removes.is_empty() {
            return Ok(());
        }
        let wall_ms = wall_now().timestamp_millis();
        let change = Change {
            physical: Some(physical),
            adds,
            removes: removes.clone(),
            ..Change::default()
        };
        running.wait(own.log.commit(change, wall_ms))?;
        for file in removes {
            own.graveyard.add(file.path.clone(), Some(file), wall_ms);
        }
        running.wait(own.log.tidy())?;
        tables.set_rollup(own.filed());
        Ok(())
    }
}

/// The metrics that are numbers, without what stands beside others.
fn metrics(table: &SchemaRef) -> Vec<FieldRef> {
    let logical = physical::logical(table);
    let own = logical.fields().iter().skip(FIXED_COLUMNS).filter(|field| {
        field.data_type() == &DataType::Float64 && !field.metadata().contains_key(SIDE_OF)
    });
    own.cloned().collect()
}

/// Takes the rows of some hours; rows of one asset come in order of time.
fn take(
    buckets: &mut Buckets,
    rows: &RecordBatch,
    table: &SchemaRef,
    metrics: &[FieldRef],
    hours: &BTreeSet<i64>,
) -> Result<(), ArrowError> {
    let (assets, times) = sorting::keys(rows)?;
    let quality: HashMap<&str, &str> = table
        .fields()
        .iter()
        .filter(|field| {
            field
                .metadata()
                .get(KIND)
                .is_some_and(|kind| kind == "quality")
        })
        .filter_map(|field| {
            Some((
                field.metadata().get(SIDE_OF)?.as_str(),
                field.name().as_str(),
            ))
        })
        .collect();
    let columns: Vec<Option<(&Float64Array, Option<&StringArray>)>> = metrics
        .iter()
        .map(|metric| {
            let values = rows.column_by_name(metric.name())?;
            let side = quality.get(metric.name().as_str());
            let side = side.and_then(|name| rows.column_by_name(name));
            let side = side.and_then(|column| column.as_string_opt::<i32>());
            Some((values.as_primitive_opt::<Float64Type>()?, side))
        })
        .collect();
    let mut open: Option<(Key, Vec<Sum>)> = None;
    for (row, time) in times.values().iter().enumerate() {
        if !hours.contains(&floor(*time, HOUR)) {
            continue;
        }
        let begin = floor(*time, MINUTES.bucket);
        let same = |key: &Key| *key.0 == *assets.value(row) && key.1 == begin;
        if !open.as_ref().is_some_and(|(key, _)| same(key)) {
            if let Some((key, sums)) = open.take() {
                buckets.insert(key, sums);
            }
            let key = (assets.value(row).into(), begin);
            // It may have begun in an earlier file.
            let known = buckets.remove(&key);
            open = Some((
                key,
                known.unwrap_or_else(|| vec![Sum::default(); metrics.len()]),
            ));
        }
        let Some((_, sums)) = &mut open else { continue };
        for (sum, column) in sums.iter_mut().zip(&columns) {
            let Some((values, quality)) = column else {
                continue;
            };
            let bad = quality.is_some_and(|side| valid(side, row) && side.value(row) == BAD);
            if valid(values, row) && !bad {
                sum.take(values.value(row));
            }
        }
    }
    buckets.extend(open);
    Ok(())
}

fn valid(column: &dyn arrow::array::Array, row: usize) -> bool {
    column.is_valid(row)
}

/// The buckets as rows.
fn rows_of(metrics: &[FieldRef], buckets: Buckets) -> Result<RecordBatch, ArrowError> {
    let mut fields: Vec<FieldRef> = empty().fields().iter().cloned().collect();
    let assets = StringArray::from_iter_values(buckets.keys().map(|(asset, _)| asset));
    let times = TimestampMicrosecondArray::from_iter_values(buckets.keys().map(|(_, time)| *time));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(assets), Arc::new(times.with_timezone("UTC"))];
    for (place, metric) in metrics.iter().enumerate() {
        let sums = || {
            buckets
                .values()
                .map(|sums| Some(sums[place]).filter(|sum| sum.count > 0))
        };
        let name = |what| format!("{}__{what}", metric.name());
        let count = sums().map(|sum| sum.map(|sum| sum.count));
        fields.push(Arc::new(Field::new(name("count"), DataType::Int64, true)));
        columns.push(Arc::new(count.collect::<Int64Array>()));
        let unit = metric.metadata().get(UNIT);
        let unit: HashMap<_, _> = unit
            .map(|unit| (UNIT.to_owned(), unit.clone()))
            .into_iter()
            .collect();
        let mut add = |what, of: fn(Sum) -> f64| {
            let field = Field::new(name(what), DataType::Float64, true);
            fields.push(Arc::new(field.with_metadata(unit.clone())));
            let values = sums().map(|sum| sum.map(of));
            columns.push(Arc::new(values.collect::<Float64Array>()));
        };
        add("min", |sum| sum.min);
        add("max", |sum| sum.max);
        add("mean", |sum| sum.sum / sum.count as f64);
        add("last", |sum| sum.last);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn chosen(rows: &RecordBatch, wanted: impl Fn(i64) -> bool) -> Result<RecordBatch, ArrowError> {
    let times = rows
        .column_by_name(TIME)
        .expect("every file has the fixed columns");
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let chosen: BooleanArray = times
        .values()
        .iter()
        .map(|time| Some(wanted(*time)))
        .collect();
    filter_record_batch(rows, &chosen)
}
