//! Which metrics a reading has.

use super::grow;

/// Metrics that a reading has, a bit each. Few classes have more than 64: there is one of every
/// asset.
#[derive(Debug, Default)]
pub(super) struct Said {
    first: u64,
    #[expect(
        clippy::box_collection,
        reason = "a third of a list's size while there is none"
    )]
    more: Option<Box<Vec<u64>>>,
}

impl Said {
    pub(super) fn clear(&mut self) {
        self.first = 0;
        if let Some(more) = &mut self.more {
            more.fill(0);
        }
    }

    /// Adds a metric; whether it was not there.
    pub(super) fn add(&mut self, metric: usize) -> bool {
        let (word, bit) = (metric / 64, 1 << (metric % 64));
        let own = match word {
            0 => &mut self.first,
            _ => {
                let more = self.more.get_or_insert_default();
                grow(more, word, 0);
                &mut more[word - 1]
            }
        };
        let was_there = *own & bit != 0;
        *own |= bit;
        !was_there
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let more = self.more.as_ref();
        more.map_or(0, |more| size_of::<Vec<u64>>() + more.capacity() * 8)
    }
}
