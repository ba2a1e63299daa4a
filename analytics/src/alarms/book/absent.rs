//! What is certainly not in the store, so that the first alarm of an asset and cause waits for no
//! answer before it is written: most raises are the first, and nothing suppresses them.
//!
//! What is noted only grows, and is noted before it is written: where in doubt, the store is asked.
//! It holds because one service at a time owns a store, and this is the one door to its alarms.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use chrono::{DateTime, Utc};

use super::super::store::{
    AlarmFilter, AlarmStore, AlarmStoreError, MAX_PAGE, MAX_RAISES, RaiseFilter, SuppressedFilter,
    SuppressionFilter,
};
use super::super::suppression::Suppression;

/// What may be in the store; everything else is not.
#[derive(Debug, Default)]
pub(super) struct Absent {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Assets and causes that may have an open alarm.
    open: HashSet<String>,
    /// Assets and causes of which a suppressed occurrence may stand.
    standing: HashSet<String>,
    /// By asset and by class, the latest end of what suppresses; `None`: it has none.
    assets: HashMap<String, Option<DateTime<Utc>>>,
    classes: HashMap<String, Option<DateTime<Utc>>>,
    /// By asset, the latest raise, by event time.
    raised: HashMap<String, DateTime<Utc>>,
    /// Event time up to which there may be raises of any asset.
    raised_through: Option<DateTime<Utc>>,
}

impl Absent {
    /// Looks through the store.
    ///
    /// **Errors** when it cannot be read.
    pub(super) async fn load(store: &dyn AlarmStore) -> Result<Self, AlarmStoreError> {
        let absent = Self::default();
        let mut open = AlarmFilter {
            open: Some(true),
            limit: MAX_PAGE,
            ..AlarmFilter::default()
        };
        loop {
            let page = store.list(&open).await?;
            let Some(last) = page.last() else { break };
            open.before = Some(last.id.clone());
            for alarm in &page {
                absent.may_be_open(&alarm.asset, &alarm.cause);
            }
        }
        let mut standing = SuppressedFilter {
            standing: Some(true),
            limit: MAX_PAGE,
            ..SuppressedFilter::default()
        };
        loop {
            let page = store.suppressed(&standing).await?;
            let Some(last) = page.last() else { break };
            standing.before = Some(last.id.clone());
            for one in &page {
                absent.may_stand(&one.occurrence.asset, &one.occurrence.cause);
            }
        }
        let mut declared = SuppressionFilter {
            limit: MAX_PAGE,
            ..SuppressionFilter::default()
        };
        loop {
            let page = store.suppressions(&declared).await?;
            let Some(last) = page.last() else { break };
            declared.before = Some((last.declared.at, last.id.clone()));
            for suppression in &page {
                absent.may_suppress(suppression);
            }
        }
        let all = RaiseFilter {
            asset: None,
            after: DateTime::<Utc>::MIN_UTC,
            through: DateTime::<Utc>::MAX_UTC,
            limit: MAX_RAISES,
        };
        let raises = store.raises(&all).await?;
        if raises.len() >= MAX_RAISES {
            absent.known().raised_through = raises.first().map(|oldest| oldest.at);
        }
        for raise in &raises {
            absent.may_have_raised(&raise.asset, raise.at);
        }
        Ok(absent)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no holder panics")
    }

    /// Notes that an asset and cause may have an open alarm from now on.
    pub(super) fn may_be_open(&self, asset: &str, cause: &str) {
        self.known().open.insert(key(asset, cause));
    }

    /// Whether an asset and cause have no open alarm.
    pub(super) fn is_not_open(&self, asset: &str, cause: &str) -> bool {
        !self.known().open.contains(&key(asset, cause))
    }

    /// Notes that a suppressed occurrence of an asset and cause may stand from now on.
    pub(super) fn may_stand(&self, asset: &str, cause: &str) {
        self.known().standing.insert(key(asset, cause));
    }

    /// Whether no suppressed occurrence of an asset and cause stands.
    pub(super) fn stands_not(&self, asset: &str, cause: &str) -> bool {
        !self.known().standing.contains(&key(asset, cause))
    }

    /// Notes a suppression.
    pub(super) fn may_suppress(&self, suppression: &Suppression) {
        let mut known = self.known();
        let Known {
            assets, classes, ..
        } = &mut *known;
        let (scopes, name) = match (&suppression.asset, &suppression.class) {
            (Some(asset), _) => (assets, asset),
            (None, Some(class)) => (classes, class),
            (None, None) => return,
        };
        let until = scopes.entry(name.clone()).or_insert(suppression.until);
        *until = match (*until, suppression.until) {
            (Some(known), Some(own)) => Some(known.max(own)),
            _ => None,
        };
    }

    /// Whether nothing suppresses an asset of a class at event time `at`.
    pub(super) fn suppresses_not(&self, asset: &str, class: &str, at: DateTime<Utc>) -> bool {
        let known = self.known();
        let over = |until: Option<&Option<DateTime<Utc>>>| match until {
            None => true,
            Some(until) => until.is_some_and(|until| until <= at),
        };
        over(known.assets.get(asset)) && over(known.classes.get(class))
    }

    /// Notes that an asset may have had a raise at event time `at`.
    pub(super) fn may_have_raised(&self, asset: &str, at: DateTime<Utc>) {
        let mut known = self.known();
        let latest = known.raised.entry(asset.to_owned()).or_insert(at);
        *latest = at.max(*latest);
    }

    /// Whether an asset had no raise after event time `after`.
    pub(super) fn raised_not_after(&self, asset: &str, after: DateTime<Utc>) -> bool {
        let known = self.known();
        let latest = known.raised.get(asset).copied().max(known.raised_through);
        latest.is_none_or(|latest| latest <= after)
    }
}

fn key(asset: &str, cause: &str) -> String {
    format!("{asset}|{cause}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::suppression_tests::declaration;
    use super::super::super::tests::{at, occurrence};
    use super::super::super::{AlarmBook, MemoryAlarmStore};
    use super::*;

    #[tokio::test]
    async fn what_is_in_the_store_is_never_taken_for_absent() {
        let store: Arc<dyn AlarmStore> = Arc::new(MemoryAlarmStore::default());
        let book = AlarmBook::open(Arc::clone(&store)).await.unwrap();
        let says = |absent: &Absent, minute: i64| {
            [
                absent.is_not_open("P-101", "pca"),
                absent.stands_not("P-101", "hot"),
                absent.suppresses_not("P-101", "pump", at(minute)),
                absent.raised_not_after("P-101", at(minute)),
            ]
        };
        assert_eq!(says(&book.absent, 0), [true; 4]);
        book.raise(occurrence(5), None, at(5)).await.unwrap();
        book.declare(declaration("k", 10, Some(20)), at(6))
            .await
            .unwrap();
        let mut hot = occurrence(12);
        hot.cause = "hot".into();
        book.report(hot, None, at(12)).await.unwrap();
        // A restart knows what the writes have left.
        for book in [&book, &AlarmBook::open(Arc::clone(&store)).await.unwrap()] {
            assert_eq!(says(&book.absent, 4), [false; 4]);
            assert_eq!(says(&book.absent, 19), [false, false, false, true]);
            assert_eq!(says(&book.absent, 20), [false, false, true, true]);
            assert!(book.absent.is_not_open("P-102", "pca"));
            assert!(book.absent.suppresses_not("P-102", "pump", at(15)));
        }
    }
}
