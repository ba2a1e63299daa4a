//! Topics whose meaning is known: one look-up instead of matching every rule.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::TimeUnit;

/// What an accepted topic means.
#[derive(Debug, Clone)]
pub(super) struct KnownTopic {
    pub rule: u32,
    pub unit: Option<TimeUnit>,
    pub says: Says,
}

/// What a topic says of class and asset.
#[derive(Debug, Clone)]
pub(super) enum Says {
    /// Both, as numbers.
    Series {
        class: u32,
        asset: u32,
        binding: u32,
    },
    /// One of them, or none: the payload says the rest.
    Names(Arc<Names>),
}

/// Class and asset where a topic says them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub class: Option<String>,
    pub asset: Option<String>,
}

/// A bounded cache in two generations: what was not asked for lately is forgotten first.
#[derive(Debug)]
pub(super) struct TopicCache {
    young: HashMap<Box<[u8]>, KnownTopic>,
    old: HashMap<Box<[u8]>, KnownTopic>,
    generation: usize,
}

impl TopicCache {
    pub(super) fn new(most: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            generation: most.div_ceil(2),
        }
    }

    pub(super) fn get(&mut self, topic: &[u8]) -> Option<KnownTopic> {
        if let Some(known) = self.young.get(topic) {
            return Some(known.clone());
        }
        let known = self.old.get(topic).cloned()?;
        self.insert(topic, known.clone());
        Some(known)
    }

    pub(super) fn insert(&mut self, topic: &[u8], known: KnownTopic) {
        if self.young.len() >= self.generation {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(topic.into(), known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_bounded_and_keeps_what_is_used() {
        let mut cache = TopicCache::new(8);
        let known = |asset| KnownTopic {
            rule: 0,
            unit: None,
            says: Says::Series {
                class: 0,
                asset,
                binding: 0,
            },
        };
        let asset = |known: KnownTopic| match known.says {
            Says::Series { asset, .. } => asset,
            Says::Names(_) => 0,
        };
        cache.insert(b"kept", known(7));
        for number in 0..1000_u32 {
            cache.insert(format!("t{number}").as_bytes(), known(number));
            assert_eq!(cache.get(b"kept").map(asset), Some(7));
            assert!(cache.young.len() + cache.old.len() <= 8);
        }
        assert!(cache.get(b"t0").is_none());
    }
}
