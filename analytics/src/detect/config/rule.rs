//! The settings of one SQL rule.

use fieldwright_condition::{Severity, Span};
use serde::{Deserialize, Serialize};

/// A query that names the assets that are in alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// Whether it is evaluated.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// The class that it is about; empty: any. Not evaluated while that class has no table.
    #[serde(default)]
    pub class: String,
    /// How much its alarms matter, where a row does not say it.
    pub severity: Severity,
    /// How often it is evaluated. **Units**: business time.
    pub every: Span,
    /// How long it must name an asset. **Units**: business time.
    #[serde(default = "at_once")]
    pub min_duration: Span,
    /// How long it must not name an asset before its alarm returns. **Units**: business time.
    #[serde(default = "at_once")]
    pub off_delay: Span,
    /// The query; its columns are `asset`, optionally `severity`, `summary` and `hold`, then
    /// evidence. A row with a true `hold` begins nothing and ends nothing: hysteresis.
    pub sql: String,
}

impl RuleSettings {
    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.every.micros() < 1_000 {
            found.push(format!("every is {}, but must be at least 1ms", self.every));
        }
        if self.sql.trim().is_empty() {
            found.push("sql is empty, but must be a query that returns a column `asset`".into());
        }
        if self.class.chars().any(|c| c.is_ascii_uppercase()) {
            found.push(format!(
                "class is `{}`, but classes are written in lower case",
                self.class
            ));
        }
        found
    }
}

fn enabled() -> bool {
    true
}

fn at_once() -> Span {
    Span::seconds(0)
}
