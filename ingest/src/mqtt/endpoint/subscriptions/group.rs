//! A shared subscription: one of its clients gets each message.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Subscription, put};

/// The clients of one `$share/NAME/FILTER`.
#[derive(Debug)]
pub(crate) struct Group {
    name: Box<str>,
    members: Mutex<Vec<Subscription>>,
    next: AtomicUsize,
}

impl Group {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            members: Mutex::default(),
            next: AtomicUsize::new(0),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// True when the client was not in it before.
    pub(super) fn join(&self, subscription: Subscription) -> bool {
        put(&mut self.lock(), subscription)
    }

    /// Whether the client was in it, and whether nobody is left.
    pub(super) fn leave(&self, session: u64) -> (bool, bool) {
        let mut members = self.lock();
        let before = members.len();
        members.retain(|known| known.session.number != session);
        (members.len() < before, members.is_empty())
    }

    /// Whose turn it is: those that are there in turns, else one that comes back.
    pub(crate) fn pick(&self) -> Option<Subscription> {
        let members = self.lock();
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = || {
            let (head, tail) = members.split_at(start % members.len().max(1));
            tail.iter().chain(head)
        };
        in_turn()
            .find(|member| member.session.is_online())
            .or_else(|| in_turn().find(|member| member.session.is_persistent()))
            .cloned()
    }

    #[cfg(test)]
    pub(super) fn members(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Subscription>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
