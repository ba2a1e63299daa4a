//! Rows as they come, as Arrow's IPC stream format.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use axum::body::{Body, Bytes};
use fieldwright_analytics::sql::{AnswerStream, SqlError};
use futures::{StreamExt as _, stream};

/// What ends a stream before its end: the client sees a broken body.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("the query failed")]
    Query(#[from] SqlError),
    #[error("a batch could not be written")]
    Write(#[from] ArrowError),
}

/// What remains to be sent.
enum Rest {
    Rows(AnswerStream, Box<StreamWriter<Vec<u8>>>),
    Nothing,
}

/// The body that sends the stream; dropping it cancels the query.
///
/// **Errors**: a schema that Arrow cannot write.
pub fn body(answer: AnswerStream) -> Result<Body, ArrowError> {
    let writer = StreamWriter::try_new(Vec::new(), &answer.schema())?;
    let chunks = stream::try_unfold(Rest::Rows(answer, Box::new(writer)), next);
    Ok(Body::from_stream(chunks))
}

/// The next chunk: a batch, or the end mark after the last one.
async fn next(rest: Rest) -> Result<Option<(Bytes, Rest)>, StreamError> {
    let Rest::Rows(mut answer, mut writer) = rest else {
        return Ok(None);
    };
    match answer.next().await.transpose() {
        Ok(Some(batch)) => {
            let chunk = write(&mut writer, &batch)?;
            Ok(Some((chunk, Rest::Rows(answer, writer))))
        }
        Ok(None) => {
            writer.finish()?;
            let chunk = std::mem::take(writer.get_mut());
            Ok(Some((chunk.into(), Rest::Nothing)))
        }
        Err(error) => {
            tracing::warn!(%error, "an Arrow answer broke off");
            Err(error.into())
        }
    }
}

fn write(writer: &mut StreamWriter<Vec<u8>>, batch: &RecordBatch) -> Result<Bytes, ArrowError> {
    writer.write(batch)?;
    Ok(std::mem::take(writer.get_mut()).into())
}
