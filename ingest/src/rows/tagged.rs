//! Texts that all rows of a series share: one number per row while the batch grows, columns of
//! dictionary keys at its end.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, DictionaryArray, Int32Array, StringArray, StringDictionaryBuilder,
};
use arrow::datatypes::Int32Type;

use super::Column;

/// Column and text of every tag of one series.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TagSet(Vec<(u32, Arc<str>)>);

/// Which rows have which tag set.
#[derive(Debug, Default)]
pub(super) struct TaggedRows {
    sets: Vec<Arc<TagSet>>,
    /// Address of a set in `sets` → its place there.
    places: HashMap<usize, u32, BuildHasherDefault<AddressHasher>>,
    /// Place of each row's set, counted from 1; 0 is none. May be shorter than the batch.
    rows: Vec<u32>,
    columns: Vec<bool>,
}

/// One column of tags.
#[derive(Debug)]
pub(super) struct TagColumn {
    texts: Vec<Arc<str>>,
    /// Place in `texts` by row; −1 is none.
    keys: Vec<i32>,
}

/// Addresses are different already: one multiplication spreads them.
#[derive(Debug, Default)]
pub(super) struct AddressHasher(u64);

impl TagSet {
    pub(crate) fn new(texts: Vec<(u32, Arc<str>)>) -> Self {
        Self(texts)
    }

    pub(crate) fn texts(&self) -> &[(u32, Arc<str>)] {
        &self.0
    }
}

impl TaggedRows {
    pub(super) fn knows(&self, tags: &Arc<TagSet>) -> bool {
        self.places.contains_key(&address(tags))
    }

    pub(super) fn has(&self, column: usize) -> bool {
        self.columns.get(column).copied().unwrap_or(false)
    }

    /// Says that `row` has these tags; returns the columns that occur only since now.
    pub(super) fn push(
        &mut self,
        row: usize,
        tags: &Arc<TagSet>,
        fields: &[Option<Column>],
    ) -> usize {
        self.rows.resize(row, 0);
        if let Some(place) = self.places.get(&address(tags)) {
            self.rows.push(*place + 1);
            return 0;
        }
        let place = self.sets.len() as u32;
        self.places.insert(address(tags), place);
        // The set is kept, so no other can get its address.
        self.sets.push(tags.clone());
        self.rows.push(place + 1);
        let mut new = 0;
        for (column, _) in tags.texts() {
            let column = *column as usize;
            if column >= self.columns.len() {
                self.columns.resize(column + 1, false);
            }
            let known = std::mem::replace(&mut self.columns[column], true)
                || matches!(fields.get(column), Some(Some(_)));
            new += usize::from(!known);
        }
        new
    }

    /// The columns, `rows` long.
    pub(super) fn finish(mut self, rows: usize) -> BTreeMap<usize, TagColumn> {
        self.rows.resize(rows, 0);
        let occurring = self.columns.iter().enumerate().filter(|(_, has)| **has);
        occurring
            .map(|(column, _)| (column, self.column(column as u32)))
            .collect()
    }

    fn column(&self, column: u32) -> TagColumn {
        let mut texts: Vec<Arc<str>> = Vec::new();
        let mut known: HashMap<&str, i32> = HashMap::new();
        let mut keys_of_sets = vec![-1];
        for set in &self.sets {
            let text = set.texts().iter().find(|(place, _)| *place == column);
            let key = text.map_or(-1, |(_, text)| {
                *known.entry(text).or_insert_with(|| {
                    texts.push(text.clone());
                    texts.len() as i32 - 1
                })
            });
            keys_of_sets.push(key);
        }
        let keys = self.rows.iter().map(|set| keys_of_sets[*set as usize]);
        let keys = keys.collect();
        TagColumn { texts, keys }
    }
}

impl TagColumn {
    pub(super) fn finish(self) -> ArrayRef {
        let keys: Int32Array = if self.keys.contains(&-1) {
            let some = self.keys.iter().map(|key| (*key >= 0).then_some(*key));
            some.collect()
        } else {
            self.keys.into()
        };
        let texts = StringArray::from_iter_values(&self.texts);
        Arc::new(
            DictionaryArray::try_new(keys, Arc::new(texts))
                .expect("every key is a place in the texts"),
        )
    }

    /// The column where a field of the same name stands over the tag.
    pub(super) fn under(self, fields: &DictionaryArray<Int32Type>) -> ArrayRef {
        let fields = fields
            .downcast_dict::<StringArray>()
            .expect("a text column was built of texts");
        let mut both = StringDictionaryBuilder::<Int32Type>::new();
        for (row, key) in self.keys.iter().enumerate() {
            let tag = usize::try_from(*key).ok().map(|key| &*self.texts[key]);
            let field = fields.is_valid(row).then(|| {
                let key = fields.keys().value(row) as usize;
                fields.values().value(key)
            });
            both.append_option(field.or(tag));
        }
        Arc::new(both.finish())
    }
}

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, address: usize) {
        // Fibonacci hashing; the table takes the upper and the lower bits.
        let spread = (self.0 ^ address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = spread ^ (spread >> 32);
    }
}

fn address(tags: &Arc<TagSet>) -> usize {
    Arc::as_ptr(tags) as usize
}
