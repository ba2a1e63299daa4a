//! Which query a connection runs, so that a cancel request from another one can end it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion_postgres::pgwire::messages::startup::SecretKey;

/// The connections by their number, as bounded as they are.
#[derive(Debug, Default)]
pub(super) struct Cancels(Mutex<HashMap<i32, (SecretKey, Current)>>);

/// The id of the query that a connection runs now.
#[derive(Debug, Clone, Default)]
pub(super) struct Current(Arc<Mutex<Option<String>>>);

impl Current {
    pub(super) fn set(&self, id: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }

    fn get(&self) -> Option<String> {
        let id = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        id.clone()
    }
}

impl Cancels {
    pub(super) fn enter(&self, number: i32, key: SecretKey, current: Current) {
        self.locked().insert(number, (key, current));
    }

    pub(super) fn leave(&self, number: i32) {
        self.locked().remove(&number);
    }

    /// The query that this connection runs now, for whoever knows its key.
    pub(super) fn running(&self, number: i32, key: &SecretKey) -> Option<String> {
        let (own, current) = self.locked().get(&number).cloned()?;
        own.eq_value(key).then(|| current.get()).flatten()
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<i32, (SecretKey, Current)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
