//! The queue through which deliveries leave for the pipeline.

use tokio::sync::mpsc;

use crate::intake::Intake;
use crate::source::Delivery;

/// Deliveries between a source and the pipeline's own queue.
const BETWEEN: usize = 4;

/// Where a source puts its deliveries: the pipeline's intake, or a plain channel.
///
/// A source takes a place first and fills it at once, so that nothing is owed for a delivery that
/// was never sent.
#[derive(Debug, Clone)]
pub struct DeliveryQueue(mpsc::Sender<Delivery>);

/// Nobody takes deliveries any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueClosed;

impl DeliveryQueue {
    /// Waits for a place; that is what slows a source down.
    pub(crate) async fn place(&self) -> Result<mpsc::Permit<'_, Delivery>, QueueClosed> {
        self.0.reserve().await.map_err(|_| QueueClosed)
    }
}

impl From<mpsc::Sender<Delivery>> for DeliveryQueue {
    fn from(sender: mpsc::Sender<Delivery>) -> Self {
        Self(sender)
    }
}

impl From<Intake> for DeliveryQueue {
    /// Must be called within a tokio runtime: a small task carries the deliveries over.
    fn from(intake: Intake) -> Self {
        let (sender, mut deliveries) = mpsc::channel(BETWEEN);
        tokio::spawn(async move {
            while let Some(delivery) = deliveries.recv().await {
                if intake.send(delivery).await.is_err() {
                    return;
                }
            }
        });
        Self(sender)
    }
}
