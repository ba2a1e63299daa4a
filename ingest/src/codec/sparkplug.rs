//! Sparkplug B 3.0: births declare metrics and their aliases, data names them by alias.
//!
//! A message moves its node's session (`sessions`) whether its readings are taken or not; then its
//! metrics become samples under the names of the birth. What cannot be stored refuses the message
//! whole, with the reason.

pub(crate) mod address;
#[cfg(test)]
mod door_tests;
mod host;
mod naming;
#[cfg(test)]
mod pipeline_tests;
pub(crate) mod rebirth;
pub(crate) mod sessions;
#[cfg(test)]
mod tests;
mod value;
pub(crate) mod wire;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use prost::Message;

pub use self::host::host_state;

use self::address::{Address, Kind, Spoken};
use self::naming::Naming;
use self::rebirth::NodeId;
use self::sessions::{Birth, Bounds, Followed, Sessions};
use self::value::{Trust, Unreadable, Value};
use self::wire::{Metric, Payload};
use super::{Codec, Message as Received};
use crate::config::{DecodeRules, MappingRule};
use crate::decode::{Quality, Sink, Value as Sample};
use crate::validate::Rejection;

/// The metric that joins a birth and its death; no reading.
const BD_SEQ: &str = "bdSeq";
/// Metrics that are switches for the host; no readings.
const CONTROLS: [&str; 2] = ["Node Control/", "Device Control/"];
/// The sender of what is not for us.
const NOBODY: Address<'static> = Address {
    group: "",
    node: "",
    device: None,
    kind: Kind::NodeDeath,
};
/// What the payload of a compressed message calls itself.
const COMPRESSED: &str = "SPBV1.0_COMPRESSED";

/// One codec's share of the sessions: the topics of one node may match several rules.
pub(crate) type SharedSparkplug = Arc<Mutex<Sparkplug>>;

/// Sparkplug messages under one rule.
#[derive(Debug)]
struct OfRule {
    sparkplug: SharedSparkplug,
    naming: Naming,
}

/// The codec of a rule.
pub(super) fn codec(rule: &MappingRule, sparkplug: &SharedSparkplug) -> Box<dyn Codec> {
    Box::new(OfRule {
        sparkplug: sparkplug.clone(),
        naming: Naming::of(rule),
    })
}

impl Codec for OfRule {
    fn decode(&mut self, message: &Received<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let topic = std::str::from_utf8(message.topic).map_err(|_| Rejection::UnknownTopic)?;
        let mut sparkplug = self.sparkplug.lock().expect("no holder panics");
        let naming = &self.naming;
        sparkplug.read(topic, message.payload, |address, readings| {
            if readings.is_empty() {
                sink.nothing();
                return Ok(());
            }
            let (class, asset) = naming.name(address);
            let series = sink.series_named(Some(&class), Some(&asset))?;
            for row in readings.chunk_by(|one, next| one.time == next.time) {
                sink.begin(series);
                for reading in row {
                    let value = match &reading.value {
                        Some(Value::Number(number)) => Sample::Number(*number),
                        Some(Value::Text(text)) => Sample::Text(text),
                        None => Sample::Absent,
                    };
                    let quality = match reading.trust {
                        Trust::Good => Quality::Good,
                        Trust::Uncertain => Quality::Uncertain,
                        Trust::Bad => Quality::Bad,
                    };
                    sink.sample(reading.metric, value, quality);
                    if let Some(unit) = reading.unit {
                        sink.unit(reading.metric, unit);
                    }
                }
                sink.end(row[0].time)?;
            }
            Ok(())
        })
    }
}

/// The sessions, and which nodes should be asked for a rebirth.
#[derive(Debug, Clone)]
pub(crate) struct Sparkplug {
    sessions: Sessions,
    bounds: Bounds,
    rebirths: BTreeSet<NodeId>,
}

/// One metric of a message, as it can be stored.
#[derive(Debug, PartialEq)]
pub(crate) struct Reading<'m> {
    /// **Units** microseconds since 1970.
    pub time: i64,
    pub metric: &'m str,
    /// None for one that has no value.
    pub value: Option<Value>,
    pub trust: Trust,
    pub unit: Option<&'m str>,
}

impl Sparkplug {
    /// No sessions yet, under the bounds of the rules.
    pub(crate) fn of(rules: &DecodeRules) -> Self {
        Self::new(Bounds {
            nodes: rules.sparkplug_nodes,
            metrics: rules.sparkplug_metrics,
        })
    }

    fn new(bounds: Bounds) -> Self {
        Self {
            sessions: Sessions::default(),
            bounds,
            rebirths: BTreeSet::new(),
        }
    }

    /// The sessions after the last message.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Goes on from sessions that were kept.
    pub(crate) fn restore(&mut self, sessions: Sessions) {
        self.sessions = sessions;
    }

    /// The nodes to ask for a rebirth since the last call.
    pub(crate) fn take_rebirths(&mut self) -> BTreeSet<NodeId> {
        std::mem::take(&mut self.rebirths)
    }

    /// Reads a message; `put` gets its readings in order of time. A death has none, nor has a
    /// command or the state of a host, which have no sender.
    ///
    /// **Errors**: the message cannot be read or stored. Its session has moved all the same,
    /// unless the payload is no Sparkplug at all.
    pub(crate) fn read(
        &mut self,
        topic: &str,
        payload: &[u8],
        put: impl FnOnce(&Address<'_>, &[Reading<'_>]) -> Result<(), Rejection>,
    ) -> Result<(), Rejection> {
        let address = match address::read(topic) {
            Spoken::Message(address) => address,
            Spoken::NotForUs => return put(&NOBODY, &[]),
            Spoken::Unknown(detail) => return Err(malformed(detail.to_owned())),
        };
        let payload = Payload::decode(payload)
            .map_err(|error| malformed(format!("no Sparkplug B payload: {error}")))?;
        if payload.uuid.as_deref() == Some(COMPRESSED) {
            return Err(malformed(
                "compressed Sparkplug payloads are not read; publish them uncompressed".to_owned(),
            ));
        }
        let followed = self.sessions.follow(&address, &payload, self.bounds);
        let said = readings(&address, &payload, &followed);
        let confused = matches!(said, Err(Rejection::SparkplugSession { .. })) && !followed.full;
        if confused {
            self.sessions.mark_incomplete(&address.node_key());
        }
        if followed.rebirth || confused {
            self.rebirths
                .insert((address.group.into(), address.node.into()));
        }
        put(&address, &said?)
    }
}

fn readings<'m>(
    address: &Address<'_>,
    payload: &'m Payload,
    followed: &'m Followed,
) -> Result<Vec<Reading<'m>>, Rejection> {
    if followed.full {
        return Err(Rejection::SparkplugSession {
            detail: "there is no room for this birth: raise ingest.sparkplug_nodes or \
                     ingest.sparkplug_metrics, then ask the node for a rebirth"
                .to_owned(),
        });
    }
    if matches!(address.kind, Kind::NodeDeath | Kind::DeviceDeath) {
        return Ok(Vec::new());
    }
    let mut readings = Vec::with_capacity(payload.metrics.len());
    let birth = followed.birth.as_deref();
    for metric in &payload.metrics {
        let (name, declared) = meaning(metric, birth)?;
        if name == BD_SEQ || CONTROLS.iter().any(|control| name.starts_with(control)) {
            continue;
        }
        let millis = metric
            .timestamp
            .or(payload.timestamp)
            .ok_or(Rejection::NoTime)?;
        let properties = metric.properties.as_ref();
        let mut trust = value::trust(properties);
        let mut value = content(metric, name, declared.map(|declared| declared.datatype))?;
        match &value {
            None => trust = Trust::Bad,
            // What a sensor without a value sends beside the word that it has none.
            Some(Value::Number(number)) if !number.is_finite() && trust != Trust::Good => {
                value = None;
                trust = Trust::Bad;
            }
            _ => {}
        }
        readings.push(Reading {
            time: i64::try_from(millis).map_or(i64::MAX, |millis| millis.saturating_mul(1000)),
            metric: name,
            value,
            trust,
            unit: value::unit(properties)
                .or_else(|| declared.and_then(|declared| declared.unit.as_deref())),
        });
    }
    readings.sort_by_key(|reading| reading.time);
    Ok(readings)
}

/// The name of a metric, and how its birth declared it.
fn meaning<'m>(
    metric: &'m Metric,
    birth: Option<&'m Birth>,
) -> Result<(&'m str, Option<&'m sessions::Declared>), Rejection> {
    if let Some(name) = metric.name.as_deref().filter(|name| !name.is_empty()) {
        return Ok((name, birth.and_then(|birth| birth.metric(name))));
    }
    let Some(alias) = metric.alias else {
        return Err(malformed(
            "a metric has neither a name nor an alias".to_owned(),
        ));
    };
    let name = birth.and_then(|birth| birth.name(alias));
    let Some(name) = name else {
        return Err(Rejection::SparkplugSession {
            detail: format!("no birth declares the alias {alias}; the node is asked for a rebirth"),
        });
    };
    let declared = birth.and_then(|birth| birth.metric(name));
    let born = declared.map_or(0, |declared| declared.datatype);
    // Another type under a known alias: a birth was missed, and the alias means something else.
    if born != 0 && metric.datatype.is_some_and(|now| now != 0 && now != born) {
        return Err(Rejection::SparkplugSession {
            detail: format!(
                "the alias {alias} has another datatype than its birth declared; the node is \
                 asked for a rebirth"
            ),
        });
    }
    Ok((name, declared))
}

/// The value of a metric; none for one that is null.
fn content(metric: &Metric, name: &str, born: Option<u32>) -> Result<Option<Value>, Rejection> {
    let shown = || {
        name.chars()
            .take(crate::validate::MAX_METRIC_CHARS)
            .collect::<String>()
    };
    let datatype = metric.datatype.filter(|datatype| *datatype != 0);
    let datatype = datatype.or(born.filter(|datatype| *datatype != 0));
    let unsupported = |datatype: &str| Rejection::UnsupportedType {
        metric: shown(),
        datatype: datatype.to_owned(),
    };
    if let Some(name) = datatype.and_then(value::unsupported) {
        return Err(unsupported(name));
    }
    let Some(value) = metric.value.as_ref() else {
        // A null may come without its mark: there is no value either way.
        return Ok(None);
    };
    if metric.is_null == Some(true) {
        return Ok(None);
    }
    value::read(datatype, value)
        .map(Some)
        .map_err(|unreadable| match unreadable {
            Unreadable::Unsupported(datatype) => unsupported(datatype),
            Unreadable::WrongField => malformed(format!(
                "the value of the metric \"{}\" is not of its datatype",
                shown()
            )),
            Unreadable::OutOfRange => malformed(format!(
                "the value of the metric \"{}\" is outside its datatype",
                shown()
            )),
            Unreadable::NoDatatype => Rejection::SparkplugSession {
                detail: format!(
                    "neither the message nor a birth gives the datatype of the metric \"{}\"; the \
                 node is asked for a rebirth",
                    shown()
                ),
            },
        })
}

fn malformed(detail: String) -> Rejection {
    Rejection::Malformed { detail }
}
