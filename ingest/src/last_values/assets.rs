//! Tags and their dense numbers, in about 60 bytes an asset.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

/// An empty slot.
const FREE: u32 = u32::MAX;

/// The assets of one class in order of first sight.
#[derive(Debug, Clone)]
pub(crate) struct Assets {
    tags: Vec<Arc<str>>,
    /// Numbers, found by the hash of their tag: open addressing, at most three quarters full.
    slots: Vec<u32>,
    /// Random, so that nobody can choose tags that all meet in one slot.
    seeds: [u64; 2],
}

impl Default for Assets {
    fn default() -> Self {
        Self {
            tags: Vec::new(),
            slots: vec![FREE; 8],
            seeds: [1, 2].map(|salt: u64| {
                let mut hasher = RandomState::new().build_hasher();
                hasher.write_u64(salt);
                hasher.finish() | 1
            }),
        }
    }
}

impl Assets {
    pub(crate) fn len(&self) -> usize {
        self.tags.len()
    }

    pub(crate) fn tag(&self, id: u32) -> &Arc<str> {
        &self.tags[id as usize]
    }

    /// All tags by number.
    pub(crate) fn tags(&self) -> &[Arc<str>] {
        &self.tags
    }

    pub(crate) fn find(&self, tag: &str) -> Option<u32> {
        match self.slots[self.slot(tag)] {
            FREE => None,
            id => Some(id),
        }
    }

    /// Adds a tag that is not there.
    pub(crate) fn add(&mut self, tag: Arc<str>) -> u32 {
        if (self.tags.len() + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let slot = self.slot(&tag);
        debug_assert_eq!(self.slots[slot], FREE, "added once");
        let id = self.tags.len() as u32;
        self.slots[slot] = id;
        self.tags.push(tag);
        id
    }

    /// What it takes in memory, with what it keeps free.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let heads = self.tags.capacity() * size_of::<Arc<str>>();
        let tags: usize = self.tags.iter().map(|tag| tag.len() + 32).sum();
        heads + tags + self.slots.capacity() * size_of::<u32>()
    }

    /// Where the tag stands, or would stand.
    fn slot(&self, tag: &str) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hash(tag) & mask;
        loop {
            match self.slots[slot] {
                FREE => return slot,
                id if *self.tags[id as usize] == *tag => return slot,
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    fn hash(&self, tag: &str) -> usize {
        let [start, factor] = self.seeds;
        let mut hash = start ^ tag.len() as u64;
        // Once per row: eight bytes at a time, each with a multiplication folded to 64 bits.
        for word in tag.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            let product = u128::from(hash ^ u64::from_le_bytes(bytes)) * u128::from(factor);
            hash = product as u64 ^ (product >> 64) as u64;
        }
        hash as usize
    }

    fn grow(&mut self) {
        let tags = std::mem::take(&mut self.tags);
        self.slots = vec![FREE; self.slots.len() * 2];
        let mask = self.slots.len() - 1;
        for (id, tag) in tags.iter().enumerate() {
            let mut slot = self.hash(tag) & mask;
            while self.slots[slot] != FREE {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = id as u32;
        }
        self.tags = tags;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_is_found_under_its_number() {
        let mut assets = Assets::default();
        for number in 0..5_000_u32 {
            let tag = format!("P-{number}");
            assert_eq!(assets.find(&tag), None);
            assert_eq!(assets.add(tag.as_str().into()), number);
            assert_eq!(assets.find(&tag), Some(number));
        }
        assert_eq!(assets.len(), 5_000);
        assert_eq!(&**assets.tag(4_321), "P-4321");
        assert_eq!(assets.find("P-77"), Some(77));
        assert_eq!(assets.find(""), None);
    }
}
