//! Decoded columns of files, kept in a bounded memory: a buffer pool, not a cache of results.
//!
//! A file never changes and its name is never used again, so nothing here is ever stale. What goes
//! first is what is cheap to have again for the memory it takes and has not been used for long
//! (GreedyDual: the price of an entry grows with the clock at every use).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, ArrayRef};
use tokio::sync::Mutex as AsyncMutex;

use super::footer::Footer;
use super::runs::Runs;

/// Loads that may run at the same time without waiting for each other by chance.
const GATES: usize = 64;
/// What an entry takes beside its values.
const ENTRY_BYTES: usize = 256;
/// Times as dear as a number: a footer is a request of its own, runs need a decoded column.
const FOOTER_PRICE: u64 = 16;
const RUNS_PRICE: u64 = 16;
const TEXT_PRICE: u64 = 2;

/// What is kept: which part of which file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::sql) struct Place {
    pub(super) file: Arc<str>,
    pub(super) group: u32,
    pub(super) part: Part,
}

/// One part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Footer,
    /// Runs of equal assets of a row group.
    Runs,
    /// A column of a row group by the name that queries know.
    Column(Arc<str>),
}

/// What a place holds.
#[derive(Debug, Clone)]
pub(super) enum Held {
    Footer(Arc<Footer>),
    Runs(Arc<Runs>),
    Column(ArrayRef),
}

/// Decoded parts of files up to a number of bytes. One for all queries of an engine.
#[derive(Debug)]
pub(in crate::sql) struct ColumnCache {
    bytes: usize,
    shelf: Mutex<Shelf>,
    gates: Vec<AsyncMutex<()>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug, Default)]
struct Shelf {
    used: usize,
    /// Price of what was dropped last: everything used since is dearer.
    clock: u64,
    uses: u64,
    entries: HashMap<Place, Entry>,
    order: BTreeMap<(u64, u64), Place>,
}

#[derive(Debug)]
struct Entry {
    held: Held,
    bytes: usize,
    price: u64,
    at: (u64, u64),
}

/// What the cache did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnCacheUse {
    /// Columns (footers, runs) of row groups that were there when a query asked.
    pub hits: u64,
    /// Those that had to be read and decoded.
    pub misses: u64,
    /// What is held now. **Units** bytes.
    pub bytes: usize,
}

impl ColumnCache {
    /// A cache of at most `bytes`; 0 keeps nothing.
    pub(in crate::sql) fn new(bytes: usize) -> Self {
        Self {
            bytes,
            shelf: Mutex::default(),
            gates: (0..GATES).map(|_| AsyncMutex::new(())).collect(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The most that it holds. **Units** bytes.
    pub(in crate::sql) fn capacity(&self) -> usize {
        self.bytes
    }

    pub(in crate::sql) fn figures(&self) -> ColumnCacheUse {
        ColumnCacheUse {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.shelf().used,
        }
    }

    pub(super) fn get(&self, place: &Place) -> Option<Held> {
        let found = self.shelf().touch(place);
        let count = if found.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    pub(super) fn put(&self, place: Place, held: Held) {
        let (bytes, price) = (held.bytes(), held.price());
        if bytes <= self.bytes {
            self.shelf().put(place, held, bytes, price, self.bytes);
        }
    }

    /// Whoever loads a row group holds its gate, so that two queries do not decode the same.
    pub(super) fn gate(&self, file: &str, group: u32) -> &AsyncMutex<()> {
        let sum = file.bytes().fold(u64::from(group), |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        &self.gates[(sum % GATES as u64) as usize]
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn touch(&mut self, place: &Place) -> Option<Held> {
        self.uses += 1;
        let entry = self.entries.get_mut(place)?;
        let at = (self.clock + entry.price, self.uses);
        let was = std::mem::replace(&mut entry.at, at);
        if let Some(place) = self.order.remove(&was) {
            self.order.insert(at, place);
        }
        Some(entry.held.clone())
    }

    fn put(&mut self, place: Place, held: Held, bytes: usize, price: u64, most: usize) {
        self.remove(&place);
        while self.used + bytes > most {
            let Some((at, cheapest)) = self.order.pop_first() else {
                break;
            };
            self.clock = at.0;
            if let Some(gone) = self.entries.remove(&cheapest) {
                self.used -= gone.bytes;
            }
        }
        self.uses += 1;
        self.used += bytes;
        let at = (self.clock + price, self.uses);
        self.order.insert(at, place.clone());
        let entry = Entry {
            held,
            bytes,
            price,
            at,
        };
        self.entries.insert(place, entry);
    }

    fn remove(&mut self, place: &Place) {
        if let Some(gone) = self.entries.remove(place) {
            self.used -= gone.bytes;
            self.order.remove(&gone.at);
        }
    }
}

impl Held {
    fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Footer(footer) => footer.bytes(),
                Self::Runs(runs) => runs.bytes(),
                Self::Column(column) => column.get_array_memory_size(),
            }
    }

    /// What it takes to have it again, per byte, in units of a column of numbers.
    fn price(&self) -> u64 {
        match self {
            Self::Footer(_) => FOOTER_PRICE,
            Self::Runs(_) => RUNS_PRICE,
            Self::Column(column) if column.data_type().is_primitive() => 1,
            Self::Column(_) => TEXT_PRICE,
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, StringArray};

    use super::*;

    fn column(name: &str, group: u32) -> Place {
        Place {
            file: "f".into(),
            group,
            part: Part::Column(name.into()),
        }
    }

    fn numbers(rows: usize) -> Held {
        Held::Column(Arc::new(Float64Array::from(vec![1.0; rows])))
    }

    #[test]
    fn what_was_not_used_for_long_goes_first_and_the_bound_holds() {
        let one = numbers(1000).bytes();
        let cache = ColumnCache::new(3 * one);
        for group in 0..3 {
            cache.put(column("m", group), numbers(1000));
        }
        assert!(cache.get(&column("m", 0)).is_some());
        cache.put(column("m", 3), numbers(1000));
        let here = |group| cache.get(&column("m", group)).is_some();
        assert_eq!([0, 1, 2, 3].map(here), [true, false, true, true]);
        assert_eq!(cache.figures().bytes, 3 * one);
        assert_eq!((cache.figures().hits, cache.figures().misses), (4, 1));
    }

    #[test]
    fn what_is_dear_stays_longer_and_what_is_too_large_is_not_kept() {
        let texts = Held::Column(Arc::new(StringArray::from(vec!["x"; 1000])));
        let cache = ColumnCache::new(texts.bytes() + numbers(1000).bytes());
        cache.put(column("t", 0), texts);
        cache.put(column("m", 0), numbers(1000));
        cache.put(column("m", 1), numbers(1000));
        assert!(cache.get(&column("t", 0)).is_some(), "dearer than a number");
        assert!(cache.get(&column("m", 0)).is_none());
        cache.put(column("m", 9), numbers(1_000_000));
        assert!(cache.get(&column("m", 9)).is_none());
        assert!(cache.get(&column("m", 1)).is_some());
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let cache = ColumnCache::new(0);
        cache.put(column("m", 0), numbers(1));
        assert!(cache.get(&column("m", 0)).is_none());
        assert_eq!(cache.figures().bytes, 0);
    }
}
