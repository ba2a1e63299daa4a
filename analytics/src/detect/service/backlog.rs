//! What one asset finds faster than it can be kept waits here, so that the others' alarms do not.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use crate::detect::engine::Finding;

/// Findings of an asset that are kept at once before the stream was idle again: a fault shows in
/// several causes, a value that flaps in any number of turns.
const AT_ONCE: u32 = 8;
/// Findings that wait at most; beyond that the stream waits. They hold evidence, some KB each.
const MOST: usize = 4096;

/// Findings that wait, by asset in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    waiting: BTreeMap<String, VecDeque<Finding>>,
    number: usize,
    /// Findings that were given to be kept at once since the stream was idle, by asset.
    given: BTreeMap<String, u32>,
    /// The asset whose turn was last.
    last: String,
}

impl Backlog {
    /// Gives a finding back when it is to be kept at once; otherwise it waits.
    pub(super) fn take(&mut self, finding: Finding) -> Option<Finding> {
        let asset = finding.found.asset();
        if let Some(waiting) = self.waiting.get_mut(asset) {
            waiting.push_back(finding);
            self.number += 1;
            return None;
        }
        let given = self.given.entry(asset.to_owned()).or_default();
        *given += 1;
        if *given <= AT_ONCE {
            return Some(finding);
        }
        let asset = asset.to_owned();
        self.waiting.insert(asset, VecDeque::from([finding]));
        self.number += 1;
        None
    }

    /// The finding whose turn it is: the oldest one of the asset after the one that had its turn.
    pub(super) fn next(&mut self) -> Option<Finding> {
        let after = (Excluded(self.last.as_str()), Unbounded);
        let later = self.waiting.range::<str, _>(after).next();
        let (asset, _) = later.or_else(|| self.waiting.first_key_value())?;
        let asset = asset.clone();
        let waiting = self.waiting.get_mut(&asset)?;
        let finding = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&asset);
        }
        self.number -= usize::from(finding.is_some());
        self.last = asset;
        finding
    }

    /// The stream is idle: whoever has nothing waiting begins anew.
    pub(super) fn idle(&mut self) {
        let waiting = &self.waiting;
        self.given.retain(|asset, _| waiting.contains_key(asset));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.number == 0
    }

    /// Whether the stream has to wait.
    pub(super) fn is_full(&self) -> bool {
        self.number > MOST
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::detect::engine::Found;

    fn finding(asset: &str, second: i64) -> Finding {
        let found = Found::Return {
            asset: asset.to_owned(),
            cause: "level".to_owned(),
            at: DateTime::from_timestamp(second, 0).unwrap(),
        };
        Finding {
            found,
            progress: None,
        }
    }

    fn name(finding: &Finding) -> (String, i64) {
        match &finding.found {
            Found::Return { asset, at, .. } => (asset.clone(), at.timestamp()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_asset_has_its_turn_and_its_order() {
        let mut backlog = Backlog::default();
        let mut kept = Vec::new();
        for second in 0..20 {
            kept.extend(backlog.take(finding("b", second)));
            kept.extend(
                (second < 10)
                    .then(|| backlog.take(finding("a", second)))
                    .flatten(),
            );
        }
        // A third that has found little is kept at once, whatever waits.
        assert!(backlog.take(finding("c", 0)).is_some());
        assert_eq!(kept.len(), 16);
        let mut order = Vec::new();
        while let Some(next) = backlog.next() {
            order.push(name(&next));
        }
        let turns: Vec<&str> = order.iter().map(|(asset, _)| &**asset).collect();
        assert_eq!(turns[..6], ["a", "b", "a", "b", "b", "b"]);
        for asset in ["a", "b"] {
            let kept = kept.iter().map(name).chain(order.iter().cloned());
            let own: Vec<i64> = kept
                .filter(|(own, _)| own == asset)
                .map(|(_, s)| s)
                .collect();
            let all: Vec<i64> = (0..own.len() as i64).collect();
            assert_eq!(own, all);
        }
        assert!(backlog.is_empty());
        // Until the stream was idle whoever has had his share waits.
        assert!(backlog.take(finding("b", 20)).is_none());
        backlog.idle();
        assert!(backlog.take(finding("b", 21)).is_none(), "one waits");
        assert_eq!(name(&backlog.next().unwrap()).1, 20);
        assert_eq!(name(&backlog.next().unwrap()).1, 21);
        backlog.idle();
        assert!(backlog.take(finding("b", 22)).is_some());
    }

    #[test]
    fn it_says_when_it_is_full() {
        let mut backlog = Backlog::default();
        for second in 0..MOST as i64 + i64::from(AT_ONCE) {
            backlog.take(finding("b", second));
        }
        assert!(!backlog.is_full());
        backlog.take(finding("b", 0));
        assert!(backlog.is_full());
        backlog.next();
        assert!(!backlog.is_full());
    }
}
