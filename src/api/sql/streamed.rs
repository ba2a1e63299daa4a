//! Rows as they come, sent while somebody reads them.
//!
//! A task takes the rows of the query and hands them to the connection one part at a time. It
//! ends, and the query with it, when the client goes or leaves a part unread for too long.

use std::time::Duration;

use arrow::error::ArrowError;
use axum::body::{Body, Bytes};
use fieldwright_analytics::sql::{AnswerStream, SqlError};
use futures::{StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::format::{Format, Writer};
use crate::api::problem::{BUSY, Problem};

/// How long a client may leave a part of its answer unread.
const PATIENCE: Duration = Duration::from_secs(60);

/// What ends a stream before its end: the client sees a broken body.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The query failed.
    #[error("the query failed")]
    Query(#[from] SqlError),
    /// A batch could not be written.
    #[error("a batch could not be written")]
    Write(#[from] ArrowError),
    /// There are more rows than the question asked for.
    #[error("there are more rows than the question asked for")]
    Truncated,
    /// The client did not read.
    #[error("the answer was not read")]
    Unread,
}

/// A part of an answer, or its end.
enum Part {
    Bytes(Bytes),
    End,
    Failed(StreamError),
}

/// The body that sends the stream; dropping it cancels the query.
///
/// **Errors**: a schema that Arrow cannot write.
pub fn body(
    answer: AnswerStream,
    format: Format,
    place: OwnedSemaphorePermit,
) -> Result<Body, Problem> {
    let writer = Writer::new(format, &answer.schema())
        .map_err(|error| Problem::internal("the answer cannot be written as Arrow", &error))?;
    let (parts, sent) = mpsc::channel(1);
    tokio::spawn(async move {
        let _place = place;
        pump(answer, writer, parts).await;
    });
    let chunks = stream::try_unfold(Some(sent), async |sent| {
        let Some(mut sent) = sent else {
            return Ok(None);
        };
        match sent.recv().await {
            Some(Part::Bytes(bytes)) => Ok(Some((bytes, Some(sent)))),
            Some(Part::End) => Ok(None),
            Some(Part::Failed(error)) => Err(error),
            None => Err(StreamError::Unread),
        }
    });
    Ok(Body::from_stream(chunks))
}

/// Too many answers are on their way.
pub fn busy() -> Problem {
    Problem::new(
        BUSY,
        "too many answers are being sent; try again in a moment, or set a row_limit",
    )
}

async fn pump(answer: AnswerStream, writer: Writer, parts: mpsc::Sender<Part>) {
    let last = tokio::select! {
        ended = write_all(answer, writer, &parts) => match ended {
            Ok(()) => Part::End,
            Err(error) => {
                tracing::warn!(%error, "an answer broke off");
                Part::Failed(error)
            }
        },
        () = parts.closed() => return,
    };
    let _ = parts.send_timeout(last, PATIENCE).await;
}

async fn write_all(
    mut answer: AnswerStream,
    mut writer: Writer,
    parts: &mpsc::Sender<Part>,
) -> Result<(), StreamError> {
    hand_over(writer.head(), parts).await?;
    while let Some(batch) = answer.next().await {
        hand_over(writer.rows(&batch?)?, parts).await?;
    }
    if answer.truncated() {
        return Err(StreamError::Truncated);
    }
    hand_over(writer.end()?, parts).await
}

async fn hand_over(bytes: Vec<u8>, parts: &mpsc::Sender<Part>) -> Result<(), StreamError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let sent = parts.send_timeout(Part::Bytes(bytes.into()), PATIENCE);
    sent.await.map_err(|_| StreamError::Unread)
}
