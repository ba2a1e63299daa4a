//! The queries that run now, by id, so that people can see and cancel them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fieldwright_ingest::clock::process_now;
use tokio::sync::oneshot;

use super::{SqlError, SqlRequest};

/// Characters of a query's text that a list shows.
const SHOWN: usize = 500;

/// A query that runs or waits for its place.
#[derive(Debug, Clone)]
pub struct RunningQuery {
    /// The id under which it can be canceled.
    pub id: String,
    /// The door that it came through.
    pub door: &'static str,
    /// The beginning of its text.
    pub text: String,
    /// Time since it was asked, process clock.
    pub age: Duration,
}

/// All queries of an engine that run now. As bounded as the doors are.
#[derive(Debug, Default)]
pub(super) struct Register {
    running: Mutex<BTreeMap<String, Entry>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    door: &'static str,
    text: Arc<str>,
    since: Instant,
    cancel: Option<oneshot::Sender<()>>,
}

/// A query's line in the register, until dropped.
#[derive(Debug)]
pub(super) struct Registered {
    id: String,
    register: Arc<Register>,
    /// Resolves with `Ok` when somebody cancels the query.
    pub(super) canceled: oneshot::Receiver<()>,
}

impl Register {
    /// Enters a query under its own id or under a new one.
    ///
    /// **Errors**: another query runs under its id.
    pub(super) fn enter(self: &Arc<Self>, request: &SqlRequest) -> Result<Registered, SqlError> {
        let (cancel, canceled) = oneshot::channel();
        let entry = Entry {
            door: request.door,
            text: Arc::clone(&request.text),
            since: process_now(),
            cancel: Some(cancel),
        };
        let mut running = self.locked();
        let id = match &request.id {
            Some(id) if running.contains_key(id) => {
                return Err(SqlError::IdTaken { id: id.clone() });
            }
            Some(id) => id.clone(),
            None => loop {
                let id = format!("q{}", self.next.fetch_add(1, Ordering::Relaxed));
                if !running.contains_key(&id) {
                    break id;
                }
            },
        };
        running.insert(id.clone(), entry);
        Ok(Registered {
            id,
            register: Arc::clone(self),
            canceled,
        })
    }

    /// Cancels a query; says whether one ran under this id.
    pub(super) fn cancel(&self, id: &str) -> bool {
        let mut running = self.locked();
        let Some(entry) = running.get_mut(id) else {
            return false;
        };
        if let Some(cancel) = entry.cancel.take() {
            // A query that has just ended does not mind.
            _ = cancel.send(());
        }
        true
    }

    /// The queries that run now, the oldest first.
    pub(super) fn list(&self) -> Vec<RunningQuery> {
        let now = process_now();
        let mut list: Vec<RunningQuery> = self
            .locked()
            .iter()
            .map(|(id, entry)| RunningQuery {
                id: id.clone(),
                door: entry.door,
                text: entry.text.chars().take(SHOWN).collect(),
                age: now.saturating_duration_since(entry.since),
            })
            .collect();
        list.sort_by(|a, b| b.age.cmp(&a.age).then_with(|| a.id.cmp(&b.id)));
        list
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registered {
    /// The id under which the query can be canceled.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.register.locked().remove(&self.id);
    }
}
