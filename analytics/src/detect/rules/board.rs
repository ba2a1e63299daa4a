//! What the rules said last, for questions about health and repairs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use chrono::{DateTime, TimeDelta, Utc};

use super::super::verdict::AssetVerdict;
use super::Named;

/// All rules and what they said last.
#[derive(Debug, Default)]
pub(in crate::detect) struct RuleBoard {
    rules: Mutex<BTreeMap<String, Standing>>,
}

#[derive(Debug, Default)]
struct Standing {
    class: String,
    evaluated_at: Option<DateTime<Utc>>,
    named: BTreeMap<String, Named>,
    stats: RuleStats,
}

/// How a rule is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleStats {
    /// Evaluations that came to an end.
    pub evaluations: u64,
    /// Evaluations that failed.
    pub failures: u64,
    /// Assets named by the last one.
    pub named: usize,
    /// Why the last one failed, if it did.
    pub failure: Option<String>,
}

impl RuleBoard {
    fn rules(&self) -> MutexGuard<'_, BTreeMap<String, Standing>> {
        self.rules.lock().expect("no holder panics")
    }

    /// Adds a rule that has not been evaluated.
    pub(super) fn add(&self, rule: &str, class: &str) {
        let standing = Standing {
            class: class.to_owned(),
            ..Standing::default()
        };
        self.rules().insert(rule.to_owned(), standing);
    }

    /// Notes an evaluation.
    pub(super) fn note(&self, rule: &str, at: DateTime<Utc>, named: &BTreeMap<String, Named>) {
        if let Some(standing) = self.rules().get_mut(rule) {
            standing.evaluated_at = Some(at);
            standing.named.clone_from(named);
            standing.stats.evaluations += 1;
            standing.stats.named = named.len();
            standing.stats.failure = None;
        }
    }

    /// Notes an evaluation that failed; says whether that is news.
    pub(super) fn note_failure(&self, rule: &str, failure: String) -> bool {
        let mut rules = self.rules();
        let Some(standing) = rules.get_mut(rule) else {
            return true;
        };
        standing.stats.failures += 1;
        let news = standing.stats.failure.as_ref() != Some(&failure);
        standing.stats.failure = Some(failure);
        news
    }

    /// Whether a rule has an alarm up on an asset.
    pub(in crate::detect) fn is_active(&self, asset: &str) -> bool {
        let rules = self.rules();
        rules
            .values()
            .any(|rule| rule.named.get(asset).is_some_and(|named| named.active))
    }

    /// What the rules say about a repair of an asset of `class` that was done at `since`; `None`
    /// when no rule has an opinion. A rule that still names the asset after `patience` says no.
    ///
    /// A rule that has never been evaluated or fails has an opinion only about what it names: a
    /// broken rule does not hold up every repair. The asset has readings newer than `since`.
    pub(in crate::detect) fn verdict(
        &self,
        asset: &str,
        class: &str,
        since: DateTime<Utc>,
        patience: TimeDelta,
    ) -> Option<AssetVerdict> {
        let rules = self.rules();
        let about = rules
            .values()
            .filter(|rule| rule.class.is_empty() || rule.class == class);
        let opinion = |rule: &Standing| {
            let at = rule.evaluated_at?;
            let fails = rule.stats.failure.is_some();
            let names = rule.named.get(asset).is_some_and(Named::is_named);
            Some(match names {
                true if at > since && at - since >= patience => AssetVerdict::OutOfBand {
                    windows: 1,
                    newest: at,
                },
                true => AssetVerdict::Waiting,
                false if at > since => AssetVerdict::InBand {
                    windows: 1,
                    newest: at,
                },
                false if fails => return None,
                false => AssetVerdict::Waiting,
            })
        };
        about.filter_map(opinion).reduce(AssetVerdict::and)
    }

    /// How the rules are doing, by name.
    pub(in crate::detect) fn stats(&self) -> BTreeMap<String, RuleStats> {
        let rules = self.rules();
        rules
            .iter()
            .map(|(name, standing)| (name.clone(), standing.stats.clone()))
            .collect()
    }
}
