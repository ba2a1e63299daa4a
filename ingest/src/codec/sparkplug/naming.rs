//! Of which class and asset a node or device is, by the rule that its topic matched.

use super::address::Address;
use crate::config::{MappingRule, SparkplugNames};
use crate::validate::MAX_CLASS_BYTES;

/// How one rule names nodes and devices.
#[derive(Debug)]
pub(super) struct Naming {
    names: SparkplugNames,
    class: Option<String>,
    /// Whether the pattern has a fixed text for group, node and device.
    fixed: [bool; 3],
}

impl Naming {
    pub(super) fn of(rule: &MappingRule) -> Self {
        let levels: Vec<&str> = rule.topic.split('/').collect();
        let text = |place: usize| {
            levels
                .get(place)
                .is_some_and(|level| !level.contains(['+', '#', '{']))
        };
        Self {
            names: rule.sparkplug.clone().unwrap_or_default(),
            class: rule.class.clone(),
            fixed: [text(1), text(3), text(4)],
        }
    }

    /// The class and the tag.
    pub(super) fn name(&self, address: &Address<'_>) -> (String, String) {
        let key = self.key(address);
        let class = self.names.classes.get(&key).or(self.class.as_ref());
        let class = class.cloned().unwrap_or_else(|| class_of(address.group));
        let asset = self.names.assets.get(&key).cloned().unwrap_or(key);
        (class, asset)
    }

    /// The levels that tell it from all others of the rule.
    fn key(&self, address: &Address<'_>) -> String {
        let levels = [Some(address.group), Some(address.node), address.device];
        let all = || levels.iter().zip(self.fixed);
        let open = all().filter_map(|(level, fixed)| level.filter(|_| !fixed));
        let key = open.collect::<Vec<_>>().join(":");
        if !key.is_empty() {
            return key;
        }
        // Everything is fixed, or the node itself under a rule that fixes group and node.
        address.device.unwrap_or(address.node).to_owned()
    }
}

/// A group as a class: what a class may not have becomes `_`.
fn class_of(group: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut class: String = group
        .chars()
        .map(|c| {
            if legal(c) {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    if !class.starts_with(|first: char| first.is_ascii_alphabetic()) {
        class.insert_str(0, "group_");
    }
    class.truncate(MAX_CLASS_BYTES);
    class
}

#[cfg(test)]
mod tests {
    use super::super::address::{Spoken, read};
    use super::*;

    fn check(rule: &str, topic: &str, class: &str, asset: &str) {
        let rule: MappingRule = toml::from_str(rule).unwrap();
        let Spoken::Message(address) = read(topic) else {
            panic!("{topic}");
        };
        let named = Naming::of(&rule).name(&address);
        assert_eq!(named, (class.into(), asset.into()), "{topic}");
    }

    #[test]
    fn nodes_and_devices() {
        let node = "spBv1.0/Plant 1/NDATA/press1";
        let device = "spBv1.0/Plant 1/DDATA/press1/pump";
        let all = "topic = 'spBv1.0/#'\ncodec = 'sparkplug_b'\n";
        check(all, node, "plant_1", "Plant 1:press1");
        check(all, device, "plant_1", "Plant 1:press1:pump");
        check(all, "spBv1.0/7/NDATA/n", "group_7", "7:n");
        let group = "topic = 'spBv1.0/Plant 1/#'\ncodec = 'sparkplug_b'\nclass = 'press'\n";
        check(group, node, "press", "press1");
        check(group, device, "press", "press1:pump");
        let one = "topic = 'spBv1.0/Plant 1/+/press1/#'\ncodec = 'sparkplug_b'\n";
        check(one, node, "plant_1", "press1");
        check(one, device, "plant_1", "pump");
        let named = "topic = 'spBv1.0/Plant 1/#'\ncodec = 'sparkplug_b'\nclass = 'press'\n\
                     [sparkplug]\nclasses = { 'press1:pump' = 'pump' }\n\
                     assets = { 'press1:pump' = 'P-7' }\n";
        check(named, device, "pump", "P-7");
        check(named, node, "press", "press1");
    }
}
