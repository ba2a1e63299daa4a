//! Where a mapping rule finds things in a payload.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::snapshot::ASSET;

/// What a bare number counts that stands for an instant since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds; what is smaller than a microsecond is cut off.
    Ns,
}

/// Where the event time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeSource {
    /// The payload; without a time it is refused.
    Payload,
    /// The payload, or the receipt where it has no time.
    PayloadOrReceipt,
    /// The receipt, whatever the payload says.
    Receipt,
}

/// What happens to tags that are not the asset's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tags {
    /// Each is a text column.
    #[default]
    Columns,
    /// They are not stored.
    Ignore,
}

/// Words that devices use for the quality of a value. Case does not count; any other is bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QualityWords {
    /// Good.
    pub good: Vec<String>,
    /// Usable with care.
    pub uncertain: Vec<String>,
}

/// Where things stand in a JSON payload, by JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonShape {
    /// The sample or the array of samples; the other pointers begin at one sample. Empty: the
    /// whole payload.
    pub samples: String,
    /// The event time.
    pub time: String,
    /// An object of metrics, or an array of objects with `name` and `value`. Empty: the sample
    /// itself is flat.
    pub metrics: String,
    /// Metric name → pointer to its value; then `metrics` is read only if it is set.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// The class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The asset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    /// The quality: one word for the sample, or an object of words by metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    /// The metric's name where every sample is one metric, its value in the member `value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Member with the name where `metrics` is an array.
    pub name: String,
    /// Member with the value where a metric is an object.
    pub value: String,
}

/// Class, asset and tags of line protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LineTags {
    /// Tags that may name the asset: the first of these that a line has.
    pub asset_tag: Vec<String>,
    /// Measurement → class, where the measurement is not to be the class's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, String>,
    /// What happens to the other tags.
    pub tags: Tags,
}

/// The columns of CSV lines and of Arrow batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvColumns {
    /// Column names of CSV lines; empty: the first line has them.
    pub names: Vec<String>,
    /// What stands between two cells of CSV.
    pub delimiter: String,
    /// The event time.
    pub time: String,
    /// The class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The asset, where the topic does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    /// The quality of the values of its row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    /// The metric's name, where every line has one metric in `value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// The value of `metric`.
    pub value: String,
}

/// Classes and assets of Sparkplug nodes and devices.
///
/// A node or device is named by those levels of its topic that the rule's pattern leaves open,
/// joined by `:`, such as `plant1:press1:pump`: that is its tag where nothing else is said, and
/// its key in these tables. Its class is `{class}` in the pattern, else what `classes` says, else
/// `class` of the rule, else the group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SparkplugNames {
    /// Key → class.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, String>,
    /// Key → tag of the asset.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub assets: BTreeMap<String, String>,
}

impl Default for QualityWords {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            good: words(&["good", "ok", "192", "0xc0", "true"]),
            uncertain: words(&["uncertain", "questionable", "64", "0x40"]),
        }
    }
}

impl Default for JsonShape {
    fn default() -> Self {
        Self {
            samples: String::new(),
            time: "/time".to_owned(),
            metrics: "/metrics".to_owned(),
            values: BTreeMap::new(),
            class: None,
            asset: None,
            quality: None,
            metric: None,
            name: "name".to_owned(),
            value: "value".to_owned(),
        }
    }
}

impl Default for LineTags {
    fn default() -> Self {
        let tags = ["asset", "name", "host", "device", "id"];
        Self {
            asset_tag: tags.map(str::to_owned).to_vec(),
            classes: BTreeMap::new(),
            tags: Tags::Columns,
        }
    }
}

impl Default for CsvColumns {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            delimiter: ",".to_owned(),
            time: "time".to_owned(),
            class: None,
            asset: Some(ASSET.to_owned()),
            quality: None,
            metric: None,
            value: "value".to_owned(),
        }
    }
}

impl JsonShape {
    /// What is wrong with it.
    pub(super) fn mistake(&self) -> Option<String> {
        let optional = [&self.class, &self.asset, &self.quality, &self.metric];
        let pointers = [&self.samples, &self.time, &self.metrics].into_iter();
        let pointers = pointers.chain(self.values.values());
        let mut pointers = pointers.chain(optional.into_iter().flatten());
        let wrong = pointers.find(|pointer| !pointer.is_empty() && !pointer.starts_with('/'))?;
        Some(format!(
            "\"{wrong}\" is no JSON pointer: it must be empty or begin with /"
        ))
    }
}

impl CsvColumns {
    /// What is wrong with it.
    pub(super) fn mistake(&self) -> Option<String> {
        let plain = self.delimiter.len() == 1 && !matches!(self.delimiter.as_str(), "\"" | "\n");
        if !plain {
            return Some("the delimiter must be one ASCII character other than a quote".to_owned());
        }
        // The asset's column may be missing where the topic names the asset.
        let named = [Some(&self.time), self.class.as_ref()];
        let value = self.metric.as_ref().map(|_| &self.value);
        let others = [self.quality.as_ref(), self.metric.as_ref(), value];
        let mut needed = named.into_iter().chain(others).flatten();
        let declared = !self.names.is_empty();
        let missing = needed.find(|name| declared && !self.names.contains(name))?;
        Some(format!("names has no \"{missing}\""))
    }
}

impl TimeUnit {
    /// Its name: `s`, `ms`, `us` or `ns`.
    pub fn name(self) -> &'static str {
        match self {
            Self::S => "s",
            Self::Ms => "ms",
            Self::Us => "us",
            Self::Ns => "ns",
        }
    }

    /// The unit of a name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "s" => Some(Self::S),
            "ms" => Some(Self::Ms),
            "us" => Some(Self::Us),
            "ns" => Some(Self::Ns),
            _ => None,
        }
    }

    /// Microseconds since 1970 of a count; what is too large saturates.
    pub(crate) fn micros(self, count: i64) -> i64 {
        match self {
            Self::S => count.saturating_mul(1_000_000),
            Self::Ms => count.saturating_mul(1_000),
            Self::Us => count,
            Self::Ns => count.div_euclid(1_000),
        }
    }

    /// The same of a number with a fraction or an exponent; a cast that overflows saturates.
    pub(crate) fn micros_of_fraction(self, count: f64) -> i64 {
        let scale = match self {
            Self::S => 1e6,
            Self::Ms => 1e3,
            Self::Us => 1.0,
            Self::Ns => return (count / 1e3).floor() as i64,
        };
        (count * scale).round() as i64
    }
}
