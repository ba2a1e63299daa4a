//! From published metric names to columns.
//!
//! Messages of one class name their metrics in the same order nearly always, so a name is first
//! compared with the one that stood at its place last time; only a miss is hashed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::Class;
use crate::config::MappingRule;
use crate::validate::{self, Rejection};

/// Stands for the column of a metric that has none yet; its place in `fresh` is counted from it.
const FRESH: u32 = 1 << 31;

/// The published names of one rule in one class.
#[derive(Debug, Default)]
pub(super) struct Binding {
    columns: HashMap<Arc<str>, u32>,
    order: Vec<(Arc<str>, u32)>,
}

/// The row being read; its buffers are used again for the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    values: Vec<(u32, f64)>,
    fresh: Vec<Fresh>,
    fresh_names: HashMap<String, u32>,
    /// Number of the row that last used a column: finds a metric that stands twice.
    used: Vec<u64>,
    row: u64,
    new_columns: usize,
}

/// A published name that the binding does not know.
#[derive(Debug)]
struct Fresh {
    published: String,
    stored: String,
}

/// Where a codec puts the metrics of one message.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    scratch: &'a mut Scratch,
    binding: Option<&'a mut Binding>,
    rule: &'a MappingRule,
    most: usize,
    seen: usize,
    gravest: Option<Rejection>,
}

impl<'a> Row<'a> {
    pub(super) fn begin(
        scratch: &'a mut Scratch,
        binding: Option<&'a mut Binding>,
        rule: &'a MappingRule,
        most: usize,
    ) -> Self {
        scratch.begin();
        Self {
            scratch,
            binding,
            rule,
            most,
            seen: 0,
            gravest: None,
        }
    }

    /// Puts one metric.
    pub(crate) fn metric(&mut self, name: &str, value: f64) {
        let place = self.seen;
        self.seen += 1;
        if !value.is_finite() {
            return self.refuse(Rejection::NotFinite {
                metric: shown(name),
            });
        }
        if self.seen > self.most {
            return self.refuse(Rejection::TooManyMetrics { most: self.most });
        }
        let known = self
            .binding
            .as_mut()
            .and_then(|binding| binding.column(place, name));
        if let Some(column) = known {
            if !self.scratch.use_column(column) {
                return self.refuse(Rejection::MetricTwice {
                    metric: shown(name),
                });
            }
            return self.scratch.values.push((column, value));
        }
        if let Err(refusal) = self.fresh(name, value) {
            self.refuse(refusal);
        }
    }

    /// Puts a metric whose value is no number.
    pub(crate) fn not_a_number(&mut self, name: &str) {
        self.seen += 1;
        self.refuse(Rejection::NotANumber {
            metric: shown(name),
        });
    }

    /// The gravest thing that was wrong with a metric.
    pub(super) fn end(self) -> Result<(), Rejection> {
        match self.gravest {
            Some(refusal) => Err(refusal),
            None if self.seen == 0 => Err(Rejection::NoMetrics),
            None => Ok(()),
        }
    }

    fn fresh(&mut self, name: &str, value: f64) -> Result<(), Rejection> {
        let stored = self.rule.rename.get(name).map_or(name, String::as_str);
        validate::metric_name(name).or_else(|refusal| {
            // A published name that no column may have is fine where the rule renames it.
            if self.rule.rename.contains_key(name) {
                Ok(name)
            } else {
                Err(refusal)
            }
        })?;
        let number = FRESH + self.scratch.fresh.len() as u32;
        if self
            .scratch
            .fresh_names
            .insert(stored.to_owned(), number)
            .is_some()
        {
            return Err(Rejection::MetricTwice {
                metric: shown(name),
            });
        }
        self.scratch.fresh.push(Fresh {
            published: name.to_owned(),
            stored: stored.to_owned(),
        });
        self.scratch.values.push((number, value));
        Ok(())
    }

    fn refuse(&mut self, refusal: Rejection) {
        if self
            .gravest
            .as_ref()
            .is_none_or(|gravest| refusal.rank() < gravest.rank())
        {
            self.gravest = Some(refusal);
        }
    }
}

impl Scratch {
    pub(super) fn values(&self) -> &[(u32, f64)] {
        &self.values
    }

    /// Columns that the class would have to grow by; known after [`Self::resolve`].
    pub(super) fn new_columns(&self) -> usize {
        self.new_columns
    }

    fn begin(&mut self) {
        self.values.clear();
        self.row += 1;
        if !self.fresh.is_empty() {
            self.fresh.clear();
            self.fresh_names.clear();
        }
        self.new_columns = 0;
    }

    fn use_column(&mut self, column: u32) -> bool {
        let column = column as usize;
        if column >= self.used.len() {
            self.used.resize(column + 1, 0);
        }
        std::mem::replace(&mut self.used[column], self.row) != self.row
    }

    /// Finds the columns that exist under a fresh name, and counts those that do not.
    pub(super) fn resolve(&mut self, class: Option<&Class>) -> Result<(), Rejection> {
        for number in 0..self.fresh.len() {
            let fresh = &self.fresh[number];
            match class.and_then(|class| class.column(&fresh.stored)) {
                Some(column) => {
                    if !self.use_column(column) {
                        let metric = self.fresh[number].published.clone();
                        return Err(Rejection::MetricTwice { metric });
                    }
                }
                None => self.new_columns += 1,
            }
        }
        Ok(())
    }

    /// Gives every fresh name its column, new or not, and teaches the binding.
    pub(super) fn settle(&mut self, class: &mut Class, binding: &mut Binding, rule: &MappingRule) {
        if self.fresh.is_empty() {
            return;
        }
        for (place, (column, _)) in self.values.iter_mut().enumerate() {
            let Some(fresh) = column
                .checked_sub(FRESH)
                .map(|number| &self.fresh[number as usize])
            else {
                continue;
            };
            let unit = rule.units.get(&fresh.stored).map(String::as_str);
            *column = class.add_metric(&fresh.stored, unit);
            binding.learn(place, fresh.published.as_str().into(), *column);
        }
    }
}

impl Binding {
    fn column(&mut self, place: usize, name: &str) -> Option<u32> {
        if let Some((expected, column)) = self.order.get(place)
            && **expected == *name
        {
            return Some(*column);
        }
        let (name, column) = self.columns.get_key_value(name)?;
        let (name, column) = (name.clone(), *column);
        self.expect(place, name, column);
        Some(column)
    }

    fn learn(&mut self, place: usize, name: Arc<str>, column: u32) {
        self.columns.insert(name.clone(), column);
        self.expect(place, name, column);
    }

    fn expect(&mut self, place: usize, name: Arc<str>, column: u32) {
        if let Some(expected) = self.order.get_mut(place) {
            *expected = (name, column);
        } else if place == self.order.len() {
            self.order.push((name, column));
        }
    }
}

/// A stranger's name, quoted no longer than a legal one could be.
fn shown(name: &str) -> String {
    name.chars().take(validate::MAX_METRIC_CHARS).collect()
}
