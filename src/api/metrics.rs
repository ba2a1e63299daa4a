//! `/metrics`: the service's figures for Prometheus.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use chrono::TimeDelta;
use fieldwright_analytics::alarms::{AlarmFilter, Severity, SuppressedFilter};
use fieldwright_analytics::detect::DetectionStats;
use fieldwright_ingest::stats::Stats;
use fieldwright_workorders::store::outbox;
use futures::future::BoxFuture;

use super::exposition::{Exposition, Kind};
use super::page::MAX_LIMIT;
use super::problem::{self, Problem};
use super::state::ApiState;

/// Active alarms that are counted at most.
const COUNTED_ALARMS: usize = MAX_LIMIT as usize * 2;

/// One figure that the composition root knows.
#[derive(Debug, Clone)]
pub struct Gauge {
    /// Its name, such as `fieldwright_outbox_pending`.
    pub name: &'static str,
    /// What it is, a sentence.
    pub help: &'static str,
    /// The figure.
    pub value: f64,
}

type Source = Arc<dyn Fn() -> BoxFuture<'static, Vec<Gauge>> + Send + Sync>;

/// Figures beside those that the handlers' own parts have.
#[derive(Clone, Default)]
pub struct Gauges(Vec<Source>);

impl Gauges {
    /// Adds a source of figures.
    pub fn with<F>(mut self, source: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, Vec<Gauge>> + Send + Sync + 'static,
    {
        self.0.push(Arc::new(source));
        self
    }
}

impl std::fmt::Debug for Gauges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Gauges").field(&self.0.len()).finish()
    }
}

/// Writes the service's figures as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", operation_id = "get_metrics", tag = "service",
    responses((status = 200, content_type = "text/plain", body = String)))]
pub async fn get(State(state): State<ApiState>) -> Result<impl IntoResponse, Problem> {
    let mut text = Exposition::default();
    write_ingest(&mut text, &state.ingest.stats());
    write_detection(&mut text, &state.detection.stats());
    write_alarms(&mut text, &state).await?;
    let events = outbox::newest_seq(&state.db).await?;
    let help = "Events that the operational store has told.";
    text.single(
        Kind::Counter,
        "fieldwright_events_total",
        help,
        events as f64,
    );
    for source in &state.gauges.0 {
        for gauge in source().await {
            text.single(Kind::Gauge, gauge.name, gauge.help, gauge.value);
        }
    }
    let now = state.clock.now().timestamp_micros() as f64 / 1e6;
    let help = "The business clock, seconds since 1970.";
    text.single(Kind::Gauge, "fieldwright_business_time_seconds", help, now);
    state.requests.write_metrics(text.text());
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text.finish()))
}

fn write_ingest(text: &mut Exposition, stats: &Stats) {
    for (name, help, value) in [
        (
            "fieldwright_readings_accepted_total",
            "Metric values accepted and synced.",
            stats.accepted_samples,
        ),
        (
            "fieldwright_messages_accepted_total",
            "Messages accepted and synced.",
            stats.accepted_messages,
        ),
        (
            "fieldwright_rows_accepted_total",
            "Rows accepted and synced.",
            stats.accepted_rows,
        ),
        (
            "fieldwright_samples_mistyped_total",
            "Values of another type than their metric's, kept in a side column.",
            stats.mistyped_samples,
        ),
        (
            "fieldwright_samples_duplicate_total",
            "Values that were there already.",
            stats.duplicate_samples,
        ),
        (
            "fieldwright_samples_conflicting_total",
            "Values that took the place of another one of the same instant.",
            stats.conflicting_samples,
        ),
        (
            "fieldwright_rows_late_total",
            "Accepted rows not after their asset's newest time.",
            stats.late_rows,
        ),
        (
            "fieldwright_journal_commits_total",
            "Journal records synced.",
            stats.commits,
        ),
        (
            "fieldwright_flushes_total",
            "Flushes from memory to files.",
            stats.flushes,
        ),
        (
            "fieldwright_compactions_total",
            "Compactions since the start.",
            stats.compactions,
        ),
        (
            "fieldwright_compaction_failures_total",
            "Compactions that failed and were tried again.",
            stats.compaction_failures,
        ),
        (
            "fieldwright_merged_duplicates_total",
            "Readings that compaction found twice, value and all.",
            stats.merged_duplicates,
        ),
        (
            "fieldwright_merged_conflicts_total",
            "Readings of one instant with two values; the later receipt won.",
            stats.merged_conflicts,
        ),
        (
            "fieldwright_quarantine_dropped_total",
            "Entries that the quarantine dropped to make room.",
            stats.quarantine_dropped,
        ),
    ] {
        text.single(Kind::Counter, name, help, value as f64);
    }
    let rejected = stats
        .rejected
        .iter()
        .map(|(reason, count)| (vec![("reason", (*reason).to_owned())], *count as f64));
    let name = "fieldwright_readings_rejected_total";
    text.metric(
        Kind::Counter,
        name,
        "Messages refused into the quarantine.",
        rejected,
    );
    let name = "fieldwright_journal_lag_seconds";
    let help = "From a batch's first message to its last sync, newest batch.";
    text.single(Kind::Gauge, name, help, stats.commit_lag_us as f64 / 1e6);
    for (name, help, value) in [
        (
            "fieldwright_journal_bytes",
            "Bytes in the journal.",
            stats.journal_bytes,
        ),
        ("fieldwright_hot_rows", "Rows in memory.", stats.hot_rows),
        (
            "fieldwright_hot_bytes",
            "Bytes of rows in memory.",
            stats.hot_bytes,
        ),
        (
            "fieldwright_feed_skipped",
            "Commits that detection reads from the tables instead of the feed.",
            stats.feed_skipped,
        ),
        (
            "fieldwright_tables",
            "Tables, one per asset class.",
            stats.tables,
        ),
        ("fieldwright_files", "Parquet files.", stats.files),
        (
            "fieldwright_file_bytes",
            "Bytes in Parquet files.",
            stats.file_bytes,
        ),
        (
            "fieldwright_quarantine_entries",
            "Messages in the quarantine.",
            stats.quarantine_entries,
        ),
        (
            "fieldwright_disk_trouble",
            "1 while the disk refuses to be written.",
            u64::from(stats.disk_trouble.is_some()),
        ),
    ] {
        text.single(Kind::Gauge, name, help, value as f64);
    }
}

fn write_detection(text: &mut Exposition, stats: &DetectionStats) {
    for (kind, name, help, value) in [
        (
            Kind::Counter,
            "fieldwright_windows_scored_total",
            "Windows scored.",
            stats.scores,
        ),
        (
            Kind::Counter,
            "fieldwright_windows_of_unknown_regime_total",
            "Windows not judged because their operating regime is unknown.",
            stats.unknown_regime,
        ),
        (
            Kind::Counter,
            "fieldwright_windows_revised_total",
            "Judged windows that late readings have revised.",
            stats.revised,
        ),
        (
            Kind::Counter,
            "fieldwright_late_readings_not_followed_total",
            "Late rows and windows that were not revised: too old, too many, or not to be judged.",
            stats.not_revised,
        ),
        (
            Kind::Counter,
            "fieldwright_models_trained_total",
            "Models trained.",
            stats.trained,
        ),
        (
            Kind::Counter,
            "fieldwright_training_failures_total",
            "Trainings that failed.",
            stats.training_failures,
        ),
        (
            Kind::Gauge,
            "fieldwright_assets_learning",
            "Assets that are learning.",
            stats.learning as u64,
        ),
        (
            Kind::Gauge,
            "fieldwright_assets_scored",
            "Assets that have a model.",
            stats.scored as u64,
        ),
        (
            Kind::Gauge,
            "fieldwright_detection_behind_commits",
            "Commits that queries see and detection has not followed yet.",
            stats.behind,
        ),
    ] {
        text.single(kind, name, help, value as f64);
    }
}

async fn write_alarms(text: &mut Exposition, state: &ApiState) -> Result<(), Problem> {
    let filter = AlarmFilter {
        active: Some(true),
        limit: COUNTED_ALARMS,
        ..AlarmFilter::default()
    };
    let active = state
        .alarms
        .list(&filter)
        .await
        .map_err(problem::of_alarm_store)?;
    let load = state
        .alarms
        .load(TimeDelta::hours(1), state.clock.now())
        .await
        .map_err(problem::of_alarm_store)?;
    let standing = SuppressedFilter {
        standing: Some(true),
        limit: COUNTED_ALARMS,
        ..SuppressedFilter::default()
    };
    let standing = state
        .alarms
        .suppressed(&standing)
        .await
        .map_err(problem::of_alarm_store)?;
    for (name, help, value) in [
        (
            "fieldwright_alarms_raised_in_window",
            "Raises in the window of floods before now.",
            load.raised as f64,
        ),
        (
            "fieldwright_alarm_flood",
            "1 while more alarms come than people can answer.",
            f64::from(u8::from(load.flood().is_some())),
        ),
        (
            "fieldwright_alarms_chattering",
            "Active alarms that come and go too often.",
            active
                .iter()
                .filter(|one| one.chattering_since.is_some())
                .count() as f64,
        ),
        (
            "fieldwright_alarms_suppressed",
            "Conditions that are there and suppressed.",
            standing.len() as f64,
        ),
    ] {
        text.single(Kind::Gauge, name, help, value);
    }
    let mut counts: BTreeMap<Severity, f64> = Severity::ALL.map(|one| (one, 0.0)).into();
    for alarm in active {
        *counts.entry(alarm.severity).or_default() += 1.0;
    }
    let samples = counts
        .into_iter()
        .map(|(severity, count)| (vec![("severity", severity.to_string())], count));
    text.metric(
        Kind::Gauge,
        "fieldwright_alarms_active",
        "Active alarms.",
        samples,
    );
    Ok(())
}
