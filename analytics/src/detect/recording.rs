//! Scoring a recording: the very same engine, fed from rows at hand instead of the stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use chrono::{DateTime, Utc};
use fieldwright_condition::{ClassSettings, FitError, Model, Sharing, Span};
use fieldwright_ingest::snapshot::{ASSET, TIME};
use serde_json::Value;

use super::config::DetectConfig;
use super::engine::{Engine, Found};
use super::evidence::instant;
use super::track::Track;
use crate::alarms::AlarmPolicy;

/// Readings of one asset in order of time, as a recorder wrote them.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Name of the asset.
    pub asset: String,
    /// Event times. **Units**: microseconds since 1970.
    pub times: Vec<i64>,
    /// Metrics with one value per time, NaN where there is none.
    pub metrics: Vec<(String, Vec<f64>)>,
}

/// What came of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordingResult {
    /// The model that was trained on the learning period; `None` when that never ended.
    pub model: Option<Model>,
    /// Why the training failed, if it did.
    pub failure: Option<FitError>,
    /// The score of every window after the learning period.
    pub scores: Vec<ScoredWindow>,
    /// The alarms, in order.
    pub alarms: Vec<RecordedAlarm>,
    /// Rows that were not newer than the row before, and therefore left out.
    pub late_rows: usize,
}

/// One scored window.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredWindow {
    /// The asset.
    pub asset: String,
    /// Event time of the window's end.
    pub time: DateTime<Utc>,
    /// The statistic of the detector that is farthest from normal, in multiples of its limit.
    pub ratio: f64,
    /// The score, 0 to 1; one half is the alarm limit.
    pub score: f64,
    /// The model behind it.
    pub model: String,
}

/// One alarm of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedAlarm {
    /// The detector.
    pub cause: String,
    /// Event time at which the first window out of band ended.
    pub began_at: DateTime<Utc>,
    /// Event time at which it had lasted for the minimum duration.
    pub raised_at: DateTime<Utc>,
    /// Event time at which it had returned; `None`: not before the recording ended.
    pub returned_at: Option<DateTime<Utc>>,
    /// One sentence for people.
    pub summary: String,
    /// What it was concluded from.
    pub evidence: Value,
}

/// Why a recording cannot be scored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// A column is shorter or longer than the times.
    #[error("metric {metric} has {found} values for {expected} times")]
    Ragged {
        /// The metric.
        metric: String,
        /// Its values.
        found: usize,
        /// The times.
        expected: usize,
    },
    /// There is nothing in it.
    #[error("the recording has no rows or no metrics")]
    Empty,
    /// The settings are wrong.
    #[error("the settings of the class have mistakes: {}", .0.join("; "))]
    Settings(Vec<String>),
}

impl ScoredWindow {
    /// The window that a track has judged last.
    pub(super) fn of(asset: &str, track: &Track) -> Option<Self> {
        let last = track.recent.back()?;
        Some(Self {
            asset: asset.to_owned(),
            time: instant(last.end),
            ratio: last.ratio,
            score: last.ratio / (1.0 + last.ratio),
            model: track.monitor.watch()?.model().version.clone(),
        })
    }
}

/// Learns from the learning period at the beginning of a recording and scores the rest.
///
/// Takes milliseconds per thousand rows.
///
/// **Errors** when the recording or the settings are no good.
pub fn score_recording(
    recording: &Recording,
    settings: &ClassSettings,
) -> Result<RecordingResult, RecordingError> {
    let mistakes = settings.mistakes();
    if !mistakes.is_empty() {
        return Err(RecordingError::Settings(mistakes));
    }
    let batch = batch(recording)?;
    let mut engine = Engine::new(Arc::new(DetectConfig {
        rule_floor: Span::seconds(1),
        alarms: AlarmPolicy::default(),
        // A recording is a class of one asset, which has nobody to share with.
        defaults: ClassSettings {
            sharing: Sharing::Asset,
            ..settings.clone()
        },
        kinds: BTreeMap::new(),
        classes: BTreeMap::new(),
        rules: BTreeMap::new(),
    }));
    engine.keep_scores();
    let mut findings = Vec::new();
    engine.ingest(&"recording".into(), &batch, &mut findings);

    let mut result = RecordingResult {
        model: None,
        failure: None,
        scores: Vec::new(),
        alarms: Vec::new(),
        late_rows: recording
            .times
            .windows(2)
            .filter(|pair| pair[1] <= pair[0])
            .count(),
    };
    // Training can wait until all rows are in: windows wait for their model as they do in service.
    while let Some(at) = findings
        .iter()
        .position(|f| matches!(f.found, Found::Train(_)))
    {
        let Found::Train(job) = findings.remove(at).found else {
            break;
        };
        match job.run() {
            Ok(model) => {
                result.model = Some(model.clone());
                engine.install(model, &mut findings);
            }
            Err(failure) => result.failure = Some(failure),
        }
    }
    for finding in findings {
        match finding.found {
            Found::Raise(found) => result.alarms.push(RecordedAlarm {
                cause: found.cause,
                began_at: found.began_at,
                raised_at: found.raised_at,
                returned_at: None,
                summary: found.summary,
                evidence: found.evidence,
            }),
            Found::Return { cause, at, .. } => {
                let mut latest = result.alarms.iter_mut().rev();
                if let Some(alarm) = latest.find(|alarm| alarm.cause == cause) {
                    alarm.returned_at = Some(at);
                }
            }
            Found::Worse(_) | Found::Train(_) | Found::TrainClass { .. } | Found::Refer { .. } => {}
        }
    }
    result.scores = engine.take_scores();
    Ok(result)
}

fn batch(recording: &Recording) -> Result<RecordBatch, RecordingError> {
    let rows = recording.times.len();
    if rows == 0 || recording.metrics.is_empty() {
        return Err(RecordingError::Empty);
    }
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new(ASSET, DataType::Utf8, false),
        Field::new(TIME, time, false),
    ];
    let tags = StringArray::from_iter_values(std::iter::repeat_n(&recording.asset, rows));
    let times = TimestampMicrosecondArray::from(recording.times.clone()).with_timezone("UTC");
    let mut columns: Vec<ArrayRef> = vec![Arc::new(tags), Arc::new(times)];
    for (metric, values) in &recording.metrics {
        if values.len() != rows {
            let (metric, found) = (metric.clone(), values.len());
            return Err(RecordingError::Ragged {
                metric,
                found,
                expected: rows,
            });
        }
        fields.push(Field::new(metric, DataType::Float64, true));
        columns.push(Arc::new(Float64Array::from(values.clone())));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|_| RecordingError::Empty)
}
