//! Topics whose meaning is known: one look-up instead of matching every rule.

use std::collections::HashMap;

/// What an accepted topic means, as numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub rule: u32,
    pub class: u32,
    pub asset: u32,
    pub binding: u32,
}

/// A bounded cache in two generations: what was not asked for lately is forgotten first.
#[derive(Debug)]
pub(super) struct TopicCache {
    young: HashMap<Box<[u8]>, Known>,
    old: HashMap<Box<[u8]>, Known>,
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

    pub(super) fn get(&mut self, topic: &[u8]) -> Option<Known> {
        if let Some(known) = self.young.get(topic) {
            return Some(*known);
        }
        let known = self.old.get(topic).copied()?;
        self.insert(topic, known);
        Some(known)
    }

    pub(super) fn insert(&mut self, topic: &[u8], known: Known) {
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
        let known = |asset| Known {
            rule: 0,
            class: 0,
            asset,
            binding: 0,
        };
        cache.insert(b"kept", known(7));
        for number in 0..1000_u32 {
            cache.insert(format!("t{number}").as_bytes(), known(number));
            assert_eq!(cache.get(b"kept").map(|known| known.asset), Some(7));
            assert!(cache.young.len() + cache.old.len() <= 8);
        }
        assert!(cache.get(b"t0").is_none());
    }
}
