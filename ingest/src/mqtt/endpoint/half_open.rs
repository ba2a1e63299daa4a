//! Sockets that have not yet sent their CONNECT: the oldest makes room for a newcomer.
//!
//! Turning the newcomer away instead would let idle sockets keep everybody out: who means it
//! sends the CONNECT at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The half-open connections, bounded in number.
#[derive(Debug)]
pub(super) struct HalfOpen {
    most: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// By age; dropping one tells its connection to end.
    places: BTreeMap<u64, oneshot::Sender<()>>,
}

/// The place of one half-open connection, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    evicted: oneshot::Receiver<()>,
    half_open: Arc<HalfOpen>,
}

impl HalfOpen {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            waiting: Mutex::default(),
        }
    }

    /// A place for a newcomer; true when the oldest had to make room.
    pub(super) fn enter(self: &Arc<Self>) -> (Place, bool) {
        let (keep, evicted) = oneshot::channel();
        let mut waiting = self.lock();
        let crowded = waiting.places.len() >= self.most;
        if crowded {
            waiting.places.pop_first();
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.places.insert(number, keep);
        drop(waiting);
        let place = Place {
            number,
            evicted,
            half_open: self.clone(),
        };
        (place, crowded)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until the connection has to make room.
    pub(super) async fn evicted(&mut self) {
        let _ = (&mut self.evicted).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.half_open.lock().places.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let half_open = Arc::new(HalfOpen::new(2));
        let (mut first, crowded) = half_open.enter();
        assert!(!crowded);
        let (mut second, crowded) = half_open.enter();
        assert!(!crowded && first.evicted().now_or_never().is_none());
        let (third, crowded) = half_open.enter();
        assert!(crowded && first.evicted().now_or_never().is_some());
        assert!(second.evicted().now_or_never().is_none());
        drop((first, third));
        let (_fourth, crowded) = half_open.enter();
        assert!(!crowded, "places come back, an evicted one once");
        assert_eq!(half_open.lock().places.len(), 2);
    }
}
