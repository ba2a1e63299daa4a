//! The engine's errors as the status of a call.

use tonic::Status;

use crate::sql::SqlError;

/// Why a query gave no answer.
pub(super) fn of_sql(error: &SqlError) -> Status {
    let sentence = error.to_string();
    match error {
        SqlError::NotReadOnly { .. } => Status::permission_denied(sentence),
        SqlError::NotOffered { .. } => Status::unimplemented(sentence),
        SqlError::Empty
        | SqlError::SeveralStatements { .. }
        | SqlError::Invalid { .. }
        | SqlError::TooLong { .. }
        | SqlError::TooComplex { .. }
        | SqlError::TooWide { .. } => Status::invalid_argument(sentence),
        SqlError::Failed { .. } => Status::failed_precondition(sentence),
        SqlError::TimedOut { .. } => Status::deadline_exceeded(sentence),
        SqlError::Canceled => Status::cancelled(sentence),
        SqlError::TooManyRows { .. } | SqlError::OutOfMemory { .. } => {
            Status::resource_exhausted(sentence)
        }
        SqlError::IdTaken { .. } => Status::already_exists(sentence),
        SqlError::Store { .. } => Status::unavailable(sentence),
        SqlError::Undecodable { .. } | SqlError::Broken { .. } => Status::internal(sentence),
    }
}

/// What would change something.
pub(super) fn read_only() -> Status {
    Status::permission_denied(
        "SQL only reads here; publish readings over MQTT or POST /api/v2/write",
    )
}

/// A fault of ours while an answer is written.
pub(super) fn unwritable(error: &dyn std::fmt::Display) -> Status {
    tracing::error!(%error, "an answer cannot be written as Arrow");
    Status::internal("the answer cannot be written as Arrow; the log of the service knows more")
}
