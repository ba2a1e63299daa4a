//! Evaluates one rule again and again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fieldwright_condition::Span;
use fieldwright_ingest::clock::{SharedClock, process_sleep};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::config::RuleSettings;
use super::memory::Kept;
use super::{Delays, Named, RuleBoard, RuleError, RuleTurn, compare, confirm, read_rows};
use crate::alarms::{AlarmBook, AlarmError, Command, Occurrence};
use crate::sql::{SnapshotSource, SqlEngine};

/// What all runners share.
#[derive(Clone)]
pub(in crate::detect) struct RunnerParts {
    pub(in crate::detect) sql: Arc<SqlEngine>,
    pub(in crate::detect) snapshots: SnapshotSource,
    pub(in crate::detect) alarms: Arc<AlarmBook>,
    pub(in crate::detect) clock: SharedClock,
    pub(in crate::detect) board: Arc<RuleBoard>,
}

/// One rule at work.
pub(in crate::detect) struct Runner {
    name: String,
    settings: RuleSettings,
    parts: RunnerParts,
    memory: BTreeMap<String, Named>,
    kept: Kept,
    recalled: bool,
}

impl Runner {
    pub(in crate::detect) fn new(name: &str, settings: &RuleSettings, parts: RunnerParts) -> Self {
        parts.board.add(name, &settings.class);
        Self {
            name: name.to_owned(),
            settings: settings.clone(),
            parts,
            memory: BTreeMap::new(),
            kept: Kept::of(name, settings),
            recalled: false,
        }
    }

    /// Evaluates until told to stop: one after the other, so a slow rule never overlaps itself.
    pub(in crate::detect) async fn run(mut self, floor: Span, mut stop: watch::Receiver<bool>) {
        let business = self.settings.every.duration();
        let rate = self.parts.clock.rate().max(f64::MIN_POSITIVE);
        let period = Duration::try_from_secs_f64(business.as_secs_f64() / rate);
        let period = period.unwrap_or(Duration::MAX).max(floor.duration());
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = process_sleep(period) => {}
            }
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = self.evaluate() => {}
            }
        }
    }

    /// One evaluation; what fails is logged and tried again the next time.
    pub(in crate::detect) async fn evaluate(&mut self) {
        if let Err(error) = self.try_evaluate().await {
            let failure = chain(error.as_ref());
            if self.parts.board.note_failure(&self.name, failure.clone()) {
                tracing::warn!(rule = self.name, failure, "a rule cannot be evaluated");
            }
        }
    }

    async fn try_evaluate(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let class = self.settings.class.as_str();
        if !class.is_empty() && !(self.parts.snapshots)().tables.contains_key(class) {
            return Ok(());
        }
        self.recall().await?;
        let answer = self
            .parts
            .sql
            .query_rule(&self.settings.sql)
            .await
            .map_err(RuleError::from)?;
        if answer.truncated {
            return Err(RuleError::TooManyRows.into());
        }
        let rows = read_rows(&answer.batches)?;
        let now = self.parts.clock.now();
        let delays = Delays {
            on: self.settings.min_duration.delta(),
            off: self.settings.off_delay.delta(),
        };
        let turns = compare(&mut self.memory, rows, delays, now);
        // Before anything else can fail: a delay that has begun is not forgotten.
        self.kept.save(&self.parts.alarms, &self.memory).await?;
        for turn in turns {
            self.keep(&turn, now).await?;
            confirm(&mut self.memory, &turn);
        }
        self.kept.save(&self.parts.alarms, &self.memory).await?;
        self.parts.board.note(&self.name, now, &self.memory);
        Ok(())
    }

    /// After a restart the store knows what is up, and since when the rest is named.
    async fn recall(&mut self) -> Result<(), AlarmError> {
        if !self.recalled {
            self.memory = self.kept.recall(&self.parts.alarms).await?;
            self.recalled = true;
        }
        Ok(())
    }

    async fn keep(&self, turn: &RuleTurn, now: DateTime<Utc>) -> Result<(), AlarmError> {
        match turn {
            RuleTurn::Raise { since, at, row } => {
                let known = (self.parts.snapshots)();
                let class = if self.settings.class.is_empty() {
                    class_of(&known, &row.evidence)
                } else {
                    self.settings.class.clone()
                };
                let default = || format!("{} is named by rule {}", row.asset, self.name);
                let occurrence = Occurrence {
                    asset: row.asset.clone(),
                    class,
                    cause: self.name.clone(),
                    severity: row.severity.unwrap_or(self.settings.severity),
                    summary: row.summary.clone().unwrap_or_else(default),
                    evidence: json!({
                        "rule": self.name,
                        "sql": self.settings.sql.trim(),
                        "row": row.evidence,
                        "named_since": since,
                        "evaluated_at": now,
                    }),
                    began_at: *since,
                    raised_at: *at,
                };
                self.parts.alarms.report(occurrence, None, now).await?;
            }
            RuleTurn::Return { asset, at } => {
                let gone = Command::Return { at: *at };
                self.parts
                    .alarms
                    .tell(asset, &self.name, &gone, None, now)
                    .await?;
            }
        }
        Ok(())
    }
}

/// Returns once detection is told to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone says the same.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

/// A rule about any class may say the class in a column of that name.
fn class_of(
    known: &fieldwright_ingest::snapshot::Snapshot,
    evidence: &serde_json::Map<String, Value>,
) -> String {
    let said = evidence
        .get("class")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let class = said.to_lowercase();
    if known.tables.contains_key(class.as_str()) {
        class
    } else {
        String::new()
    }
}

/// An error with everything behind it, for the log and for the figures.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
