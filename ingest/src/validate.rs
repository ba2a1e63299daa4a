//! What a reading must be, and the ranked reasons for which a message is refused whole.

use crate::lake::is_rollup;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest class name.
pub const MAX_CLASS_BYTES: usize = 63;
/// Longest asset tag, characters.
pub const MAX_ASSET_CHARS: usize = 128;
/// Longest metric name, characters.
pub const MAX_METRIC_CHARS: usize = 128;
/// Longest text value.
pub const MAX_TEXT_BYTES: usize = 32 * 1024;
/// Endings of side columns, so no metric can have them.
pub const SIDE_ENDINGS: [&str; 4] = ["__text", "__number", "__quality", "__double"];
/// The first instant that a device with a clock can mean, microseconds since 1970.
pub const FIRST_INSTANT: i64 = 631_152_000_000_000;

/// Names that are SQL tables of their own, so no class can have them.
pub const RESERVED_CLASSES: &[&str] = &[
    "readings",
    "accounts",
    "alarm_events",
    "alarm_history",
    "alarms",
    "applications",
    "assets",
    "audit",
    "bookings",
    "case_alarms",
    "cases",
    "counters",
    "detector_performance",
    "evidence_packs",
    "failure_modes",
    "idempotency_keys",
    "incident_types",
    "information_schema",
    "invoice_lines",
    "invoices",
    "journal_entries",
    "journal_lines",
    "ledger_accounts",
    "limit_proposals",
    "models",
    "outbox",
    "price_list",
    "quarantine",
    "receipts",
    "resources",
    "sites",
    "skills",
    "suppressed_occurrences",
    "suppressions",
    "tax_rates",
    "work_lines",
    "work_orders",
];

/// Columns that every table has, so no metric can have their names.
pub const RESERVED_METRICS: &[&str] = &[
    crate::snapshot::ASSET,
    crate::snapshot::TIME,
    crate::snapshot::RECEIVED_AT,
    crate::snapshot::SEQUENCE,
];

/// Why a message is in the quarantine: the first of these that applies.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Rejection {
    /// No mapping rule matches.
    #[error("no mapping rule matches this topic; add one under ingest.rules")]
    UnknownTopic,
    /// More bytes than allowed.
    #[error("the payload has {bytes} bytes, more than max_payload_bytes ({most})")]
    PayloadTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// Not a legal class.
    #[error("the class \"{class}\" must begin with a letter and have at most 63 of a-z 0-9 _ -")]
    BadClass {
        /// The name.
        class: String,
    },
    /// The name of an operational table.
    #[error("the class \"{class}\" is the name of a table of the service; use another")]
    ReservedClass {
        /// The name.
        class: String,
    },
    /// Not a legal asset tag.
    #[error("the asset tag must have 1 to 128 characters, none of them a control character, / + #")]
    BadAsset,
    /// Not what the codec reads.
    #[error("the payload cannot be read: {detail}")]
    Malformed {
        /// What is wrong and where.
        detail: String,
    },
    /// Neither topic nor payload says the class.
    #[error("neither the topic nor the payload says the class; the mapping rule may")]
    NoClass,
    /// Neither topic nor payload says the asset.
    #[error(
        "neither the topic nor the payload says the asset; name its place in the mapping rule \
         (asset, or line_protocol.asset_tag)"
    )]
    NoAsset,
    /// No event time.
    #[error("the payload has no \"time\"")]
    NoTime,
    /// An event time that cannot be read.
    #[error(
        "the time must be an RFC 3339 text with an offset, or a number since 1970 in the \
         rule's time_unit (milliseconds in JSON)"
    )]
    BadTime,
    /// Nothing measured.
    #[error("the payload has no metric")]
    NoMetrics,
    /// Too many rows in one message.
    #[error("the payload has more rows than max_rows_per_message ({most}); send it in parts")]
    TooManyRows {
        /// The limit.
        most: usize,
    },
    /// Too many metrics in one row.
    #[error("a row has more metrics than max_metrics_per_message ({most})")]
    TooManyMetrics {
        /// The limit.
        most: usize,
    },
    /// Not a legal metric name.
    #[error("a metric name must have 1 to 128 characters and no control character")]
    BadMetric,
    /// The name of a column that every table has.
    #[error(
        "the metric \"{metric}\" has the name of a column of every table or the ending of a side \
         column; rename it in the mapping rule"
    )]
    ReservedMetric {
        /// The name.
        metric: String,
    },
    /// One metric with two values.
    #[error("the metric \"{metric}\" stands twice")]
    MetricTwice {
        /// The name.
        metric: String,
    },
    /// A value that is neither a number nor a text.
    #[error("the metric \"{metric}\" is neither a number nor a text")]
    NotANumber {
        /// The name.
        metric: String,
    },
    /// Of a datatype that has no place in a table.
    #[error(
        "the metric \"{metric}\" is of the type {datatype}, which has no place in a table; publish \
         its parts as metrics of their own"
    )]
    UnsupportedType {
        /// The name.
        metric: String,
        /// The datatype as Sparkplug names it.
        datatype: String,
    },
    /// A Sparkplug message that its session does not explain.
    #[error("the Sparkplug session does not explain this message: {detail}")]
    SparkplugSession {
        /// What is missing.
        detail: String,
    },
    /// A text beyond [`MAX_TEXT_BYTES`].
    #[error("the text of the metric \"{metric}\" has more than {most} bytes")]
    TextTooLong {
        /// The name.
        metric: String,
        /// The limit.
        most: usize,
    },
    /// NaN or infinite.
    #[error("the metric \"{metric}\" is not finite")]
    NotFinite {
        /// The name.
        metric: String,
    },
    /// From a device without a clock.
    #[error("the time {time} is before 1990: the device has no clock")]
    #[serde(rename = "before_1990")]
    Before1990 {
        /// The event time, RFC 3339.
        time: String,
    },
    /// In the future.
    #[error("the time {time} is more than {lead_seconds} s ahead of its receipt")]
    TooFarAhead {
        /// The event time, RFC 3339.
        time: String,
        /// The limit.
        lead_seconds: u64,
    },
    /// A known tag under a second class.
    #[error(
        "the asset \"{asset}\" belongs to the class \"{known}\", not to \"{class}\": a tag is \
         unique; correct the class in the topic, or give one of the two devices another tag"
    )]
    AssetOfAnotherClass {
        /// The tag.
        asset: String,
        /// The class of this message, lower case.
        class: String,
        /// The class under which the tag was first seen, lower case.
        known: String,
    },
    /// One class too many.
    #[error("a new table would exceed max_tables ({most})")]
    TooManyTables {
        /// The limit.
        most: usize,
    },
    /// One asset too many.
    #[error("a new asset would exceed max_assets ({most})")]
    TooManyAssets {
        /// The limit.
        most: usize,
    },
    /// One column too many.
    #[error("new metrics would exceed max_metrics_per_table ({most})")]
    TooManyColumns {
        /// The limit.
        most: usize,
    },
    /// One of the above, in one line of many: its name and its rank are that reason's.
    #[error("line {line}: {of}")]
    InLine {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        of: Box<Rejection>,
    },
}

/// Names of all reasons in order of precedence, as counters and files spell them.
pub const REASONS: [&str; 27] = [
    "unknown_topic",
    "payload_too_large",
    "bad_class",
    "reserved_class",
    "bad_asset",
    "malformed",
    "no_class",
    "no_asset",
    "no_time",
    "bad_time",
    "no_metrics",
    "too_many_rows",
    "too_many_metrics",
    "bad_metric",
    "reserved_metric",
    "metric_twice",
    "not_a_number",
    "unsupported_type",
    "sparkplug_session",
    "text_too_long",
    "not_finite",
    "before_1990",
    "too_far_ahead",
    "asset_of_another_class",
    "too_many_tables",
    "too_many_assets",
    "too_many_columns",
];

impl Rejection {
    /// Its place in the order of precedence, from 0: the lower one is reported.
    pub fn rank(&self) -> usize {
        match self {
            Self::UnknownTopic => 0,
            Self::PayloadTooLarge { .. } => 1,
            Self::BadClass { .. } => 2,
            Self::ReservedClass { .. } => 3,
            Self::BadAsset => 4,
            Self::Malformed { .. } => 5,
            Self::NoClass => 6,
            Self::NoAsset => 7,
            Self::NoTime => 8,
            Self::BadTime => 9,
            Self::NoMetrics => 10,
            Self::TooManyRows { .. } => 11,
            Self::TooManyMetrics { .. } => 12,
            Self::BadMetric => 13,
            Self::ReservedMetric { .. } => 14,
            Self::MetricTwice { .. } => 15,
            Self::NotANumber { .. } => 16,
            Self::UnsupportedType { .. } => 17,
            Self::SparkplugSession { .. } => 18,
            Self::TextTooLong { .. } => 19,
            Self::NotFinite { .. } => 20,
            Self::Before1990 { .. } => 21,
            Self::TooFarAhead { .. } => 22,
            Self::AssetOfAnotherClass { .. } => 23,
            Self::TooManyTables { .. } => 24,
            Self::TooManyAssets { .. } => 25,
            Self::TooManyColumns { .. } => 26,
            Self::InLine { of, .. } => of.rank(),
        }
    }

    /// Its name, as counters and files spell it.
    pub fn name(&self) -> &'static str {
        REASONS[self.rank()]
    }
}

/// The class as tables spell it: lower case.
///
/// **Errors**: [`Rejection::BadClass`], [`Rejection::ReservedClass`].
pub fn class_name(published: &str) -> Result<String, Rejection> {
    let class = published.to_ascii_lowercase();
    let legal = class.len() <= MAX_CLASS_BYTES
        && class.starts_with(|first: char| first.is_ascii_lowercase())
        && class
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if !legal {
        // The name is a stranger's: it is quoted no longer than a legal one could be.
        let class = published.chars().take(MAX_CLASS_BYTES).collect();
        return Err(Rejection::BadClass { class });
    }
    // A roll-up has such a name.
    if RESERVED_CLASSES.contains(&class.as_str()) || is_rollup(&class) {
        return Err(Rejection::ReservedClass { class });
    }
    Ok(class)
}

/// The asset's tag, unchanged.
///
/// **Errors**: [`Rejection::BadAsset`].
pub fn asset_tag(tag: &str) -> Result<&str, Rejection> {
    let illegal = |c: char| c.is_control() || matches!(c, '/' | '+' | '#');
    if tag.is_empty() || tag.contains(illegal) || tag.chars().count() > MAX_ASSET_CHARS {
        return Err(Rejection::BadAsset);
    }
    Ok(tag)
}

/// The metric's name, unchanged.
///
/// **Errors**: [`Rejection::BadMetric`], [`Rejection::ReservedMetric`].
pub fn metric_name(name: &str) -> Result<&str, Rejection> {
    if name.is_empty() || name.contains(char::is_control) || name.chars().count() > MAX_METRIC_CHARS
    {
        return Err(Rejection::BadMetric);
    }
    let side = SIDE_ENDINGS.iter().any(|ending| name.ends_with(ending));
    if RESERVED_METRICS.contains(&name) || side {
        return Err(Rejection::ReservedMetric {
            metric: name.to_owned(),
        });
    }
    Ok(name)
}

/// Checks an event time against its receipt, both in microseconds since 1970.
///
/// **Errors**: [`Rejection::Before1990`], [`Rejection::TooFarAhead`].
pub fn event_time(time: i64, received_at: i64, lead_seconds: u64) -> Result<(), Rejection> {
    if time < FIRST_INSTANT {
        return Err(Rejection::Before1990 { time: shown(time) });
    }
    let lead = i64::try_from(lead_seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000);
    if time > received_at.saturating_add(lead) {
        return Err(Rejection::TooFarAhead {
            time: shown(time),
            lead_seconds,
        });
    }
    Ok(())
}

fn shown(micros: i64) -> String {
    DateTime::<Utc>::UNIX_EPOCH
        .checked_add_signed(TimeDelta::microseconds(micros))
        .map_or_else(
            || format!("{micros} µs"),
            |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_names_are_one_list() {
        let all = [
            Rejection::UnknownTopic,
            Rejection::PayloadTooLarge { bytes: 2, most: 1 },
            Rejection::BadClass { class: "9".into() },
            Rejection::ReservedClass {
                class: "alarms".into(),
            },
            Rejection::BadAsset,
            Rejection::Malformed { detail: "x".into() },
            Rejection::NoClass,
            Rejection::NoAsset,
            Rejection::NoTime,
            Rejection::BadTime,
            Rejection::NoMetrics,
            Rejection::TooManyRows { most: 1 },
            Rejection::TooManyMetrics { most: 1 },
            Rejection::BadMetric,
            Rejection::ReservedMetric {
                metric: "time".into(),
            },
            Rejection::MetricTwice { metric: "a".into() },
            Rejection::NotANumber { metric: "a".into() },
            Rejection::UnsupportedType {
                metric: "a".into(),
                datatype: "Template".into(),
            },
            Rejection::SparkplugSession { detail: "x".into() },
            Rejection::TextTooLong {
                metric: "a".into(),
                most: 1,
            },
            Rejection::NotFinite { metric: "a".into() },
            Rejection::Before1990 {
                time: String::new(),
            },
            Rejection::TooFarAhead {
                time: String::new(),
                lead_seconds: 600,
            },
            Rejection::AssetOfAnotherClass {
                asset: "P1".into(),
                class: "pmup".into(),
                known: "pump".into(),
            },
            Rejection::TooManyTables { most: 1 },
            Rejection::TooManyAssets { most: 1 },
            Rejection::TooManyColumns { most: 1 },
        ];
        assert_eq!(all.len(), REASONS.len());
        for (rank, rejection) in all.iter().enumerate() {
            assert_eq!(rejection.rank(), rank);
            let written = serde_json::to_value(rejection).unwrap();
            assert_eq!(written["reason"], rejection.name());
            assert_eq!(
                &serde_json::from_value::<Rejection>(written).unwrap(),
                rejection
            );
        }
    }

    #[test]
    fn a_line_changes_neither_rank_nor_name() {
        let refusal = Rejection::InLine {
            line: 2,
            of: Box::new(Rejection::NoAsset),
        };
        assert_eq!(
            (refusal.rank(), refusal.name()),
            (Rejection::NoAsset.rank(), "no_asset")
        );
        let written = serde_json::to_vec(&refusal).unwrap();
        assert_eq!(
            serde_json::from_slice::<Rejection>(&written).unwrap(),
            refusal
        );
    }

    #[test]
    fn names() {
        let long = "x".repeat(129);
        let cases: [(bool, &str); 17] = [
            (
                class_name("Pump-2_b").as_deref() == Ok("pump-2_b"),
                "upper case is lowered",
            ),
            (class_name("").is_err(), "empty class"),
            (class_name("2pump").is_err(), "class begins with a digit"),
            (class_name("pümp").is_err(), "class outside ASCII"),
            (class_name(&"x".repeat(63)).is_ok(), "longest class"),
            (class_name(&"x".repeat(64)).is_err(), "class too long"),
            (class_name("Readings").is_err(), "reserved in any case"),
            (class_name("work_lines").is_err(), "an operational table"),
            (
                asset_tag("Pumpe 7 (Süd)").is_ok(),
                "asset keeps spaces and letters",
            ),
            (asset_tag("a+b").is_err(), "asset with a wildcard"),
            (asset_tag("a\nb").is_err(), "asset with a control character"),
            (asset_tag(&long).is_err(), "asset too long"),
            (
                metric_name("Temperature °C/outlet").is_ok(),
                "metric keeps everything",
            ),
            (
                metric_name("received_at").is_err(),
                "metric named as a column",
            ),
            (metric_name(&long).is_err(), "metric too long"),
            (metric_name("").is_err(), "empty metric"),
            (metric_name("a__text").is_err(), "the name of a side column"),
        ];
        for (holds, what) in cases {
            assert!(holds, "{what}");
        }
    }

    #[test]
    fn times() {
        let now = FIRST_INSTANT + 1_000_000_000;
        let check = |time: i64, expected: Option<&str>| {
            let found = event_time(time, now, 600).err().map(|r| r.name());
            assert_eq!(found, expected, "{time}");
        };
        check(FIRST_INSTANT, None);
        check(FIRST_INSTANT - 1, Some("before_1990"));
        check(0, Some("before_1990"));
        check(i64::MIN, Some("before_1990"));
        check(now + 600_000_000, None);
        check(now + 600_000_001, Some("too_far_ahead"));
        check(i64::MAX, Some("too_far_ahead"));
    }
}
