//! What every node and device has said at its birth, and where the count of its messages stands.
//!
//! It moves with every message that can be read, whether its readings are taken or refused, and
//! depends on nothing else: not on clocks, tables or limits that change. So a replay of the
//! journal ends in the same sessions as the live run; a segment of the journal begins with those
//! that held before its first record.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::address::{Address, Kind};
use super::value;
use super::wire::{Metric, MetricValue, Payload};

/// Parts that are copied one by one when a picture of all is kept.
const SHARDS: usize = 64;

/// The sessions of all nodes. A clone is cheap: it shares what neither side changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions {
    /// Empty before the first birth.
    shards: Vec<Arc<BTreeMap<Box<str>, Node>>>,
    nodes: usize,
    metrics: usize,
}

/// One edge node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Node {
    /// Of its last message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seq: Option<u8>,
    /// Of its birth; the death that belongs to it has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bd_seq: Option<u64>,
    /// Something was missed: it is asked for a rebirth until that comes.
    #[serde(default)]
    incomplete: bool,
    /// The births of its devices; its own under the empty name, which no device has.
    #[serde(serialize_with = "births_out", deserialize_with = "births_in")]
    births: BTreeMap<Box<str>, Arc<Birth>>,
}

/// What a birth declared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Birth {
    metrics: BTreeMap<Box<str>, Declared>,
    aliases: BTreeMap<u64, Box<str>>,
}

/// A metric as its birth declared it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Declared {
    /// 0 when the birth did not say.
    pub datatype: u32,
    /// The engineering unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Box<str>>,
}

/// What keeps the sessions from growing without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Most nodes.
    pub nodes: usize,
    /// Most declared metrics over all nodes.
    pub metrics: usize,
}

/// What a message means for its session.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Followed {
    /// What the sender's metrics mean; none when its birth is unknown.
    pub birth: Option<Arc<Birth>>,
    /// The node should be asked for a rebirth.
    pub rebirth: bool,
    /// The birth has no room: the node goes on without a session.
    pub full: bool,
}

impl Birth {
    /// What a name stands for.
    pub(crate) fn metric(&self, name: &str) -> Option<&Declared> {
        self.metrics.get(name)
    }

    /// The name that an alias stands for.
    pub(crate) fn name(&self, alias: u64) -> Option<&str> {
        self.aliases.get(&alias).map(|name| &**name)
    }

    fn of(metrics: &[Metric]) -> Self {
        let mut birth = Self::default();
        for metric in metrics {
            let Some(name) = metric.name.as_deref().filter(|name| !name.is_empty()) else {
                continue;
            };
            let name: Box<str> = name.into();
            if let Some(alias) = metric.alias {
                birth.aliases.insert(alias, name.clone());
            }
            let declared = Declared {
                datatype: metric.datatype.unwrap_or(0),
                unit: value::unit(metric.properties.as_ref()).map(Into::into),
            };
            birth.metrics.insert(name, declared);
        }
        birth
    }

    fn len(&self) -> usize {
        self.metrics.len()
    }
}

impl Node {
    fn new(seq: Option<u8>, bd_seq: Option<u64>) -> Self {
        Self {
            seq,
            bd_seq,
            incomplete: false,
            births: BTreeMap::new(),
        }
    }

    fn metrics(&self) -> usize {
        self.births.values().map(|birth| birth.len()).sum()
    }

    /// Goes on to the next message; a gap makes the session incomplete.
    fn count(&mut self, seq: Option<u8>) {
        let Some(seq) = seq else { return };
        // The same number again is the same message again.
        let expected = self
            .seq
            .is_none_or(|last| seq == last || seq == last.wrapping_add(1));
        self.incomplete |= !expected;
        self.seq = Some(seq);
    }
}

impl Sessions {
    /// Whether no node is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes == 0
    }

    /// Follows a message of a node or a device.
    pub(crate) fn follow(
        &mut self,
        address: &Address<'_>,
        payload: &Payload,
        bounds: Bounds,
    ) -> Followed {
        let key = address.node_key();
        let seq = payload.seq.map(|seq| (seq & 0xFF) as u8);
        match address.kind {
            Kind::NodeBirth => self.node_birth(&key, seq, payload, bounds),
            Kind::DeviceBirth => self.device_birth(&key, seq, address, payload, bounds),
            Kind::NodeData | Kind::DeviceData => self.data(&key, seq, address.device),
            Kind::NodeDeath => self.node_death(&key, payload),
            Kind::DeviceDeath => self.device_death(&key, seq, address.device),
        }
    }

    fn node_birth(
        &mut self,
        key: &str,
        seq: Option<u8>,
        payload: &Payload,
        bounds: Bounds,
    ) -> Followed {
        let birth = Arc::new(Birth::of(&payload.metrics));
        self.remove(key);
        if self.nodes >= bounds.nodes || self.metrics + birth.len() > bounds.metrics {
            return Followed {
                birth: Some(birth),
                rebirth: false,
                full: true,
            };
        }
        let mut node = Node::new(seq, bd_seq(payload));
        node.births.insert("".into(), birth.clone());
        self.nodes += 1;
        self.metrics += birth.len();
        self.shard(key).insert(key.into(), node);
        Followed {
            birth: Some(birth),
            ..Followed::default()
        }
    }

    fn device_birth(
        &mut self,
        key: &str,
        seq: Option<u8>,
        address: &Address<'_>,
        payload: &Payload,
        bounds: Bounds,
    ) -> Followed {
        let birth = Arc::new(Birth::of(&payload.metrics));
        let device = address.device.unwrap_or_default();
        let known = self.node(key);
        let old = known
            .and_then(|node| node.births.get(device))
            .map_or(0, |old| old.len());
        let new_node = known.is_none();
        let full = (new_node && self.nodes >= bounds.nodes)
            || self.metrics - old + birth.len() > bounds.metrics;
        if full {
            return Followed {
                birth: Some(birth),
                rebirth: false,
                full,
            };
        }
        self.nodes += usize::from(new_node);
        self.metrics = self.metrics - old + birth.len();
        let node = self.shard(key).entry(key.into()).or_insert_with(|| {
            // A device is born of a node whose own birth was missed.
            let mut node = Node::new(None, None);
            node.incomplete = true;
            node
        });
        node.count(seq);
        node.births.insert(device.into(), birth.clone());
        Followed {
            birth: Some(birth),
            rebirth: node.incomplete,
            full: false,
        }
    }

    fn data(&mut self, key: &str, seq: Option<u8>, device: Option<&str>) -> Followed {
        if self.node(key).is_none() {
            return Followed {
                rebirth: true,
                ..Followed::default()
            };
        }
        let Some(node) = self.shard(key).get_mut(key) else {
            return Followed::default();
        };
        node.count(seq);
        let birth = node.births.get(device.unwrap_or_default()).cloned();
        node.incomplete |= birth.is_none();
        Followed {
            rebirth: node.incomplete,
            birth,
            full: false,
        }
    }

    /// A death that belongs to another birth is a will that came late: the node may well live.
    fn node_death(&mut self, key: &str, payload: &Payload) -> Followed {
        let Some(node) = self.node(key) else {
            return Followed::default();
        };
        let died = bd_seq(payload);
        let other = matches!((node.bd_seq, died), (Some(born), Some(died)) if born != died);
        if !other {
            self.remove(key);
        }
        Followed {
            rebirth: other,
            ..Followed::default()
        }
    }

    fn device_death(&mut self, key: &str, seq: Option<u8>, device: Option<&str>) -> Followed {
        if self.node(key).is_none() {
            return Followed::default();
        }
        let mut gone = 0;
        let mut incomplete = false;
        if let Some(node) = self.shard(key).get_mut(key) {
            node.count(seq);
            incomplete = node.incomplete;
            gone = node
                .births
                .remove(device.unwrap_or_default())
                .map_or(0, |birth| birth.len());
        }
        self.metrics -= gone;
        Followed {
            rebirth: incomplete,
            ..Followed::default()
        }
    }

    /// Marks a node whose message could not be understood.
    pub(crate) fn mark_incomplete(&mut self, key: &str) {
        if self.node(key).is_some()
            && let Some(node) = self.shard(key).get_mut(key)
        {
            node.incomplete = true;
        }
    }

    fn remove(&mut self, key: &str) {
        if self.node(key).is_none() {
            return;
        }
        if let Some(gone) = self.shard(key).remove(key) {
            self.nodes -= 1;
            self.metrics -= gone.metrics();
        }
    }

    fn node(&self, key: &str) -> Option<&Node> {
        self.shards.get(place(key))?.get(key)
    }

    /// The part of a key, ready to be changed.
    fn shard(&mut self, key: &str) -> &mut BTreeMap<Box<str>, Node> {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, Arc::default);
        }
        Arc::make_mut(&mut self.shards[place(key)])
    }
}

impl Serialize for Sessions {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nodes: BTreeMap<&Box<str>, &Node> =
            self.shards.iter().flat_map(|shard| shard.iter()).collect();
        nodes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sessions {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut sessions = Self::default();
        for (key, node) in BTreeMap::<Box<str>, Node>::deserialize(deserializer)? {
            sessions.nodes += 1;
            sessions.metrics += node.metrics();
            sessions.shard(&key).insert(key, node);
        }
        Ok(sessions)
    }
}

fn births_out<S: serde::Serializer>(
    births: &BTreeMap<Box<str>, Arc<Birth>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(births.iter().map(|(device, birth)| (device, &**birth)))
}

fn births_in<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Box<str>, Arc<Birth>>, D::Error> {
    let births = BTreeMap::<Box<str>, Birth>::deserialize(deserializer)?;
    Ok(births
        .into_iter()
        .map(|(device, birth)| (device, Arc::new(birth)))
        .collect())
}

fn place(key: &str) -> usize {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    (hasher.hash_one(key) % SHARDS as u64) as usize
}

/// The number of a birth and of the death that belongs to it.
fn bd_seq(payload: &Payload) -> Option<u64> {
    let metric = payload
        .metrics
        .iter()
        .find(|metric| metric.name.as_deref() == Some(super::BD_SEQ))?;
    match metric.value.as_ref()? {
        MetricValue::Int(number) => Some(u64::from(*number)),
        MetricValue::Long(number) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
