//! What a file holds, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value as Json, json};

use super::reading::{Row, Trust};

/// Bad rows that are told with their lines.
const TOLD: usize = 20;
/// Assets that are told by their names.
const NAMED: usize = 20;

/// A bad row.
#[derive(Debug)]
pub(super) struct BadRow {
    pub line: u64,
    pub problem: String,
}

/// What was found in a file.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub rows: u64,
    /// Rows that can be stored.
    pub stored: u64,
    /// Rows without any value.
    pub empty: u64,
    pub bad: u64,
    /// The first of the bad ones.
    pub bad_rows: Vec<BadRow>,
    pub values: BTreeMap<String, u64>,
    assets: BTreeSet<String>,
    not_good: u64,
    first: Option<i64>,
    last: Option<i64>,
}

impl Summary {
    pub(super) fn add(&mut self, row: &Row) {
        self.rows += 1;
        match &row.said {
            Ok(None) => self.empty += 1,
            Ok(Some(sample)) => {
                self.stored += 1;
                self.not_good += u64::from(sample.trust != Trust::Good);
                self.first = Some(
                    self.first
                        .map_or(sample.time, |first| first.min(sample.time)),
                );
                self.last = Some(self.last.map_or(sample.time, |last| last.max(sample.time)));
                if !self.assets.contains(&sample.asset) {
                    self.assets.insert(sample.asset.clone());
                }
                for (metric, _) in &sample.metrics {
                    match self.values.get_mut(metric) {
                        Some(count) => *count += 1,
                        None => drop(self.values.insert(metric.clone(), 1)),
                    }
                }
            }
            Err(problem) => {
                self.bad += 1;
                if self.bad_rows.len() < TOLD {
                    self.bad_rows.push(BadRow {
                        line: row.line,
                        problem: problem.clone(),
                    });
                }
            }
        }
    }

    pub(super) fn text(&self, file: &str, class: &str) -> String {
        let mut lines = vec![format!(
            "{file}: {} rows: {} for the class {class}, {} without a value, {} bad",
            self.rows, self.stored, self.empty, self.bad
        )];
        if let (Some(first), Some(last)) = (self.first, self.last) {
            lines.push(format!("  time      {} to {}", shown(first), shown(last)));
        }
        let named: Vec<&str> = self.assets.iter().take(NAMED).map(String::as_str).collect();
        let more = self.assets.len().saturating_sub(NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        lines.push(format!(
            "  assets    {}: {}{more}",
            self.assets.len(),
            named.join(", ")
        ));
        for (metric, count) in &self.values {
            lines.push(format!("  metric    {metric}: {count} values"));
        }
        if self.not_good > 0 {
            lines.push(format!("  quality   {} rows are not good", self.not_good));
        }
        for bad in &self.bad_rows {
            lines.push(format!("  bad       line {}: {}", bad.line, bad.problem));
        }
        lines.join("\n")
    }

    pub(super) fn json(&self, class: &str) -> Json {
        let bad = self.bad_rows.iter();
        let bad = bad.map(|bad| json!({"line": bad.line, "problem": bad.problem}));
        json!({
            "class": class,
            "rows": self.rows,
            "stored": self.stored,
            "empty": self.empty,
            "bad": self.bad,
            "not_good": self.not_good,
            "assets": self.assets.len(),
            "metrics": self.values,
            "first": self.first.map(shown),
            "last": self.last.map(shown),
            "bad_rows": bad.collect::<Vec<_>>(),
        })
    }
}

pub(super) fn shown(micros: i64) -> String {
    DateTime::<Utc>::from_timestamp_micros(micros).map_or_else(
        || format!("{micros} µs"),
        |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    )
}
