//! The door of the pipeline: where the sources of messages hand over what they received.

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::source::{Delivery, Envelope};
use crate::validate::Rejection;

/// A handle through which a source hands over deliveries. Cheap to clone.
///
/// The queue behind it is bounded: when the disk is slower than the wire, sending waits.
#[derive(Debug, Clone)]
pub struct Intake {
    submissions: mpsc::Sender<Submission>,
    max_payload_bytes: usize,
}

/// The pipeline has stopped; the delivery was dropped unconfirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the ingest pipeline has stopped")]
pub struct IntakeClosed;

/// Why a delivery was not taken at once.
#[derive(Debug, Error)]
pub enum TrySendError {
    /// The queue is full: stop reading from the wire, try later.
    #[error("the ingest queue is full")]
    Full(Delivery),
    /// The pipeline has stopped.
    #[error("the ingest pipeline has stopped")]
    Closed(Delivery),
}

/// Why an offered message was not taken.
#[derive(Debug, Error)]
pub enum OfferError {
    /// It cannot become readings; nothing of it is stored.
    #[error("the message was refused: {0}")]
    Refused(Rejection),
    /// The queue is full: try later.
    #[error("the ingest queue is full")]
    Full,
    /// The pipeline has stopped; the message may come again.
    #[error("the ingest pipeline has stopped")]
    Closed,
}

/// What reaches the intake thread.
#[derive(Debug)]
pub(crate) enum Submission {
    Delivery(Delivery),
    /// A message whose sender waits for the verdict (a request, a replay from the quarantine): a
    /// refusal goes back instead of into the quarantine.
    Requeue {
        envelope: Envelope,
        reply: oneshot::Sender<Result<(), Rejection>>,
    },
    /// Look whether the hot rows are old enough for a flush.
    Tick,
    /// Flush everything that was submitted before.
    Flush(oneshot::Sender<()>),
    /// Take nothing more, flush, stop.
    Close,
}

impl Intake {
    pub(crate) fn new(submissions: mpsc::Sender<Submission>, max_payload_bytes: usize) -> Self {
        Self {
            submissions,
            max_payload_bytes,
        }
    }

    /// The largest payload that can become a reading: a source may cut a larger one.
    ///
    /// **Units** bytes.
    pub fn max_payload_bytes(&self) -> usize {
        self.max_payload_bytes
    }

    /// Hands over a delivery; waits while the queue is full.
    ///
    /// **Errors**: the pipeline has stopped.
    pub async fn send(&self, delivery: Delivery) -> Result<(), IntakeClosed> {
        self.submit(Submission::Delivery(delivery)).await
    }

    /// Hands over a message whose sender waits for the verdict; it comes when the message is
    /// synced and visible. A refused message is not kept: its sender has it.
    ///
    /// **Errors**: the pipeline stopped before the message was durable. The inner error is why the
    /// message cannot become readings.
    pub async fn write(&self, envelope: Envelope) -> Result<Result<(), Rejection>, IntakeClosed> {
        let (reply, verdict) = oneshot::channel();
        self.submit(Submission::Requeue { envelope, reply }).await?;
        verdict.await.map_err(|_| IntakeClosed)
    }

    /// Hands over a delivery from a thread that may block.
    ///
    /// **Errors**: the pipeline has stopped.
    pub fn blocking_send(&self, delivery: Delivery) -> Result<(), IntakeClosed> {
        self.submissions
            .blocking_send(Submission::Delivery(delivery))
            .map_err(|_| IntakeClosed)
    }

    /// Hands over a delivery if the queue has room now.
    ///
    /// **Errors**: see [`TrySendError`]; the delivery comes back.
    pub fn try_send(&self, delivery: Delivery) -> Result<(), TrySendError> {
        use mpsc::error::TrySendError as Refused;
        match self.submissions.try_send(Submission::Delivery(delivery)) {
            Ok(()) => Ok(()),
            Err(Refused::Full(Submission::Delivery(delivery))) => Err(TrySendError::Full(delivery)),
            Err(Refused::Closed(Submission::Delivery(delivery))) => {
                Err(TrySendError::Closed(delivery))
            }
            Err(_) => unreachable!("the refused submission is the delivery"),
        }
    }

    /// Offers one message and waits until it is synced and visible; a message that cannot become
    /// readings is refused whole and does not go to the quarantine.
    ///
    /// **Errors**: see [`OfferError`]. Dropping the future takes nothing back.
    pub async fn offer(&self, envelope: Envelope) -> Result<(), OfferError> {
        use mpsc::error::TrySendError as Refused;
        let (reply, answered) = oneshot::channel();
        let submission = Submission::Requeue { envelope, reply };
        match self.submissions.try_send(submission) {
            Ok(()) => {}
            Err(Refused::Full(_)) => return Err(OfferError::Full),
            Err(Refused::Closed(_)) => return Err(OfferError::Closed),
        }
        match answered.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(rejection)) => Err(OfferError::Refused(rejection)),
            Err(_) => Err(OfferError::Closed),
        }
    }

    pub(crate) async fn submit(&self, submission: Submission) -> Result<(), IntakeClosed> {
        self.submissions
            .send(submission)
            .await
            .map_err(|_| IntakeClosed)
    }

    pub(crate) fn downgrade(&self) -> mpsc::WeakSender<Submission> {
        self.submissions.downgrade()
    }
}
