//! What a user may set about ingesting; every default stands in `default.toml`.

mod mapping;
mod payload;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::mapping::{CodecName, ConvertedUnit, MappingRule, MetricUnit, READINGS_TOPIC};
pub use self::payload::{
    CsvColumns, JsonShape, LineTags, QualityWords, SparkplugNames, Tags, TimeSource, TimeUnit,
};
use crate::lake::{CompactionLimits, Retention};
use crate::topic::PatternError;
use crate::units::UnitError;
use crate::validate;

/// Every default of the `[ingest]` section, with comments: part of the service's `default.toml`.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// The `[ingest]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestConfig {
    /// Messages at which a batch closes.
    pub batch_rows: usize,
    /// Milliseconds after its first message at which a batch closes.
    pub batch_ms: u64,
    /// Hot rows at which a flush begins.
    pub flush_rows: usize,
    /// Seconds (process clock) after which hot rows are flushed, however few.
    pub flush_seconds: u64,
    /// Hot rows at which intake waits for the flush.
    pub max_hot_rows: usize,
    /// Bytes of hot rows at which a flush begins.
    pub flush_bytes: u64,
    /// Bytes of hot rows at which intake waits for the flush.
    pub max_hot_bytes: u64,
    /// Where the lake lies: empty for the data folder, or the URL of an object store.
    pub lake_url: String,
    /// Flushed files, or files of late rows, at which a table is compacted.
    pub compact_files: usize,
    /// Rows of a compacted file.
    pub compact_rows: u64,
    /// Rows that one compaction takes.
    pub compact_input_rows: u64,
    /// Whether roll-ups by minute and hour are made.
    pub rollups: bool,
    /// Seconds (process clock) that files stay which are in no table any more.
    pub tombstone_seconds: u64,
    /// Days of event time that rows are kept; 0 for ever.
    pub retention_days: u32,
    /// The same for single tables, by class.
    #[serde(default)]
    pub table_retention_days: BTreeMap<String, u32>,
    /// Deliveries that may wait to be decoded.
    pub queue_deliveries: usize,
    /// Commits that may wait for the follower of the feed; further ones are left out of it.
    pub feed_commits: usize,
    /// Bytes at which a journal segment closes.
    pub journal_segment_bytes: u64,
    /// Largest payload that is decoded.
    pub max_payload_bytes: usize,
    /// Most metrics in one row of a message.
    pub max_metrics_per_message: usize,
    /// Most rows in one message.
    pub max_rows_per_message: usize,
    /// Most metric columns in one table, side columns included.
    pub max_metrics_per_table: usize,
    /// Most tables (asset classes).
    pub max_tables: usize,
    /// Most assets over all tables.
    pub max_assets: usize,
    /// Seconds that a reading's time may lie ahead of its receipt.
    pub lead_seconds: u64,
    /// Most entries in the quarantine.
    pub quarantine_entries: usize,
    /// Most bytes in the quarantine.
    pub quarantine_bytes: u64,
    /// Topics remembered with what they mean.
    pub topic_cache: usize,
    /// Most Sparkplug nodes whose births are remembered.
    pub sparkplug_nodes: usize,
    /// Most metrics that these births declare, over all nodes.
    pub sparkplug_metrics: usize,
    /// Seconds (process clock) before a node is asked for a rebirth again.
    pub sparkplug_rebirth_seconds: u64,
    /// Mapping rules; the first that matches a topic decides.
    pub rules: Vec<MappingRule>,
}

/// All that decides whether a message is accepted, and as what.
///
/// It is written at the head of every journal segment, so that a replay decodes a message under
/// the rules it was received under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecodeRules {
    /// Mapping rules in order.
    pub rules: Vec<MappingRule>,
    /// Largest payload.
    pub max_payload_bytes: usize,
    /// Most metrics in one message.
    pub max_metrics_per_message: usize,
    /// Most metric columns in one table.
    pub max_metrics_per_table: usize,
    /// Most tables.
    pub max_tables: usize,
    /// Most assets over all tables.
    pub max_assets: usize,
    /// Seconds ahead of its receipt.
    pub lead_seconds: u64,
    /// Topics remembered.
    pub topic_cache: usize,
    /// Whether a tag that is known under one class is refused under another. False only in
    /// segments of a version that did not refuse it: what was accepted stays accepted.
    #[serde(default)]
    pub one_class_per_asset: bool,
    /// Most rows in one message.
    #[serde(default = "one_row")]
    pub max_rows_per_message: usize,
    /// Whether texts, booleans and absent values are taken. False only in segments of a version
    /// that refused them.
    #[serde(default)]
    pub all_types: bool,
    /// Most Sparkplug nodes whose births are remembered; 0 in segments of a version without them.
    #[serde(default)]
    pub sparkplug_nodes: usize,
    /// Most metrics that these births declare.
    #[serde(default)]
    pub sparkplug_metrics: usize,
    /// Whether `sparkplug.classes` stands above a rule's class. False only in segments of a
    /// version where it did not: what was accepted stays where it is.
    #[serde(default)]
    pub sparkplug_classes: bool,
}

/// What a message had in versions that did not say.
fn one_row() -> usize {
    1
}

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigMistake {
    /// A number outside its range.
    #[error("ingest.{field} is {value}: it must be between {least} and {most}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What it says.
        value: u64,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// `max_hot_rows` below `flush_rows`.
    #[error("ingest.max_hot_rows is {max_hot_rows}: it must be at least flush_rows ({flush_rows})")]
    HotBelowFlush {
        /// The bound.
        max_hot_rows: usize,
        /// Where a flush begins.
        flush_rows: usize,
    },
    /// `max_hot_bytes` below `flush_bytes`.
    #[error(
        "ingest.max_hot_bytes is {max_hot_bytes}: it must be at least flush_bytes \
         ({flush_bytes}), or intake would wait before a flush begins"
    )]
    HotBytesBelowFlush {
        /// The bound.
        max_hot_bytes: u64,
        /// Where a flush begins.
        flush_bytes: u64,
    },
    /// No rule: no message would ever be accepted.
    #[error("ingest.rules is empty: no message would be accepted; add at least one rule")]
    NoRules,
    /// A topic pattern that cannot be read.
    #[error("ingest.rules[{rule}].topic \"{topic}\" is not a pattern: {detail}")]
    BadPattern {
        /// Which rule, from 0.
        rule: usize,
        /// The pattern.
        topic: String,
        /// What is wrong.
        detail: PatternError,
    },
    /// A conversion between units that there is not.
    #[error("ingest.rules[{rule}].units.{metric}: {detail}")]
    BadUnit {
        /// Which rule, from 0.
        rule: usize,
        /// The metric.
        metric: String,
        /// What is wrong.
        detail: UnitError,
    },
    /// An option of a codec that cannot be.
    #[error("ingest.rules[{rule}].{field}: {detail}")]
    BadOption {
        /// Which rule, from 0.
        rule: usize,
        /// The option.
        field: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The class or the asset stands nowhere or twice.
    #[error(
        "ingest.rules[{rule}] names its {what} {times} times: use {{{what}}} in the topic, \
         a fixed `{what}`, or a place in the payload, one of them"
    )]
    NotOnce {
        /// Which rule, from 0.
        rule: usize,
        /// `class` or `asset`.
        what: &'static str,
        /// How often it stands.
        times: usize,
    },
    /// A fixed name that no message could have.
    #[error("ingest.rules[{rule}].{field} \"{value}\" is refused: {detail}")]
    BadName {
        /// Which rule, from 0.
        rule: usize,
        /// The field.
        field: &'static str,
        /// What it says.
        value: String,
        /// The rule that refuses it.
        detail: validate::Rejection,
    },
}

/// The configuration text itself cannot be read.
#[derive(Debug, Error)]
#[error("the configuration cannot be read: {0}")]
pub struct ConfigUnreadable(String);

impl Default for IngestConfig {
    fn default() -> Self {
        Self::from_toml(DEFAULT_TOML).expect("the defaults compiled in are readable")
    }
}

impl IngestConfig {
    /// Reads a text that has an `[ingest]` section with every field.
    ///
    /// **Errors**: the text is not TOML, or the section lacks a field or has an unknown one.
    pub fn from_toml(text: &str) -> Result<Self, ConfigUnreadable> {
        #[derive(Deserialize)]
        struct Document {
            ingest: IngestConfig,
        }
        toml::from_str::<Document>(text)
            .map(|document| document.ingest)
            .map_err(|error| ConfigUnreadable(error.to_string()))
    }

    /// Every mistake at once; an empty list means that the service can start with it.
    pub fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        for (field, value, least, most) in self.ranges() {
            if value < least || value > most {
                mistakes.push(ConfigMistake::OutOfRange {
                    field,
                    value,
                    least,
                    most,
                });
            }
        }
        if self.max_hot_rows < self.flush_rows {
            mistakes.push(ConfigMistake::HotBelowFlush {
                max_hot_rows: self.max_hot_rows,
                flush_rows: self.flush_rows,
            });
        }
        if self.max_hot_bytes < self.flush_bytes {
            mistakes.push(ConfigMistake::HotBytesBelowFlush {
                max_hot_bytes: self.max_hot_bytes,
                flush_bytes: self.flush_bytes,
            });
        }
        if self.rules.is_empty() {
            mistakes.push(ConfigMistake::NoRules);
        }
        for (number, rule) in self.rules.iter().enumerate() {
            rule.validate(number, &mut mistakes);
        }
        mistakes
    }

    /// The MQTT filters that cover every rule, for those who subscribe.
    pub fn filters(&self) -> Vec<String> {
        let mut filters: Vec<String> = self
            .rules
            .iter()
            .map(|rule| crate::topic::filter_of(&rule.topic))
            .collect();
        filters.sort_unstable();
        filters.dedup();
        filters
    }

    /// The part that decides what a message is.
    pub fn decode_rules(&self) -> DecodeRules {
        let mut rules = self.rules.clone();
        rules.push(MappingRule::write_door());
        rules.push(MappingRule::readings_door());
        DecodeRules {
            rules,
            max_payload_bytes: self.max_payload_bytes,
            max_metrics_per_message: self.max_metrics_per_message,
            max_metrics_per_table: self.max_metrics_per_table,
            max_tables: self.max_tables,
            max_assets: self.max_assets,
            lead_seconds: self.lead_seconds,
            topic_cache: self.topic_cache,
            one_class_per_asset: true,
            max_rows_per_message: self.max_rows_per_message,
            all_types: true,
            sparkplug_classes: true,
            sparkplug_nodes: self.sparkplug_nodes,
            sparkplug_metrics: self.sparkplug_metrics,
        }
    }

    /// Process time after its first message at which a batch closes.
    pub fn batch_age(&self) -> Duration {
        Duration::from_millis(self.batch_ms)
    }

    /// When tables are compacted, and into what.
    pub(crate) fn compaction_limits(&self) -> CompactionLimits {
        CompactionLimits {
            rows: self.compact_rows,
            files: self.compact_files,
            input_rows: self.compact_input_rows,
            rollups: self.rollups,
        }
    }

    /// How long rows are kept.
    pub(crate) fn retention(&self) -> Retention {
        Retention {
            days: self.retention_days,
            of_table: self.table_retention_days.clone(),
        }
    }

    /// How long files stay that are in no table any more.
    pub(crate) fn tombstone(&self) -> TimeDelta {
        TimeDelta::seconds(self.tombstone_seconds as i64)
    }

    /// Process time before a Sparkplug node is asked for a rebirth again.
    pub fn rebirth_pause(&self) -> Duration {
        Duration::from_secs(self.sparkplug_rebirth_seconds)
    }

    /// Whether messages go out to devices: Sparkplug nodes are asked for rebirths.
    pub fn sends_commands(&self) -> bool {
        let sparkplug = |rule: &MappingRule| rule.codec == CodecName::SparkplugB;
        self.rules.iter().any(sparkplug)
    }

    /// Process time after which hot rows are flushed.
    pub fn flush_age(&self) -> Duration {
        Duration::from_secs(self.flush_seconds)
    }

    fn ranges(&self) -> [(&'static str, u64, u64, u64); 28] {
        const MANY: u64 = u32::MAX as u64;
        [
            // A row's arrival number has 20 bits for its place in the batch.
            ("batch_rows", self.batch_rows as u64, 1, 1 << 20),
            ("batch_ms", self.batch_ms, 0, 10_000),
            ("flush_rows", self.flush_rows as u64, 1, MANY),
            ("flush_seconds", self.flush_seconds, 1, 7 * 86_400),
            ("max_hot_rows", self.max_hot_rows as u64, 1, MANY),
            ("flush_bytes", self.flush_bytes, 1, 1 << 40),
            ("max_hot_bytes", self.max_hot_bytes, 1, 1 << 40),
            ("compact_files", self.compact_files as u64, 1, 1 << 16),
            ("compact_rows", self.compact_rows, 1, MANY),
            ("compact_input_rows", self.compact_input_rows, 1, 1 << 40),
            ("tombstone_seconds", self.tombstone_seconds, 0, 366 * 86_400),
            ("retention_days", self.retention_days.into(), 0, 366_000),
            ("queue_deliveries", self.queue_deliveries as u64, 1, 1 << 20),
            ("feed_commits", self.feed_commits as u64, 1, 1 << 20),
            (
                "journal_segment_bytes",
                self.journal_segment_bytes,
                1,
                1 << 36,
            ),
            (
                "max_payload_bytes",
                self.max_payload_bytes as u64,
                2,
                256 << 20,
            ),
            (
                "max_metrics_per_message",
                self.max_metrics_per_message as u64,
                1,
                1 << 20,
            ),
            // With those of a batch that is nearly full they must keep within 20 bits.
            (
                "max_rows_per_message",
                self.max_rows_per_message as u64,
                1,
                1 << 19,
            ),
            (
                "max_metrics_per_table",
                self.max_metrics_per_table as u64,
                1,
                1 << 16,
            ),
            ("max_tables", self.max_tables as u64, 1, 1 << 16),
            ("max_assets", self.max_assets as u64, 1, 1 << 24),
            ("lead_seconds", self.lead_seconds, 0, 366 * 86_400),
            (
                "quarantine_entries",
                self.quarantine_entries as u64,
                1,
                1 << 24,
            ),
            ("quarantine_bytes", self.quarantine_bytes, 1, 1 << 40),
            ("topic_cache", self.topic_cache as u64, 1, 1 << 24),
            ("sparkplug_nodes", self.sparkplug_nodes as u64, 1, 1 << 20),
            (
                "sparkplug_metrics",
                self.sparkplug_metrics as u64,
                1,
                1 << 24,
            ),
            (
                "sparkplug_rebirth_seconds",
                self.sparkplug_rebirth_seconds,
                0,
                86_400,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_readable_and_right() {
        let config = IngestConfig::default();
        assert_eq!(config.validate(), Vec::new());
        assert_eq!(config.filters(), ["fieldwright/+/+", "influx/#"]);
        assert_eq!(config.lead_seconds, 600);
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let text = DEFAULT_TOML.replace("batch_ms", "batch_msec");
        let said = IngestConfig::from_toml(&text).unwrap_err().to_string();
        assert!(said.contains("batch_msec"), "{said}");
    }

    #[test]
    fn all_mistakes_are_listed_at_once() {
        let mut config = IngestConfig {
            batch_rows: 0,
            max_hot_rows: 1,
            max_hot_bytes: 7,
            ..IngestConfig::default()
        };
        let rule = |topic: &str, class: Option<&str>, asset: Option<&str>| MappingRule {
            topic: topic.into(),
            class: class.map(Into::into),
            asset: asset.map(Into::into),
            ..MappingRule::default()
        };
        let mut renaming = rule("a/{class}/{asset}", None, None);
        renaming.rename.insert("t".into(), "time".into());
        config.rules = vec![
            rule("a/#/b", Some("pump"), Some("p1")),
            rule("a/{class}/x", Some("pump"), None),
            rule("a/+", Some("work_orders"), Some("p/1")),
            renaming,
        ];
        let said: Vec<String> = config.validate().iter().map(ToString::to_string).collect();
        let expected = [
            "ingest.batch_rows is 0",
            "ingest.max_hot_rows is 1",
            "ingest.max_hot_bytes is 7",
            "ingest.rules[0].topic \"a/#/b\" is not a pattern",
            "ingest.rules[1] names its class 2 times",
            "ingest.rules[1] names its asset 0 times",
            "ingest.rules[2].class \"work_orders\" is refused",
            "ingest.rules[2].asset \"p/1\" is refused",
            "ingest.rules[3].rename \"time\" is refused",
        ];
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (line, start) in said.iter().zip(expected) {
            assert!(line.starts_with(start), "{line} should start with {start}");
        }
    }
}
