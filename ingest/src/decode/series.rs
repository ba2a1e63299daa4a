//! Series that a payload names itself, known by the very bytes that name them.
//!
//! Devices send their series in the same order nearly always, so the one that followed last time
//! is compared first; only a miss is hashed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::rows::TagSet;

/// No series.
const NONE: u32 = u32::MAX;

/// What a series is, as numbers.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub class: u32,
    pub asset: u32,
    pub binding: u32,
    pub tags: Option<Arc<TagSet>>,
}

/// The series of one rule. When it is full it begins anew.
#[derive(Debug)]
pub(super) struct SeriesCache {
    most: usize,
    all: Vec<Entry>,
    by_key: HashMap<Arc<[u8]>, u32>,
    last: u32,
}

#[derive(Debug)]
struct Entry {
    key: Arc<[u8]>,
    known: Known,
    /// The series that followed last time.
    next: u32,
}

impl SeriesCache {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            all: Vec::new(),
            by_key: HashMap::new(),
            last: NONE,
        }
    }

    #[inline]
    pub(super) fn get(&self, id: u32) -> &Known {
        &self.all[id as usize].known
    }

    /// The series with which `text` begins, if it is the one that is expected and `end` follows.
    #[inline]
    pub(super) fn expected(&mut self, text: &[u8], end: u8) -> Option<(u32, usize)> {
        let next = self.all.get(self.last as usize)?.next;
        let key = &self.all.get(next as usize)?.key;
        if text.get(key.len()) != Some(&end) || !text.starts_with(key) {
            return None;
        }
        self.last = next;
        Some((next, key.len()))
    }

    /// The series of a key.
    pub(super) fn find(&mut self, key: &[u8]) -> Option<u32> {
        let id = *self.by_key.get(key)?;
        if let Some(last) = self.all.get_mut(self.last as usize) {
            last.next = id;
        }
        self.last = id;
        Some(id)
    }

    pub(super) fn insert(&mut self, key: &[u8], known: Known) {
        if self.all.len() >= self.most {
            self.all.clear();
            self.by_key.clear();
            self.last = NONE;
        }
        let id = self.all.len() as u32;
        let key: Arc<[u8]> = key.into();
        if self.by_key.insert(key.clone(), id).is_none() {
            let next = NONE;
            self.all.push(Entry { key, known, next });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(asset: u32) -> Known {
        Known {
            class: 0,
            asset,
            binding: 0,
            tags: None,
        }
    }

    #[test]
    fn the_one_that_followed_is_expected() {
        let mut cache = SeriesCache::new(8);
        for (asset, key) in [(1, "m,a=1"), (2, "m,a=12"), (3, "m,a=2")] {
            cache.insert(key.as_bytes(), known(asset));
        }
        for _ in 0..2 {
            for key in ["m,a=1", "m,a=12", "m,a=2"] {
                let id = cache.find(key.as_bytes()).unwrap();
                assert!(cache.get(id).asset > 0);
            }
        }
        for (line, asset) in [("m,a=1 x=1", 1), ("m,a=12 x=1", 2), ("m,a=2 x=1", 3)] {
            let (id, length) = cache.expected(line.as_bytes(), b' ').unwrap();
            assert_eq!(cache.get(id).asset, asset);
            assert_eq!(line.as_bytes()[length], b' ');
        }
        // The same beginning is not the same series.
        assert!(cache.expected(b"m,a=13 x=1", b' ').is_none());
        assert!(cache.expected(b"m,a=1", b' ').is_none());
    }

    #[test]
    fn it_stays_bounded() {
        let mut cache = SeriesCache::new(4);
        for number in 0..100_u32 {
            cache.insert(format!("s{number}").as_bytes(), known(number));
            assert!(cache.all.len() <= 4 && cache.by_key.len() == cache.all.len());
            let id = cache.find(format!("s{number}").as_bytes()).unwrap();
            assert_eq!(cache.get(id).asset, number);
        }
        assert!(cache.find(b"s0").is_none());
    }
}
