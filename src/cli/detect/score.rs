//! `fieldwright detect score`.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Args;
use fieldwright_analytics::detect::{ClassSettings, Recording, RecordingResult, score_recording};
use fieldwright_simulators::replay::recording::Recording as RecordedFile;
use serde_json::json;

use crate::cli::{Failure, Output};
use crate::config::{Layers, Settings};

/// Column that says which rows are anomalous; read to judge, never to decide.
const LABEL: &str = "anomaly";

/// Learn from the beginning of recordings and score the rest, one configuration for all.
#[derive(Debug, Args)]
pub struct Score {
    /// A CSV file, or a folder of them.
    path: PathBuf,
    /// Class whose settings apply.
    #[arg(long)]
    class: String,
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "FIELDWRIGHT_CONFIG")]
    config: Option<PathBuf>,
}

/// What the labels say of the first alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It began inside a labeled window.
    Inside,
    /// It began outside of every labeled window.
    Outside,
    /// There was no alarm although rows are labeled.
    Missed,
    /// The file has no labels.
    Unlabeled,
}

impl Score {
    /// Scores every file with the same settings.
    pub fn run(self, output: Output) -> Result<(), Failure> {
        let layers = Layers::read(self.config.as_deref(), std::env::vars(), &[])?;
        let settings = Settings::from_layers(&layers)?;
        let settings = settings.detect.class(&self.class.to_lowercase()).clone();
        let files = self.files()?;
        let mut verdicts = Vec::new();
        for file in &files {
            verdicts.push(score_file(file, &settings, output)?);
        }
        let count = |wanted| {
            verdicts
                .iter()
                .filter(|verdict| **verdict == wanted)
                .count()
        };
        let labeled = verdicts.len() - count(Verdict::Unlabeled);
        if labeled > 0 {
            eprintln!(
                "first alarm began and was raised inside the labeled window in {} of {labeled} files, \
             outside of it in {}, none in {}",
                count(Verdict::Inside),
                count(Verdict::Outside),
                count(Verdict::Missed),
            );
        }
        Ok(())
    }

    fn files(&self) -> Result<Vec<PathBuf>, Failure> {
        if self.path.is_file() {
            return Ok(vec![self.path.clone()]);
        }
        let entries = std::fs::read_dir(&self.path).map_err(|error| {
            Failure::NotFound(format!("cannot read {}: {error}", self.path.display()))
        })?;
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
            .collect();
        // 2.csv before 10.csv.
        files.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
        if files.is_empty() {
            return Err(Failure::NotFound(format!(
                "no CSV file in {}",
                self.path.display()
            )));
        }
        Ok(files)
    }
}

fn score_file(path: &Path, settings: &ClassSettings, output: Output) -> Result<Verdict, Failure> {
    let recording = read(path)?;
    let result = score_recording(&recording, settings).map_err(Failure::failed)?;
    if let Some(failure) = &result.failure {
        return Err(Failure::Failed(format!(
            "{}: cannot train: {failure}",
            path.display()
        )));
    }
    if result.model.is_none() {
        return Err(Failure::Failed(format!(
            "{}: the recording ends before the learning period of {} does; a class of its own may declare \
             another in detect.classes.CLASS.learning",
            path.display(),
            settings.learning
        )));
    }
    let labeled = labeled_windows(path)?;
    let verdict = judge(&result, labeled.as_deref());
    let first = result.alarms.first();
    let text = match first {
        Some(alarm) => format!(
            "first alarm began {} and was raised {}: {}",
            alarm.began_at.format("%Y-%m-%d %H:%M:%SZ"),
            alarm.raised_at.format("%Y-%m-%d %H:%M:%SZ"),
            alarm.summary
        ),
        None => "no alarm".to_owned(),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    output.line(
        format!(
            "{name:<10} {verdict:<10} {} alarms; {text}",
            result.alarms.len()
        ),
        &json!({
            "file": path.display().to_string(),
            "verdict": verdict.to_string(),
            "alarms": result.alarms.len(),
            "windows": result.scores.len(),
            "windows_out_of_band": result.scores.iter().filter(|window| window.ratio > 1.0).count(),
            "first_began_at": first.map(|alarm| alarm.began_at),
            "first_raised_at": first.map(|alarm| alarm.raised_at),
            "first_summary": first.map(|alarm| alarm.summary.as_str()),
            "labeled": labeled,
        }),
    );
    Ok(verdict)
}

fn read(path: &Path) -> Result<Recording, Failure> {
    let file = RecordedFile::open(path).map_err(Failure::failed)?;
    let names: Vec<String> = file.metrics().map(str::to_owned).collect();
    let mut recording = Recording {
        asset: path
            .file_stem()
            .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
        times: Vec::new(),
        metrics: names.into_iter().map(|name| (name, Vec::new())).collect(),
    };
    for row in file.rows().map_err(Failure::failed)? {
        let row = row.map_err(Failure::failed)?;
        let Some(time) = row.time else { continue };
        recording.times.push(time.timestamp_micros());
        for (name, column) in &mut recording.metrics {
            let value = row.values.iter().find(|(metric, _)| **metric == **name);
            column.push(value.map_or(f64::NAN, |(_, value)| *value));
        }
    }
    Ok(recording)
}

/// Spans of labeled rows; `None` when the file has no such column.
fn labeled_windows(path: &Path) -> Result<Option<Vec<[DateTime<Utc>; 2]>>, Failure> {
    let file = RecordedFile::open(path).map_err(Failure::failed)?;
    let Some(labels) = labels(path)? else {
        return Ok(None);
    };
    let mut spans: Vec<[DateTime<Utc>; 2]> = Vec::new();
    let mut is_open = false;
    for (row, label) in file.rows().map_err(Failure::failed)?.zip(labels) {
        let Some(time) = row.map_err(Failure::failed)?.time else {
            continue;
        };
        match spans.last_mut() {
            Some(span) if label && is_open => span[1] = time,
            _ if label => spans.push([time, time]),
            _ => {}
        }
        is_open = label;
    }
    Ok(Some(spans))
}

fn labels(path: &Path) -> Result<Option<Vec<bool>>, Failure> {
    let text = std::fs::read_to_string(path).map_err(Failure::failed)?;
    let header = text.lines().next().unwrap_or_default();
    let is_semicolon = header.matches(';').count() > header.matches(',').count();
    let delimiter = if is_semicolon { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let column = reader
        .headers()
        .map_err(Failure::failed)?
        .iter()
        .position(|name| name.trim().eq_ignore_ascii_case(LABEL));
    let Some(column) = column else {
        return Ok(None);
    };
    let mut labels = Vec::new();
    for row in reader.records() {
        let row = row.map_err(Failure::failed)?;
        let label = row
            .get(column)
            .and_then(|cell| cell.trim().parse::<f64>().ok());
        labels.push(label.is_some_and(|label| label > 0.5));
    }
    Ok(Some(labels))
}

fn judge(result: &RecordingResult, labeled: Option<&[[DateTime<Utc>; 2]]>) -> Verdict {
    match (labeled, result.alarms.first()) {
        (None, _) => Verdict::Unlabeled,
        (Some(_), None) => Verdict::Missed,
        (Some(spans), Some(alarm)) => {
            let inside = |span: &[DateTime<Utc>; 2]| {
                (span[0]..=span[1]).contains(&alarm.began_at)
                    && (span[0]..=span[1]).contains(&alarm.raised_at)
            };
            if spans.iter().any(inside) {
                Verdict::Inside
            } else {
                Verdict::Outside
            }
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Inside => "inside",
            Self::Outside => "outside",
            Self::Missed => "missed",
            Self::Unlabeled => "unlabeled",
        })
    }
}
