//! Mapping rules: which topics are readings, how their payloads are written, and what of.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ConfigMistake;
use super::payload::{
    CsvColumns, JsonShape, LineTags, QualityWords, SparkplugNames, TimeSource, TimeUnit,
};
use crate::topic::Pattern;
use crate::units::Conversion;
use crate::validate;

/// What the messages of a topic pattern are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappingRule {
    /// Levels: fixed text, `+`, `{class}`, `{asset}`, `{precision}`; the last may be `#`.
    pub topic: String,
    /// The class (and table) where neither topic nor payload has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The asset where neither topic nor payload has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    /// How payloads are written.
    #[serde(default)]
    pub codec: CodecName,
    /// Published metric name → stored metric name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// Published metric names that are not stored.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ignore: BTreeSet<String>,
    /// Stored metric name → unit, or from which unit to which.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub units: BTreeMap<String, MetricUnit>,
    /// Whether its class may hold assets that belong to another class, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared_assets: bool,
    /// What a time without a name of its unit counts; the codec has a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_unit: Option<TimeUnit>,
    /// Where the event time comes from; the codec has a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_source: Option<TimeSource>,
    /// Which published words mean which quality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualityWords>,
    /// Where things stand in a JSON payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<JsonShape>,
    /// Class, asset and tags of line protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_protocol: Option<LineTags>,
    /// The columns of CSV lines and of Arrow batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<CsvColumns>,
    /// Classes and assets of Sparkplug nodes and devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparkplug: Option<SparkplugNames>,
}

/// The topic under which bodies of `POST /api/v1/readings` enter.
pub const READINGS_TOPIC: &str = "$write/v1/readings";

/// How payloads are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodecName {
    /// `{"time": …, "metrics": {"name": value, …}}`, or what `json` says.
    #[default]
    Json,
    /// `measurement,tag=value field=value timestamp`
    LineProtocol,
    /// Comma-separated lines.
    Csv,
    /// An Arrow IPC stream.
    ArrowIpc,
    /// Sparkplug B 3.0.
    SparkplugB,
}

/// The unit of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MetricUnit {
    /// Published and stored in this unit.
    Stored(String),
    /// Converted on arrival.
    Converted(ConvertedUnit),
}

/// From one unit to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvertedUnit {
    /// The unit in which the device publishes.
    pub published: String,
    /// The unit in which it is stored.
    pub stored: String,
}

impl MetricUnit {
    /// The stored unit.
    pub fn stored(&self) -> &str {
        match self {
            Self::Stored(unit) => unit,
            Self::Converted(units) => &units.stored,
        }
    }
}

impl From<&str> for MetricUnit {
    fn from(unit: &str) -> Self {
        Self::Stored(unit.to_owned())
    }
}

impl MappingRule {
    /// The rule for bodies of `POST /api/v2/write`: the topic is
    /// `$write/v2/PRECISION/BUCKET`. It stands behind the rules of the configuration.
    pub fn write_door() -> Self {
        Self {
            topic: "$write/v2/{precision}/#".to_owned(),
            codec: CodecName::LineProtocol,
            shared_assets: true,
            ..Self::default()
        }
    }

    /// The topic under which [`Self::write_door`] takes a body.
    pub fn write_topic(unit: TimeUnit, bucket: &str) -> String {
        format!("$write/v2/{}/{bucket}", unit.name())
    }

    /// The rule for bodies of `POST /api/v1/readings`. It stands behind the rules of the
    /// configuration.
    pub fn readings_door() -> Self {
        Self {
            topic: READINGS_TOPIC.to_owned(),
            json: Some(JsonShape {
                samples: "/samples".to_owned(),
                class: Some("/class".to_owned()),
                asset: Some("/asset".to_owned()),
                quality: Some("/quality".to_owned()),
                ..JsonShape::default()
            }),
            ..Self::default()
        }
    }

    /// Where the event time comes from.
    pub(crate) fn time_source(&self) -> TimeSource {
        self.time_source.unwrap_or(match self.codec {
            CodecName::LineProtocol => TimeSource::PayloadOrReceipt,
            _ => TimeSource::Payload,
        })
    }

    /// What a bare number as time counts.
    pub(crate) fn time_unit(&self) -> TimeUnit {
        self.time_unit.unwrap_or(match self.codec {
            CodecName::LineProtocol => TimeUnit::Ns,
            _ => TimeUnit::Ms,
        })
    }

    /// Whether the payload may say the class, and whether the asset.
    fn payload_says(&self) -> (bool, bool) {
        let json = self.json.as_ref();
        let columns = self.columns.as_ref();
        match self.codec {
            CodecName::Json => (
                json.is_some_and(|shape| shape.class.is_some()),
                json.is_some_and(|shape| shape.asset.is_some()),
            ),
            CodecName::LineProtocol | CodecName::SparkplugB => (true, true),
            CodecName::Csv | CodecName::ArrowIpc => (
                columns.is_some_and(|columns| columns.class.is_some()),
                columns.is_none_or(|columns| columns.asset.is_some()),
            ),
        }
    }

    pub(super) fn validate(&self, rule: usize, mistakes: &mut Vec<ConfigMistake>) {
        match Pattern::compile(&self.topic) {
            Err(detail) => mistakes.push(ConfigMistake::BadPattern {
                rule,
                topic: self.topic.clone(),
                detail,
            }),
            Ok(pattern) => {
                let (class, asset) = (self.class.is_some(), self.asset.is_some());
                let (class_inside, asset_inside) = self.payload_says();
                let sides = [
                    (
                        "class",
                        pattern.classes() + usize::from(class),
                        class_inside,
                    ),
                    ("asset", pattern.assets() + usize::from(asset), asset_inside),
                ];
                for (what, times, inside) in sides {
                    if times > 1 || (times == 0 && !inside) {
                        mistakes.push(ConfigMistake::NotOnce { rule, what, times });
                    }
                }
            }
        }
        self.validate_names(rule, mistakes);
        for (metric, unit) in &self.units {
            if let MetricUnit::Converted(units) = unit
                && let Err(detail) = Conversion::between(&units.published, &units.stored)
            {
                mistakes.push(ConfigMistake::BadUnit {
                    rule,
                    metric: metric.clone(),
                    detail,
                });
            }
        }
        let mut option = |field: &'static str, detail: Option<String>| {
            if let Some(detail) = detail {
                mistakes.push(ConfigMistake::BadOption {
                    rule,
                    field,
                    detail,
                });
            }
        };
        option("json", self.json.as_ref().and_then(JsonShape::mistake));
        option(
            "columns",
            self.columns.as_ref().and_then(CsvColumns::mistake),
        );
        let unused = |name: &str, set: bool| set.then(|| format!("it is for codec = \"{name}\""));
        if self.codec != CodecName::Json {
            option("json", unused("json", self.json.is_some()));
        }
        if self.codec != CodecName::LineProtocol {
            option(
                "line_protocol",
                unused("line_protocol", self.line_protocol.is_some()),
            );
        }
        if !matches!(self.codec, CodecName::Csv | CodecName::ArrowIpc) {
            option("columns", unused("csv", self.columns.is_some()));
        }
        if self.codec != CodecName::SparkplugB {
            option("sparkplug", unused("sparkplug_b", self.sparkplug.is_some()));
        } else if self.asset.is_some() {
            let detail =
                "every node and device would be this one; name them under sparkplug.assets";
            option("asset", Some(detail.to_owned()));
        }
    }

    fn validate_names(&self, rule: usize, mistakes: &mut Vec<ConfigMistake>) {
        let mut name = |field, value: &str, refusal: Option<validate::Rejection>| {
            if let Some(detail) = refusal {
                let value = value.to_owned();
                mistakes.push(ConfigMistake::BadName {
                    rule,
                    field,
                    value,
                    detail,
                });
            }
        };
        if let Some(class) = &self.class {
            name("class", class, validate::class_name(class).err());
        }
        if let Some(asset) = &self.asset {
            name("asset", asset, validate::asset_tag(asset).err());
        }
        for stored in self.rename.values() {
            name("rename", stored, validate::metric_name(stored).err());
        }
        for stored in self.units.keys() {
            name("units", stored, validate::metric_name(stored).err());
        }
        let sparkplug = self.sparkplug.iter();
        for class in sparkplug.clone().flat_map(|names| names.classes.values()) {
            name(
                "sparkplug.classes",
                class,
                validate::class_name(class).err(),
            );
        }
        for asset in sparkplug.flat_map(|names| names.assets.values()) {
            name("sparkplug.assets", asset, validate::asset_tag(asset).err());
        }
        let classes = self
            .line_protocol
            .iter()
            .flat_map(|tags| tags.classes.values());
        for class in classes {
            name(
                "line_protocol.classes",
                class,
                validate::class_name(class).err(),
            );
        }
    }
}
