//! Deliveries that wait for their receipts, in the order in which they came.
//!
//! MQTT wants acknowledgements in receive order, the pipeline may confirm in any; so only the
//! confirmed head of the line leaves it. A line belongs to one connection: when that ends, the
//! line is dropped, and a receipt that is confirmed later finds nothing to acknowledge.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::source::Receipt;

const WAITING: u8 = 0;
const CONFIRMED: u8 = 1;
const LOST: u8 = 2;
const ABANDONED: u8 = 3;

/// Things that wait for their receipts, in the order in which they came.
#[derive(Debug)]
pub(crate) struct AckLine<T> {
    line: VecDeque<(Arc<AtomicU8>, T)>,
    wake: Arc<Notify>,
    stale: Arc<AtomicU64>,
}

/// The head of the line will never be confirmed, so nothing behind it may be acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReceiptLost;

impl<T> AckLine<T> {
    /// An empty line that notifies `wake` at every change and counts late receipts in `stale`.
    pub(crate) fn new(wake: Arc<Notify>, stale: Arc<AtomicU64>) -> Self {
        Self {
            line: VecDeque::new(),
            wake,
            stale,
        }
    }

    /// Adds `item` at the end; it may leave when the receipt is confirmed.
    pub(crate) fn push(&mut self, item: T) -> Receipt {
        let state = Arc::new(AtomicU8::new(WAITING));
        self.line.push_back((state.clone(), item));
        let place = Place {
            state,
            wake: self.wake.clone(),
            stale: self.stale.clone(),
        };
        Receipt::new(move || place.settle(CONFIRMED))
    }

    /// Adds `item` at the end; it needs no receipt, only its turn.
    pub(crate) fn push_confirmed(&mut self, item: T) {
        self.line
            .push_back((Arc::new(AtomicU8::new(CONFIRMED)), item));
        self.wake.notify_one();
    }

    /// Takes the head, when it is confirmed.
    pub(crate) fn pop_confirmed(&mut self) -> Result<Option<T>, ReceiptLost> {
        match self.line.front() {
            Some((state, _)) => match state.load(Ordering::Acquire) {
                CONFIRMED => Ok(self.line.pop_front().map(|(_, item)| item)),
                LOST => Err(ReceiptLost),
                _ => Ok(None),
            },
            None => Ok(None),
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }
}

impl<T> Drop for AckLine<T> {
    fn drop(&mut self) {
        for (state, _) in &self.line {
            if state.swap(ABANDONED, Ordering::AcqRel) == CONFIRMED {
                self.stale.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The pipeline's end of one place in the line.
struct Place {
    state: Arc<AtomicU8>,
    wake: Arc<Notify>,
    stale: Arc<AtomicU64>,
}

impl Place {
    fn settle(&self, outcome: u8) {
        match self
            .state
            .compare_exchange(WAITING, outcome, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => self.wake.notify_one(),
            Err(ABANDONED) if outcome == CONFIRMED => {
                self.stale.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {}
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.settle(LOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> (AckLine<u8>, Arc<AtomicU64>) {
        let stale = Arc::new(AtomicU64::new(0));
        (AckLine::new(Arc::new(Notify::new()), stale.clone()), stale)
    }

    #[test]
    fn only_the_confirmed_head_leaves() {
        let (mut line, stale) = line();
        let (first, second, third) = (line.push(1), line.push(2), line.push(3));
        second.confirm();
        assert_eq!(line.pop_confirmed(), Ok(None));
        first.confirm();
        assert_eq!(line.pop_confirmed(), Ok(Some(1)));
        assert_eq!(line.pop_confirmed(), Ok(Some(2)));
        assert_eq!(line.pop_confirmed(), Ok(None));
        line.push_confirmed(4);
        assert_eq!(line.pop_confirmed(), Ok(None));
        third.confirm();
        assert_eq!(line.pop_confirmed(), Ok(Some(3)));
        assert_eq!(line.pop_confirmed(), Ok(Some(4)));
        assert!(line.is_empty());
        assert_eq!(stale.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_dropped_receipt_stops_the_line() {
        let (mut line, _) = line();
        let (first, second) = (line.push(1), line.push(2));
        second.confirm();
        drop(first);
        assert_eq!(line.pop_confirmed(), Err(ReceiptLost));
        assert_eq!(line.pop_confirmed(), Err(ReceiptLost));
    }

    #[test]
    fn a_receipt_that_outlives_its_line_is_stale() {
        let (mut line, stale) = line();
        let (first, second, third) = (line.push(1), line.push(2), line.push(3));
        second.confirm();
        drop(line);
        assert_eq!(stale.load(Ordering::Relaxed), 1, "confirmed, never sent");
        first.confirm();
        assert_eq!(stale.load(Ordering::Relaxed), 2);
        drop(third);
        assert_eq!(stale.load(Ordering::Relaxed), 2, "never confirmed");
    }

    #[tokio::test]
    async fn confirming_wakes_the_owner() {
        let wake = Arc::new(Notify::new());
        let mut line = AckLine::new(wake.clone(), Arc::default());
        let receipt = line.push(());
        std::thread::spawn(move || receipt.confirm());
        wake.notified().await;
        assert_eq!(line.pop_confirmed(), Ok(Some(())));
    }
}
