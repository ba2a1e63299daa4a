//! What a conversation remembers: how it is called, its prepared statements and open portals.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datafusion_postgres::pgwire::error::PgWireResult;

use super::super::cancels::Current;
use super::super::failure::refused;
use super::super::portal::OpenPortal;

/// Portals of one connection at once; a running query stands behind each.
const PORTALS: usize = 16;

/// What a conversation remembers. No lock is held while anything is waited for.
pub(super) struct Memory {
    statements: usize,
    current: Current,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    number: Option<i32>,
    asked: u64,
    time_limit: Option<Duration>,
    statements: BTreeSet<String>,
    bound: BTreeSet<String>,
    portals: HashMap<String, OpenPortal>,
}

impl Memory {
    pub(super) fn new(statements: usize) -> Self {
        Self {
            statements,
            current: Current::default(),
            inner: Mutex::default(),
        }
    }

    /// Takes the number of the connection; gives what cancel requests look at.
    pub(super) fn enter(&self, number: i32) -> Current {
        self.locked().number = Some(number);
        self.current.clone()
    }

    pub(super) fn number(&self) -> Option<i32> {
        self.locked().number
    }

    /// The id of the next query, which is the current one from now on.
    pub(super) fn next_id(&self) -> String {
        let mut inner = self.locked();
        inner.asked += 1;
        let id = format!("pg-{}-{}", inner.number.unwrap_or_default(), inner.asked);
        self.current.set(Some(id.clone()));
        id
    }

    pub(super) fn time_limit(&self) -> Option<Duration> {
        self.locked().time_limit
    }

    pub(super) fn set_time_limit(&self, limit: Option<Duration>) {
        self.locked().time_limit = limit;
    }

    /// **Errors**: there are too many prepared statements.
    pub(super) fn prepare(&self, name: &str) -> PgWireResult<()> {
        let mut inner = self.locked();
        if inner.statements.len() >= self.statements && !inner.statements.contains(name) {
            let most = self.statements;
            let sentence =
                format!("a connection has at most {most} prepared statements; DEALLOCATE some");
            return Err(refused("53400", sentence));
        }
        inner.statements.insert(name.to_owned());
        Ok(())
    }

    /// Forgets one prepared statement or all of them; gives their names.
    pub(super) fn forget(&self, name: Option<&str>) -> Vec<String> {
        let mut inner = self.locked();
        match name {
            Some(name) => inner.statements.take(name).into_iter().collect(),
            None => std::mem::take(&mut inner.statements).into_iter().collect(),
        }
    }

    /// **Errors**: there are too many portals.
    pub(super) fn bind(&self, name: &str) -> PgWireResult<()> {
        let mut inner = self.locked();
        if inner.bound.len() >= PORTALS && !inner.bound.contains(name) {
            let sentence = format!("a connection has at most {PORTALS} portals; close some");
            return Err(refused("53400", sentence));
        }
        inner.bound.insert(name.to_owned());
        Ok(())
    }

    pub(super) fn take_portal(&self, name: &str) -> Option<OpenPortal> {
        let open = self.locked().portals.remove(name)?;
        self.current.set(Some(open.id().to_owned()));
        Some(open)
    }

    pub(super) fn keep_portal(&self, name: &str, open: OpenPortal) {
        self.locked().portals.insert(name.to_owned(), open);
    }

    pub(super) fn close_portal(&self, name: &str) {
        let mut inner = self.locked();
        inner.bound.remove(name);
        inner.portals.remove(name);
    }

    pub(super) fn close_portals(&self) {
        let mut inner = self.locked();
        inner.bound.clear();
        inner.portals.clear();
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
