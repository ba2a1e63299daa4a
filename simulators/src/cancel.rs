//! Stopping: one source, many listeners.

use std::time::Duration;

use tokio::sync::watch;

use crate::clock::process_sleep;

/// The side that stops everything that listens to it. Dropping it stops them too.
#[derive(Debug)]
pub struct CancelSource(watch::Sender<bool>);

/// The side that is told to stop.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<bool>);

impl CancelSource {
    /// A source and its first listener.
    pub fn new() -> (Self, Cancel) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Cancel(receiver))
    }

    /// Tells every listener to stop; repeating it does nothing.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Cancel {
    /// True once the source was told to stop or is gone.
    pub fn is_canceled(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until the source is told to stop or is gone.
    pub async fn canceled(&self) {
        let mut receiver = self.0.clone();
        // An error means that the source is gone, which stops its listeners as well.
        let _ = receiver.wait_for(|stop| *stop).await;
    }

    /// Sleeps on the process clock; false when it was cut short by a stop.
    pub async fn sleep(&self, duration: Duration) -> bool {
        tokio::select! {
            () = self.canceled() => false,
            () = process_sleep(duration) => !self.is_canceled(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_ends_a_sleep_and_so_does_a_lost_source() {
        let (source, cancel) = CancelSource::new();
        assert!(!cancel.is_canceled());
        source.cancel();
        assert!(cancel.is_canceled());
        assert!(!cancel.sleep(Duration::from_secs(3600)).await);

        let (source, cancel) = CancelSource::new();
        drop(source);
        cancel.canceled().await;
        assert!(cancel.is_canceled());
    }
}
