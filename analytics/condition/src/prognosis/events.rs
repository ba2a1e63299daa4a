//! Failures announced by events: the probability that a component fails soon, from the errors that
//! its machine reports, the ages of the components, and what kind of machine it is.
//!
//! A machine is looked at whenever it reports an error, each component by itself. The limit above
//! which somebody is sent is tuned on orders, not on rows: a machine that is about to fail gives
//! several chances to decide, and an order that is out already covers what comes within the
//! horizon. What a missed failure costs, in visits, is all that is known of money here.

use std::collections::BTreeSet;

use linfa::ParamGuard;
use linfa::dataset::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::boosting::{BoostedTrees, BoostedTreesParams, BoostingError};
use crate::settings::DEFAULT_TOML;
use crate::span::Span;

/// How failures are foretold from events. The reasons stand in `default.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSettings {
    /// How far ahead. **Units**: event time.
    pub horizon: Span,
    /// Spans over which errors are counted. **Units**: event time.
    pub spans: Vec<Span>,
    /// What a missed failure costs. **Units**: visits.
    pub missed: f64,
    /// Parts that machines are divided into: each is judged by a model that did not see it.
    pub folds: usize,
    /// Models that differ by their seed and are averaged.
    pub members: u64,
    /// The classifier.
    pub trees: BoostedTreesParams,
}

/// What happened to one machine, each list in order of time. **Units**: microseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Errors with their kinds.
    pub errors: Vec<(i64, usize)>,
    /// Replacements with their components, planned or after a failure.
    pub replaced: Vec<(i64, usize)>,
    /// Failures with their components: learned from, never looked at to foretell.
    pub failed: Vec<(i64, usize)>,
    /// What does not change, such as model and year; NaN where it is not known.
    pub traits: Vec<f64>,
}

/// A component that is likely to fail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warning {
    /// When that is said.
    pub at: i64,
    /// Which.
    pub component: usize,
    /// How likely it fails within the horizon.
    pub probability: f64,
}

/// What was learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventModel {
    view: View,
    members: Vec<BoostedTrees>,
    /// Probability above which somebody is sent.
    pub limit: f64,
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct View {
    /// Kinds of errors.
    errors: usize,
    /// Kinds of components.
    components: usize,
    horizon: Span,
    spans: Vec<Span>,
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Too few machines.
    #[error("{0} machines are too few to learn from; two are needed for each fold")]
    Machines(usize),
    /// No failure, or nothing else.
    #[error("among the errors to learn from there are none before a failure, or no others")]
    OneSided,
    /// The trees could not be fitted.
    #[error("the probability of failure could not be fitted")]
    Trees(#[from] BoostingError),
}

/// Probabilities that are tried as the limit. **Units**: percent.
const LIMITS: std::ops::RangeInclusive<u32> = 5..=95;
/// The cost is averaged over so many neighbors on either side, so that a lucky limit is not taken.
/// **Units**: percent.
const NEIGHBORS: u32 = 5;
const DAY: f64 = 86_400e6;

#[derive(Deserialize)]
struct Shipped {
    prognosis: ShippedPrognosis,
}

#[derive(Deserialize)]
struct ShippedPrognosis {
    events: EventSettings,
}

impl History {
    /// When it reported errors, each instant once.
    pub fn instants(&self) -> BTreeSet<i64> {
        self.errors.iter().map(|(at, _)| *at).collect()
    }

    /// Whether a component fails after an instant and within the horizon.
    fn fails(&self, at: i64, component: usize, horizon: Span) -> bool {
        let soon = |time: i64| time > at && time <= at.saturating_add(horizon.micros());
        self.failed
            .iter()
            .any(|(time, of)| *of == component && soon(*time))
    }
}

impl EventSettings {
    /// Those that are compiled in, with their reasons in `default.toml`.
    pub fn shipped() -> Self {
        let shipped: Result<Shipped, _> = toml::from_str(DEFAULT_TOML);
        shipped
            .expect("the shipped defaults are complete")
            .prognosis
            .events
    }

    /// Learns from machines whose records end at `end`; `errors` and `components` are the numbers
    /// of their kinds.
    ///
    /// **Errors** when there are too few machines or no failures among them.
    pub fn fit(
        &self,
        machines: &[&History],
        (errors, components): (usize, usize),
        end: i64,
    ) -> Result<EventModel, EventError> {
        if machines.len() < 2 * self.folds.max(2) {
            return Err(EventError::Machines(machines.len()));
        }
        let learn = |machines: &[&History]| self.learn(machines, (errors, components), end);
        let mut judged = Vec::new();
        for fold in 0..self.folds.max(2) {
            let part = |inside: bool| -> Vec<&History> {
                let numbered = machines.iter().enumerate();
                let of = numbered.filter(|(at, _)| (at % self.folds.max(2) == fold) == inside);
                of.map(|(_, machine)| *machine).collect()
            };
            let model = learn(&part(false))?;
            for machine in part(true) {
                judged.push((machine, model.outlook(machine)));
            }
        }
        let mut model = learn(machines)?;
        model.limit = self.cheapest(&judged);
        Ok(model)
    }

    fn learn(
        &self,
        machines: &[&History],
        (errors, components): (usize, usize),
        end: i64,
    ) -> Result<EventModel, EventError> {
        let view = View {
            errors,
            components,
            horizon: self.horizon,
            spans: self.spans.clone(),
        };
        let (mut cells, mut targets) = (Vec::new(), Vec::new());
        for machine in machines {
            // Of the last errors nobody knows yet what came of them.
            let known = |at: &i64| at.saturating_add(self.horizon.micros()) <= end;
            for at in machine.instants().into_iter().filter(known) {
                for component in 0..components {
                    cells.extend(view.features(machine, at, component));
                    let fails = machine.fails(at, component, self.horizon);
                    targets.push(if fails { 1.0 } else { 0.0 });
                }
            }
        }
        let failing: f64 = targets.iter().sum();
        if failing == 0.0 || targets.iter().all(|target| *target > 0.0) {
            return Err(EventError::OneSided);
        }
        let width = cells.len() / targets.len();
        let records = Array2::from_shape_vec((targets.len(), width), cells)
            .expect("every row has all features");
        let data = DatasetBase::new(records, Array1::from_vec(targets));
        let member = |seed: u64| self.trees.clone().seed(seed).check()?.fit(&data);
        Ok(EventModel {
            view,
            members: (1..=self.members.max(1))
                .map(member)
                .collect::<Result<_, _>>()?,
            // Even odds, until the cheapest limit is known.
            limit: 0.5,
        })
    }

    /// The limit whose orders and missed failures cost least.
    fn cheapest(&self, judged: &[(&History, Vec<Warning>)]) -> f64 {
        let cost = |percent: u32| {
            let each = judged.iter().map(|(machine, outlook)| {
                let orders = orders(outlook, f64::from(percent) / 100.0, self.horizon);
                let failures: BTreeSet<i64> = machine.failed.iter().map(|(at, _)| *at).collect();
                let missed = failures.iter().filter(|failure| {
                    !orders.iter().any(|order| {
                        let same =
                            |(at, of): &(i64, usize)| at == *failure && *of == order.component;
                        let ahead = **failure - order.at;
                        ahead > 0
                            && ahead <= self.horizon.micros()
                            && machine.failed.iter().any(same)
                    })
                });
                orders.len() as f64 + self.missed * missed.count() as f64
            });
            each.sum::<f64>()
        };
        let costs: Vec<(u32, f64)> = LIMITS.map(|percent| (percent, cost(percent))).collect();
        let smooth = |percent: u32| {
            let near = costs
                .iter()
                .filter(|(other, _)| other.abs_diff(percent) <= NEIGHBORS);
            let (number, sum) = near.fold((0.0, 0.0), |(n, sum), (_, cost)| (n + 1.0, sum + cost));
            sum / number
        };
        let inside = costs.iter().map(|(percent, _)| *percent);
        let best = inside.min_by(|a, b| smooth(*a).total_cmp(&smooth(*b)));
        f64::from(best.unwrap_or(50)) / 100.0
    }
}

impl EventModel {
    /// How likely each component fails, at every error of a machine. Causal: what is said at an
    /// instant knows what happened until then, that instant included, and no failures.
    pub fn outlook(&self, machine: &History) -> Vec<Warning> {
        let components = 0..self.view.components;
        let instants = machine.instants().into_iter();
        let both = instants.flat_map(|at| components.clone().map(move |of| (at, of)));
        both.map(|(at, component)| Warning {
            at,
            component,
            probability: self.probability(machine, at, component),
        })
        .collect()
    }

    /// The warnings that somebody is sent for.
    pub fn orders(&self, machine: &History) -> Vec<Warning> {
        orders(&self.outlook(machine), self.limit, self.view.horizon)
    }

    /// How likely a component fails within the horizon.
    pub fn probability(&self, machine: &History, at: i64, component: usize) -> f64 {
        let features = self.view.features(machine, at, component);
        let answers = self.members.iter().map(|trees| trees.answer(&features));
        (answers.sum::<f64>() / self.members.len() as f64).clamp(0.0, 1.0)
    }
}

impl View {
    /// What is known of a component at an instant: which one it is, errors by kind over each span,
    /// days since it was replaced and since anything was, hour of the day, and the traits.
    fn features(&self, machine: &History, at: i64, component: usize) -> Vec<f64> {
        let mut row = vec![0.0; self.components];
        row[component] = 1.0;
        for span in &self.spans {
            let mut counts = vec![0.0; self.errors];
            let from = at.saturating_sub(span.micros());
            for (time, kind) in &machine.errors {
                if *time <= at && *time > from && *kind < self.errors {
                    counts[*kind] += 1.0;
                }
            }
            row.extend(counts);
        }
        let before = machine.replaced.iter().filter(|(time, _)| *time <= at);
        let days = |last: Option<i64>| last.map_or(f64::NAN, |last| (at - last) as f64 / DAY);
        let own = before.clone().filter(|(_, of)| *of == component);
        row.push(days(own.map(|(time, _)| *time).max()));
        row.push(days(before.map(|(time, _)| *time).max()));
        row.push((at as f64).rem_euclid(DAY) / (DAY / 24.0));
        row.extend(&machine.traits);
        row
    }
}

/// Warnings above the limit, without those that an order within the horizon before covers.
fn orders(outlook: &[Warning], limit: f64, horizon: Span) -> Vec<Warning> {
    let mut orders: Vec<Warning> = Vec::new();
    for warning in outlook.iter().filter(|warning| warning.probability > limit) {
        let covers = |order: &&Warning| order.component == warning.component;
        let last = orders.iter().rev().find(covers);
        if last.is_none_or(|last| warning.at - last.at >= horizon.micros()) {
            orders.push(*warning);
        }
    }
    orders
}

#[cfg(test)]
mod tests;
