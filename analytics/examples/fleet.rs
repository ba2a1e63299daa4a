//! How long the service takes to learn a class as a whole from the lake, and what its assets take then:
//! `cargo run --release -p fieldwright-analytics --example fleet -- [ASSETS] [METRICS] [DAYS]`.
//!
//! Sorted Parquet files as ingest leaves them, two hours of all assets each, a reading a minute; then detection begins as after a restart: it reads the rows, begins the job, and judges.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Schema, SchemaRef};
use chrono::{DateTime, Utc};
use fieldwright_analytics::alarms::{AlarmBook, MemoryAlarmStore};
use fieldwright_analytics::detect::{
    DEFAULT_TOML, DetectConfig, Detection, DetectionParts, JobRequest, JobState, Then, Work,
};
use fieldwright_ingest::clock::{RealClock, process_now, process_sleep};
use fieldwright_ingest::snapshot::{
    ASSET, ColdFile, LakeRoot, RECEIVED_AT, Snapshot, TIME, TableSnapshot,
};
use parquet::arrow::ArrowWriter;
use tokio::sync::mpsc;

const CLASS: &str = "pump";
/// Seconds from reading to reading, and instants of a file.
const SAMPLING: i64 = 60;
const INSTANTS: i64 = 120;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<i64>());
    let mut next = |usual| numbers.next().unwrap_or(Ok(usual));
    let (assets, metrics, days) = (next(10_000)?, next(10)?, next(4)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(assets, metrics, days))
}

async fn run(assets: i64, metrics: i64, days: i64) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let began = process_now();
    let mut files = Vec::new();
    for file in 0..days * 86_400 / SAMPLING / INSTANTS {
        files.push(Arc::new(write(folder.path(), file, (assets, metrics))?));
    }
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let rows: u64 = files.iter().map(|file| file.rows).sum();
    println!(
        "{assets} assets of {metrics} metrics, {days} days: {rows} rows in {} files, {} MB, written in {:.0} s; {} MB of memory",
        files.len(),
        bytes / 1_000_000,
        began.elapsed().as_secs_f64(),
        memory()
    );
    let schema = schema(metrics);
    let table = TableSnapshot {
        class: CLASS.into(),
        schema: Arc::clone(&schema),
        physical: schema,
        hot: Vec::new(),
        files,
        late_hot: Vec::new(),
        late_files: Vec::new(),
    };
    let mut snapshot = Snapshot {
        sequence: 1,
        lake: Arc::new(LakeRoot::local(Path::new("/"))?),
        ..Snapshot::default()
    };
    snapshot.tables.insert(CLASS.into(), Arc::new(table));
    let snapshot = Arc::new(snapshot);
    let (_feed, feed) = mpsc::channel(64);
    let began = process_now();
    let parts = DetectionParts {
        config: config()?,
        data_dir: folder.path(),
        feed,
        sql: None,
        alarms: Arc::new(AlarmBook::open(Arc::new(MemoryAlarmStore::default())).await?),
        limits: Vec::new(),
        clock: Arc::new(RealClock),
    };
    let detection = Detection::start(parts, Arc::new(move || Arc::clone(&snapshot))).await?;
    let assets = usize::try_from(assets)?;
    let mut told = false;
    loop {
        process_sleep(std::time::Duration::from_millis(200)).await;
        let (stats, jobs) = (detection.stats(), detection.jobs());
        let done = stats.scored == assets && stats.caught_up && stats.unkept == 0;
        if !told && stats.caught_up {
            told = true;
            println!(
                "all rows followed after {:.0} s",
                began.elapsed().as_secs_f64()
            );
        }
        if done || jobs.iter().any(|job| job.state == JobState::Failed) {
            break;
        }
    }
    report(&detection, "the first one");
    println!(
        "{} assets judged, {} windows; {} MB of memory, {} MB at most",
        detection.stats().scored,
        detection.stats().scores,
        memory(),
        peak()
    );
    let request = JobRequest {
        work: Work::TrainClass {
            class: CLASS.to_owned(),
            then: Then::Promote,
        },
        asset: String::new(),
        from: at(0),
        to: at(days * 86_400),
        by: "ada".to_owned(),
        key: None,
    };
    let number = detection.begin_job(request)?.number;
    while detection.job(number)?.ended_at.is_none() {
        process_sleep(std::time::Duration::from_millis(200)).await;
    }
    report(&detection, "once more, nothing else to do");
    println!("{} MB of memory, {} MB at most", memory(), peak());
    let began = process_now();
    detection.shutdown().await;
    println!("progress saved in {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// What the last job has come to.
fn report(detection: &Detection, which: &str) {
    if let Some(job) = detection.jobs().first() {
        let spent = job.ended_at.map(|end| end - job.asked_at);
        let spent = spent.map_or(0, |spent| spent.num_milliseconds());
        println!(
            "{which}: {:?} after {spent} ms: {:?} {:?}",
            job.state, job.result, job.failure
        );
    }
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap_or_default()
}

fn schema(metrics: i64) -> SchemaRef {
    let one = batch((0, 1), 1, metrics);
    one.map_or_else(|_| Arc::new(Schema::empty()), |one| one.schema())
}

/// Instants from and to before, of all assets, sorted by asset and time.
fn batch((from, to): (i64, i64), assets: i64, metrics: i64) -> Result<RecordBatch, Failure> {
    let rows = || (0..assets).flat_map(|asset| (from..to).map(move |instant| (asset, instant)));
    let times = || -> ArrayRef {
        let times = rows().map(|(_, instant)| at(instant * SAMPLING).timestamp_micros());
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let tags = rows().map(|(asset, _)| format!("{CLASS}-{asset:05}"));
    let tags: Vec<String> = tags.collect();
    let mut columns: Vec<(String, ArrayRef)> = vec![
        (ASSET.to_owned(), Arc::new(StringArray::from(tags))),
        (TIME.to_owned(), times()),
        (RECEIVED_AT.to_owned(), times()),
    ];
    for metric in 0..metrics {
        let values = rows().map(|(asset, instant)| reading(asset, instant, metric));
        let values = Float64Array::from_iter_values(values);
        columns.push((format!("m{metric}"), Arc::new(values)));
    }
    Ok(RecordBatch::try_from_iter(columns)?)
}

fn write(folder: &Path, file: i64, (assets, metrics): (i64, i64)) -> Result<ColdFile, Failure> {
    let path = folder.join(format!("{file}.parquet"));
    let span = (file * INSTANTS, (file + 1) * INSTANTS);
    let rows = batch(span, assets, metrics)?;
    let out = std::fs::File::create(&path)?;
    let mut writer = ArrowWriter::try_new(out, rows.schema(), None)?;
    writer.write(&rows)?;
    writer.close()?;
    Ok(ColdFile {
        path: datafusion::object_store::path::Path::from_absolute_path(&path)?,
        rows: u64::try_from(rows.num_rows())?,
        bytes: path.metadata()?.len(),
        min_time: at(span.0 * SAMPLING).timestamp_micros(),
        max_time: at((span.1 - 1) * SAMPLING).timestamp_micros(),
        min_asset: format!("{CLASS}-00000").into(),
        max_asset: format!("{CLASS}-{:05}", assets - 1).into(),
        level: 0,
        late: false,
        sorted: true,
        through: 1,
    })
}

fn config() -> Result<DetectConfig, Failure> {
    let both = [DEFAULT_TOML, fieldwright_condition::DEFAULT_TOML];
    let mut all: toml::Table = both.join("\n").parse()?;
    let detect = all["detect"].as_table_mut().ok_or("no defaults")?;
    let class = format!("[{CLASS}]\nsharing = 'class'");
    detect.insert("classes".to_owned(), class.parse::<toml::Table>()?.into());
    Ok(all["detect"].clone().try_into()?)
}

/// Metrics that follow a load with a daily cycle, each asset of its own size.
fn reading(asset: i64, instant: i64, metric: i64) -> f64 {
    let mut x = asset.unsigned_abs() << 44 ^ instant.unsigned_abs() << 8 ^ metric.unsigned_abs();
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let noise = count((x ^ (x >> 31)) % 20_000) / 10_000.0 - 1.0;
    let load = (count(instant.unsigned_abs()) / 229.0).sin();
    let size = 1.0 + count(asset.unsigned_abs() % 11);
    size * (count(metric.unsigned_abs() + 1) * (10.0 + load) + noise)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}

/// Memory of this process now. **Units**: MB.
fn memory() -> u64 {
    status("VmRSS:")
}

/// And at most. **Units**: MB.
fn peak() -> u64 {
    status("VmHWM:")
}

fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) / 1024
}
