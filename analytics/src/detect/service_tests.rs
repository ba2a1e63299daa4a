//! Detection at work on a stream of commits, with crashes in between.

mod classes;
mod fleets;
mod late;
mod limits;
mod lives;
mod outages;
mod store;
mod suppressed;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, TimeDelta, Utc};
use fieldwright_ingest::clock::{ManualClock, SharedClock, process_sleep};
use fieldwright_ingest::snapshot::{
    ASSET, ColdFile, Committed, CommittedPart, HotBatch, LakeRoot, RECEIVED_AT, Snapshot, TIME,
    TableSnapshot,
};
use parquet::arrow::ArrowWriter;
use tokio::sync::mpsc;

use super::config::tests::config;
use super::*;
use crate::alarms::{
    AlarmBook, AlarmFilter, AlarmStore, Command, MemoryAlarmStore, SqlAlarmStore, State,
};
use crate::feedback::LimitFactor;
use crate::sql::{SnapshotSource, SqlEngine, SqlLimits};

/// Learns for half an hour from windows of a minute, ten readings each.
const CLASS: &str = "[classes.rig]\nwindow = '1m'\nstep = '1m'\nlearning = '30m'\n\
    detectors.pca.with = { drift_lag = '5m', limit_factor = 6.0, adapt_half_life = '2h' }\n\
    min_duration = '3m'\nstale_after = '10m'\nverify_settle = '0s'\nverify_in_band_windows = 4\n\
    verify_out_of_band_windows = 6";

fn at(second: i64) -> DateTime<Utc> {
    "2026-10-05T08:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(second)
}

/// Two metrics that follow a load; `b` goes away by `fault`.
fn values(second: i64, fault: f64) -> (f64, f64) {
    let noise = |k: i64| f64::from(((second * 7919 + k * 104_729) % 1000) as i32) / 1000.0 - 0.5;
    let load = (second as f64 / 400.0).sin();
    (
        10.0 + load + 0.2 * noise(1),
        50.0 - 3.0 * load + 0.5 * noise(2) + fault,
    )
}

/// What ingest does for detection: rows become visible, then they are announced.
struct Wire {
    snapshot: Arc<Mutex<Arc<Snapshot>>>,
    feed: Option<mpsc::Sender<Arc<Committed>>>,
    /// Commits that may wait in the feed.
    capacity: usize,
    /// Commits left out since the last one that was sent.
    skipped: u64,
    clock: Arc<ManualClock>,
    /// What people have promoted before the next start.
    limits: Vec<LimitFactor>,
    began: i64,
    second: i64,
}

impl Wire {
    fn new() -> Self {
        Self {
            snapshot: Arc::default(),
            feed: None,
            capacity: 64,
            skipped: 0,
            clock: Arc::new(ManualClock::new(at(0))),
            limits: Vec::new(),
            began: 0,
            second: 0,
        }
    }

    fn snapshots(&self) -> SnapshotSource {
        let snapshot = Arc::clone(&self.snapshot);
        Arc::new(move || Arc::clone(&snapshot.lock().unwrap()))
    }

    /// A reading every six seconds for `minutes`; one commit per minute.
    async fn send(&mut self, minutes: i64, fault: f64) {
        for _ in 0..minutes {
            let seconds: Vec<i64> = (0..10).map(|n| self.second + 6 * n).collect();
            self.second += 60;
            self.commit(batch("R-1", &seconds, fault), false).await;
        }
    }

    async fn commit(&mut self, batch: RecordBatch, late: bool) {
        self.clock.set(at(self.second));
        let times: &TimestampMicrosecondArray = batch.column(1).as_any().downcast_ref().unwrap();
        let rows = Arc::new(HotBatch {
            min_time: arrow::compute::min(times).unwrap(),
            max_time: arrow::compute::max(times).unwrap(),
            batch,
        });
        let committed = {
            let mut snapshot = self.snapshot.lock().unwrap();
            let mut next = Snapshot::clone(&snapshot);
            next.sequence += 1;
            let table = next
                .tables
                .entry("rig".into())
                .or_insert_with(|| Arc::new(empty_table()));
            let table = Arc::make_mut(table);
            if late {
                &mut table.late_hot
            } else {
                &mut table.hot
            }
            .push(Arc::clone(&rows));
            let part = CommittedPart {
                class: "rig".into(),
                late,
                rows,
            };
            let committed = Committed {
                sequence: next.sequence,
                parts: vec![part],
                skipped: self.skipped,
            };
            *snapshot = Arc::new(next);
            committed
        };
        if let Some(feed) = &self.feed {
            match feed.try_send(Arc::new(committed)) {
                Ok(()) => self.skipped = 0,
                Err(_) => self.skipped += 1,
            }
        }
        tokio::task::yield_now().await;
    }

    /// Moves all hot rows into a Parquet file.
    fn flush(&self, folder: &Path) {
        let mut snapshot = self.snapshot.lock().unwrap();
        let mut next = Snapshot::clone(&snapshot);
        let table = Arc::make_mut(next.tables.get_mut("rig").unwrap());
        if table.hot.is_empty() {
            return;
        }
        let min_time = table.hot.iter().map(|hot| hot.min_time).min().unwrap();
        let max_time = table.hot.iter().map(|hot| hot.max_time).max().unwrap();
        let path = folder.join(format!("{}.parquet", next.sequence));
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, schema(), None).unwrap();
        let mut rows = 0;
        for hot in table.hot.drain(..) {
            rows += hot.batch.num_rows() as u64;
            writer.write(&hot.batch).unwrap();
        }
        writer.close().unwrap();
        let file = ColdFile {
            path: datafusion::object_store::path::Path::from_absolute_path(&path).unwrap(),
            rows,
            bytes: 1,
            min_time,
            max_time,
            min_asset: "".into(),
            max_asset: "~".into(),
            level: 0,
            late: false,
            sorted: false,
            through: next.sequence,
        };
        next.lake = Arc::new(LakeRoot::local(Path::new("/")).unwrap());
        table.files.push(Arc::new(file));
        *snapshot = Arc::new(next);
    }

    async fn start(&mut self, book: &Arc<AlarmBook>, folder: &Path, more: &str) -> Detection {
        let (feed, follower) = mpsc::channel(self.capacity);
        self.feed = Some(feed);
        self.skipped = 0;
        let clock: SharedClock = self.clock.clone();
        let sql = SqlEngine::new(self.snapshots(), None, clock.clone(), SqlLimits::default());
        let parts = DetectionParts {
            config: config(&configured(more)).unwrap(),
            data_dir: folder,
            feed: follower,
            sql: Some(Arc::new(sql)),
            alarms: Arc::clone(book),
            limits: self.limits.clone(),
            clock,
        };
        Detection::start(parts, self.snapshots()).await.unwrap()
    }

    /// Waits until detection has followed everything, trained whom it can and kept what it found.
    async fn settle(&self, detection: &Detection) -> DetectionStats {
        wait_for("everything is followed", async || {
            let stats = detection.stats();
            let idle = stats.caught_up && stats.behind == 0 && stats.unkept == 0;
            let learns = self.second - self.began <= 31 * 60;
            (idle && (stats.learning == 0 || learns)).then_some(stats)
        })
        .await
    }
}

/// The class above and more, or another description of the same class.
fn configured(more: &str) -> String {
    let class = if more.contains("[classes.rig]") {
        ""
    } else {
        CLASS
    };
    format!("rule_floor = '10ms'\n{class}\n{more}")
}

async fn wait_for<T>(what: &str, mut ready: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..2000 {
        if let Some(ready) = ready().await {
            return ready;
        }
        process_sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new(ASSET, DataType::Utf8, false),
        Field::new(TIME, time.clone(), false),
        Field::new(RECEIVED_AT, time, false),
        Field::new("a", DataType::Float64, true),
        Field::new("b", DataType::Float64, true),
    ]))
}

fn empty_table() -> TableSnapshot {
    TableSnapshot {
        class: "rig".into(),
        schema: schema(),
        physical: schema(),
        hot: Vec::new(),
        files: Vec::new(),
        late_hot: Vec::new(),
        late_files: Vec::new(),
    }
}

fn batch(asset: &str, seconds: &[i64], fault: f64) -> RecordBatch {
    let times = || {
        let times: Vec<i64> = seconds
            .iter()
            .map(|second| at(*second).timestamp_micros())
            .collect();
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")) as ArrayRef
    };
    let (a, b): (Vec<f64>, Vec<f64>) = seconds.iter().map(|second| values(*second, fault)).unzip();
    let tags = StringArray::from_iter_values(std::iter::repeat_n(asset, seconds.len()));
    let (a, b) = (
        Arc::new(Float64Array::from(a)),
        Arc::new(Float64Array::from(b)),
    );
    RecordBatch::try_new(schema(), vec![Arc::new(tags), times(), times(), a, b]).unwrap()
}

async fn memory_book() -> Arc<AlarmBook> {
    Arc::new(
        AlarmBook::open(Arc::new(MemoryAlarmStore::default()))
            .await
            .unwrap(),
    )
}

async fn alarms(book: &AlarmBook) -> Vec<(String, State, u32)> {
    let all = AlarmFilter {
        limit: 100,
        ..AlarmFilter::default()
    };
    let alarms = book.list(&all).await.unwrap();
    alarms
        .into_iter()
        .map(|a| (a.cause.clone(), a.state(), a.occurrences))
        .collect()
}

#[tokio::test]
async fn from_the_first_reading_to_a_verified_repair() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), "").await;
    assert_eq!(detection.health("R-1").state, HealthState::Unknown);
    assert_eq!(
        detection.asset_verdict("R-1", at(0)),
        AssetVerdict::NoTelemetry
    );

    wire.send(15, 0.0).await;
    wire.settle(&detection).await;
    let health = detection.health("R-1");
    assert_eq!(health.state, HealthState::Learning);
    assert!(
        health
            .learned
            .is_some_and(|part| (0.4..0.6).contains(&part)),
        "{health:?}"
    );

    wire.send(45, 0.0).await;
    wire.settle(&detection).await;
    assert_eq!(detection.health("R-1").state, HealthState::Normal);
    assert_eq!(detection.models().len(), 1);
    assert_eq!(alarms(&book).await, []);

    let onset = wire.second;
    wire.send(10, 20.0).await;
    wire.settle(&detection).await;
    assert_eq!(detection.health("R-1").state, HealthState::Alarm);
    let alarm = book
        .store()
        .open_alarm("R-1", "pca")
        .await
        .unwrap()
        .unwrap();
    assert!(
        (at(onset)..at(onset + 600)).contains(&alarm.raised_at),
        "{}",
        alarm.raised_at
    );
    assert!(
        alarm.summary.contains("b 7") && alarm.summary.contains("suggest 50"),
        "{}",
        alarm.summary
    );
    let model = &detection.models()[0].version;
    assert_eq!(alarm.evidence["model"], serde_json::json!(model));
    assert_eq!(alarm.evidence["contributions"][0]["metric"], "b");
    assert!(alarm.evidence["limits"]["t2"].as_f64().unwrap() > 1.0);
    assert!(alarm.evidence["window"]["from"].is_string());

    let repaired = at(wire.second);
    assert_eq!(
        detection.asset_verdict("R-1", repaired),
        AssetVerdict::NoTelemetry
    );
    wire.send(3, 0.0).await;
    wire.settle(&detection).await;
    assert_eq!(
        detection.asset_verdict("R-1", repaired),
        AssetVerdict::Waiting
    );
    wire.send(5, 0.0).await;
    wire.settle(&detection).await;
    let verdict = detection.asset_verdict("R-1", repaired);
    assert!(
        matches!(verdict, AssetVerdict::InBand { windows: 4.., .. }),
        "{verdict:?}"
    );
    assert_eq!(
        alarms(&book).await,
        [("pca".into(), State::ReturnedUnacknowledged, 1)]
    );
    let verified = Command::CloseVerified { by: "wo_1".into() };
    book.command(&alarm.id, &verified, None, at(wire.second))
        .await
        .unwrap();

    let second_repair = at(wire.second);
    wire.send(8, 20.0).await;
    wire.settle(&detection).await;
    let verdict = detection.asset_verdict("R-1", second_repair);
    assert!(
        matches!(verdict, AssetVerdict::OutOfBand { windows: 6.., .. }),
        "{verdict:?}"
    );
    assert_eq!(
        alarms(&book).await.len(),
        2,
        "closed: the next episode is a new alarm"
    );

    wire.clock.set(at(wire.second + 3600));
    assert_eq!(
        detection.health("R-1").state,
        HealthState::Alarm,
        "an alarm outweighs silence"
    );
    detection.shutdown().await;
}

#[tokio::test]
async fn late_rows_raise_nothing_and_silence_is_stale() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), "").await;
    wire.send(60, 0.0).await;
    let late: Vec<i64> = (0..597).map(|n| 2400 + 2 * n + 1).collect();
    wire.commit(batch("R-1", &late, 50.0), true).await;
    // Even if they came unmarked, they are behind the watermark.
    wire.commit(batch("R-1", &late, 50.0), false).await;
    wire.send(10, 0.0).await;
    wire.settle(&detection).await;
    assert_eq!(alarms(&book).await, []);
    wire.clock.set(at(wire.second + 601));
    assert_eq!(detection.health("R-1").state, HealthState::Stale);
    detection.shutdown().await;
}

/// Kills detection (no shutdown: tasks are dropped where they stand) every few minutes of the
/// stream, on each store, with rows hot and in files, and compares with a run without kills.
#[tokio::test]
async fn a_kill_neither_doubles_an_alarm_nor_loses_one() {
    let folder = tempfile::tempdir().unwrap();
    let calm = run_with_kills(folder.path().join("calm"), i64::MAX).await;
    assert_eq!(
        calm.len(),
        5,
        "raised, worse, returned, raised again, returned: {calm:?}"
    );
    for every in [3, 7, 11] {
        let torn = run_with_kills(folder.path().join(every.to_string()), every).await;
        assert_eq!(torn, calm, "killed every {every} minutes");
    }
}

/// Gives the news of alarms: two episodes after an hour of quiet.
async fn run_with_kills(folder: std::path::PathBuf, every: i64) -> Vec<String> {
    std::fs::create_dir_all(&folder).unwrap();
    sqlx::any::install_default_drivers();
    let url = format!("sqlite:{}?mode=rwc", folder.join("store.db").display());
    let pool = sqlx::any::AnyPoolOptions::new()
        .max_connections(2)
        .connect(&url)
        .await
        .unwrap();
    let gate = Arc::new(tokio::sync::Mutex::new(()));
    let store: Arc<dyn AlarmStore> = Arc::new(SqlAlarmStore::open(pool, gate).await.unwrap());
    let book = Arc::new(AlarmBook::open(store).await.unwrap());
    let mut wire = Wire::new();
    let mut running = wire.start(&book, &folder, "").await;
    let fault = |minute: i64| match minute {
        60..=69 => 20.0,
        70..=74 => 90.0,
        95..=104 => -20.0,
        _ => 0.0,
    };
    for minute in 0..130 {
        wire.send(1, fault(minute)).await;
        if minute % every == every - 1 {
            // Half of the kills come while rows are still being followed.
            if minute % 2 == 0 {
                wire.settle(&running).await;
            }
            running.kill().await;
            // These minutes pass while nobody is there.
            wire.feed = None;
            if minute % 3 == 0 {
                wire.flush(&folder);
            }
            running = wire.start(&book, &folder, "").await;
        }
    }
    wire.settle(&running).await;
    running.shutdown().await;
    let events = book.events_after(0, 1000).await.unwrap();
    let show = |e: &crate::alarms::AlarmEvent| format!("{} {} {}", e.kind, e.occurrence, e.time);
    events.iter().map(show).collect()
}

#[tokio::test]
async fn an_alarm_missed_while_down_is_raised_after_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let first = wire.start(&book, folder.path(), "").await;
    wire.send(60, 0.0).await;
    wire.settle(&first).await;
    first.shutdown().await;
    wire.feed = None;
    wire.send(10, 20.0).await;
    wire.flush(folder.path());
    assert_eq!(alarms(&book).await, []);
    let second = wire.start(&book, folder.path(), "").await;
    wire.settle(&second).await;
    assert_eq!(
        alarms(&book).await,
        [("pca".into(), State::ActiveUnacknowledged, 1)]
    );
    assert_eq!(
        second.models(),
        first.models(),
        "the model was kept, not learned again"
    );
    assert_eq!(second.stats().trained, 0);
    second.shutdown().await;
}

#[tokio::test]
async fn a_model_for_other_windows_is_learned_anew() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let first = wire.start(&book, folder.path(), "").await;
    wire.send(60, 0.0).await;
    wire.settle(&first).await;
    first.shutdown().await;
    let other = "[classes.rig]\nwindow = '2m'\nstep = '1m'\nlearning = '40m'\n\
        detectors.pca.with.drift_lag = '5m'";
    let second = wire.start(&book, folder.path(), other).await;
    let model = wait_for("another model", async || second.models().pop()).await;
    assert_eq!((model.trained_from, model.windows), (at(0), 39));
    second.shutdown().await;
}

#[tokio::test]
async fn learning_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let first = wire.start(&book, folder.path(), "").await;
    wire.send(20, 0.0).await;
    wire.settle(&first).await;
    first.shutdown().await;
    wire.flush(folder.path());
    let second = wire.start(&book, folder.path(), "").await;
    wire.send(12, 0.0).await;
    let trained = wait_for("the model", async || second.models().pop()).await;
    assert_eq!(
        trained.trained_from,
        at(0),
        "from the first reading, not from the restart"
    );
    assert_eq!(trained.windows, 30);
    second.shutdown().await;
}

#[tokio::test]
async fn training_by_hand_replaces_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), "").await;
    wire.send(20, 0.0).await;
    wire.flush(folder.path());
    wire.send(25, 0.0).await;
    let by_itself = wait_for("the model", async || detection.models().pop()).await;
    let by_hand = detection.train("R-1", at(300), at(40 * 60)).await.unwrap();
    assert_ne!(by_itself.version, by_hand.version);
    assert_eq!((by_hand.trained_from, by_hand.windows), (at(300), 35));
    assert_eq!(detection.models(), [by_hand]);

    for (asset, from, to, expected) in [
        ("R-1", 600, 600, "ends before it begins"),
        ("nobody", 0, 600, "asset nobody has sent no readings"),
        ("R-1", 0, 300, "5 usable windows are too few"),
    ] {
        let error = detection
            .train(asset, at(from), at(to))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    detection.shutdown().await;
    let error = detection
        .train("R-1", at(300), at(40 * 60))
        .await
        .unwrap_err();
    assert!(matches!(error, TrainError::ShuttingDown), "{error:?}");
}

#[tokio::test]
async fn rules_raise_and_return_and_count_for_health_and_repairs() {
    let rules = "[rules.too_hot]\nclass = 'rig'\nseverity = 'critical'\nevery = '10ms'\n\
        sql = \"SELECT asset, max(b) AS hottest FROM rig WHERE time > now() - INTERVAL '2 minutes' \
        GROUP BY asset HAVING max(b) > 60\"\n\
        [rules.broken]\nseverity = 'low'\nevery = '10ms'\nsql = 'SELECT nonsense'\n\
        [rules.elsewhere]\nclass = 'turbine'\nseverity = 'low'\nevery = '10ms'\n\
        sql = 'SELECT asset FROM turbine'";
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), rules).await;
    wire.send(5, 20.0).await;
    let alarm = wait_for("the rule's alarm", async || {
        book.store().open_alarm("R-1", "too_hot").await.unwrap()
    })
    .await;
    assert_eq!((alarm.class.as_str(), alarm.active), ("rig", true));
    assert_eq!(alarm.severity, crate::alarms::Severity::Critical);
    assert!(
        alarm.evidence["row"]["hottest"].as_f64().unwrap() > 60.0,
        "{}",
        alarm.evidence
    );
    wait_for("health says so", async || {
        (detection.health("R-1").state == HealthState::Alarm).then_some(())
    })
    .await;

    let repaired = at(wire.second);
    wire.send(1, 0.0).await;
    wire.settle(&detection).await;
    let verdict = detection.asset_verdict("R-1", repaired);
    assert_eq!(verdict, AssetVerdict::Waiting, "the rule still names it");
    wire.send(3, 0.0).await;
    wait_for("the rule's alarm returns", async || {
        let alarm = book.get(&alarm.id).await.unwrap();
        (!alarm.active).then_some(())
    })
    .await;
    let verdict = wait_for("the rule is content", async || {
        let verdict = detection.asset_verdict("R-1", repaired);
        (verdict != AssetVerdict::Waiting).then_some(verdict)
    })
    .await;
    assert!(
        matches!(verdict, AssetVerdict::InBand { .. }),
        "{verdict:?}"
    );

    let stats = wait_for("the broken rule fails", async || {
        let stats = detection.stats();
        (stats.rules["broken"].failures > 0).then_some(stats)
    })
    .await;
    assert!(
        stats.rules["broken"]
            .failure
            .as_ref()
            .unwrap()
            .contains("nonsense")
    );
    assert_eq!(
        stats.rules["elsewhere"],
        RuleStats::default(),
        "no table, no evaluation"
    );
    detection.shutdown().await;
    assert_eq!(alarms(&book).await.len(), 1);
}

#[tokio::test]
async fn a_rule_remembers_its_alarms_after_a_restart() {
    let rules = "[rules.too_hot]\nclass = 'rig'\nseverity = 'critical'\nevery = '10ms'\n\
        sql = \"SELECT asset FROM rig WHERE time > now() - INTERVAL '2 minutes' \
        GROUP BY asset HAVING max(b) > 60\"";
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let first = wire.start(&book, folder.path(), rules).await;
    wire.send(5, 20.0).await;
    let alarm = wait_for("the rule's alarm", async || {
        book.store().open_alarm("R-1", "too_hot").await.unwrap()
    })
    .await;
    first.shutdown().await;
    wire.feed = None;
    wire.send(10, 0.0).await;
    let second = wire.start(&book, folder.path(), rules).await;
    wait_for("it returns", async || {
        let alarm = book.get(&alarm.id).await.unwrap();
        (!alarm.active).then_some(())
    })
    .await;
    second.shutdown().await;
    assert_eq!(
        alarms(&book).await,
        [("too_hot".into(), State::ReturnedUnacknowledged, 1)]
    );
}

#[tokio::test]
async fn the_default_rules_are_valid_sql_and_quiet() {
    let mut wire = Wire::new();
    let named = |name: &str| {
        let mut table = empty_table();
        table.class = name.into();
        let batch = batch("X", &[0, 60], 0.0);
        let columns = batch.columns().to_vec();
        let fields: Vec<Field> = batch
            .schema()
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                "b" => Field::new("bearing_temp_c", DataType::Float64, true),
                _ => field.as_ref().clone(),
            })
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        table.schema = schema;
        table.hot = vec![Arc::new(HotBatch {
            batch,
            min_time: i64::MIN,
            max_time: i64::MAX,
        })];
        Arc::new(table)
    };
    let tables = ["pump", "fan", "compressor"].map(|name| (name.into(), named(name)));
    *wire.snapshot.lock().unwrap() = Arc::new(Snapshot {
        sequence: 1,
        tables: tables.into(),
        ..Snapshot::default()
    });
    wire.second = 120;
    wire.clock.set(at(120));
    let engine = SqlEngine::new(
        wire.snapshots(),
        None,
        wire.clock.clone(),
        SqlLimits::default(),
    );
    for (name, rule) in config("").unwrap().rules {
        let answer = engine.query(&rule.sql).await.unwrap();
        assert_eq!(rules::read_rows(&answer.batches).unwrap(), [], "{name}");
        let hot = rule.sql.replace("> 95", "> 40");
        let answer = engine.query(&hot).await.unwrap();
        let rows = rules::read_rows(&answer.batches).unwrap();
        assert_eq!(rows.len(), 1, "{name}");
        assert!(
            rows[0].summary.as_ref().unwrap().contains("°C"),
            "{:?}",
            rows[0]
        );
    }
}
