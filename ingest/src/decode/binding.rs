//! From published metric names to columns.
//!
//! Messages of one class name their metrics in the same order nearly always, so a name is first
//! compared with the one that stood at its place last time; only a miss is hashed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::Slot;

/// The published names of one rule in one class.
#[derive(Debug, Default)]
pub(super) struct Binding {
    names: HashMap<Arc<str>, Bound>,
    order: Vec<(Arc<str>, Bound)>,
}

/// What a published name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    /// The metric's own column.
    pub column: u32,
    /// What the column holds; none: the metric is not stored.
    pub slot: Option<Slot>,
    /// Place among the rule's conversions, counted from 1; 0 is none.
    pub conversion: u32,
}

/// All bindings, one per rule and class.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    all: Vec<Binding>,
    ids: HashMap<(u32, u32), u32>,
}

impl Bindings {
    /// The binding of a rule in a class of the catalog.
    pub(super) fn id(&mut self, rule: u32, class: u32) -> u32 {
        let next = self.all.len() as u32;
        let id = *self.ids.entry((rule, class)).or_insert(next);
        if id == next {
            self.all.push(Binding::default());
        }
        id
    }

    #[inline]
    pub(super) fn get(&mut self, id: u32) -> &mut Binding {
        &mut self.all[id as usize]
    }
}

impl Binding {
    /// What a name means that stands at a place.
    #[inline]
    pub(super) fn bound(&mut self, place: usize, name: &str) -> Option<Bound> {
        if let Some((expected, bound)) = self.order.get(place)
            && **expected == *name
        {
            return Some(*bound);
        }
        let (name, bound) = self.names.get_key_value(name)?;
        let (name, bound) = (name.clone(), *bound);
        self.expect(place, name, bound);
        Some(bound)
    }

    pub(super) fn learn(&mut self, place: usize, name: &str, bound: Bound) {
        let name: Arc<str> = name.into();
        self.names.insert(name.clone(), bound);
        self.expect(place, name, bound);
    }

    fn expect(&mut self, place: usize, name: Arc<str>, bound: Bound) {
        if let Some(expected) = self.order.get_mut(place) {
            *expected = (name, bound);
        } else if place == self.order.len() {
            self.order.push((name, bound));
        }
    }
}
