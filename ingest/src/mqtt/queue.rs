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
pub struct DeliveryQueue {
    deliveries: mpsc::Sender<Delivery>,
    max_payload_bytes: usize,
}

/// Nobody takes deliveries any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueClosed;

impl DeliveryQueue {
    /// Waits for a place; that is what slows a source down.
    pub(crate) async fn place(&self) -> Result<mpsc::Permit<'_, Delivery>, QueueClosed> {
        self.deliveries.reserve().await.map_err(|_| QueueClosed)
    }

    /// The largest payload that the pipeline reads; 0 when there is no pipeline.
    pub(crate) fn max_payload_bytes(&self) -> usize {
        self.max_payload_bytes
    }
}

impl From<mpsc::Sender<Delivery>> for DeliveryQueue {
    fn from(deliveries: mpsc::Sender<Delivery>) -> Self {
        Self {
            deliveries,
            max_payload_bytes: 0,
        }
    }
}

impl From<Intake> for DeliveryQueue {
    /// Must be called within a tokio runtime: a small task carries the deliveries over.
    fn from(intake: Intake) -> Self {
        let max_payload_bytes = intake.max_payload_bytes();
        let (sender, mut deliveries) = mpsc::channel(BETWEEN);
        tokio::spawn(async move {
            while let Some(delivery) = deliveries.recv().await {
                if intake.send(delivery).await.is_err() {
                    return;
                }
            }
        });
        Self {
            deliveries: sender,
            max_payload_bytes,
        }
    }
}
