//! Where the errors of the crates become problems.

use axum::http::StatusCode;
use fieldwright_analytics::alarms::{AlarmError, AlarmStoreError, Refusal};
use fieldwright_analytics::detect::{JobRefusal, TrainError, VersionError};
use fieldwright_analytics::sql::{SqlError, SqlErrorFamily};
use fieldwright_ingest::quarantine::ReplayError;
use fieldwright_ingest::validate::Rejection;
use fieldwright_workorders::problem::{Family, Problem as Failure};

use super::{CONFLICT, INVALID, NOT_FOUND, Problem, STALE, chain, title};

impl<E: Failure + 'static> From<E> for Problem {
    /// The family decides about the status; code and sentence are the error's own.
    fn from(error: E) -> Self {
        let (status, code) = (status(error.family()), error.code());
        if status.is_server_error() {
            tracing::error!(
                error = chain(&error),
                "the operational store failed a request"
            );
        }
        Self::refusal(status, code, &title(code), error.to_string())
    }
}

/// Why a query gave no answer. A statement that would change something is forbidden for good.
pub fn of_sql(error: SqlError) -> Problem {
    let status = match (&error, error.family()) {
        (SqlError::NotReadOnly { .. }, _) => StatusCode::FORBIDDEN,
        (SqlError::Canceled | SqlError::IdTaken { .. }, _) => StatusCode::CONFLICT,
        (_, SqlErrorFamily::Refused) => StatusCode::UNPROCESSABLE_ENTITY,
        (_, SqlErrorFamily::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
        (_, SqlErrorFamily::Bug) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(
            error = chain(&error),
            "a query failed through a fault of ours"
        );
    }
    let code = error.code();
    Problem::refusal(
        status,
        &format!("sql_{code}"),
        &title(code),
        error.to_string(),
    )
}

/// Why a command on an alarm was refused.
pub fn of_alarm(error: AlarmError) -> Problem {
    let text = error.to_string();
    match error {
        AlarmError::NotFound(_) | AlarmError::NoSuppression(_) => Problem::new(NOT_FOUND, text),
        AlarmError::Changed { .. } => Problem::new(STALE, text),
        AlarmError::Refused(refusal) => {
            let status = match refusal {
                Refusal::Closed | Refusal::StillActive | Refusal::EvidenceFull { .. } => {
                    StatusCode::CONFLICT
                }
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            Problem::refusal(status, refusal.code(), &title(refusal.code()), text)
        }
        AlarmError::Store(error) => of_alarm_store(error),
    }
}

/// Why the alarms could not be read or kept.
pub fn of_alarm_store(error: AlarmStoreError) -> Problem {
    match &error {
        AlarmStoreError::Conflict => Problem::new(CONFLICT, error.to_string()),
        AlarmStoreError::Unavailable { .. } => Problem::unavailable(&error.to_string(), &error),
        AlarmStoreError::Unreadable { .. } => Problem::internal("an alarm cannot be read", &error),
    }
}

/// Why nothing was learned.
pub fn of_training(error: TrainError) -> Problem {
    let text = error.to_string();
    let refused = |status, code| Problem::refusal(status, code, &title(code), &*text);
    match &error {
        TrainError::UnknownAsset(_) => refused(StatusCode::NOT_FOUND, "asset_without_readings"),
        TrainError::EmptySpan => {
            Problem::new(INVALID, &*text).field("/to", "the span ends before it begins")
        }
        TrainError::Fit { .. } => refused(StatusCode::CONFLICT, "not_enough_to_learn"),
        TrainError::ShuttingDown => Problem::unavailable(&text, &error),
        TrainError::History { .. } | TrainError::Keep { .. } => Problem::internal(&text, &error),
    }
}

/// Why a version of a model was not put in use or tried.
pub fn of_version(error: VersionError) -> Problem {
    let text = error.to_string();
    let refused = |code| Problem::refusal(StatusCode::CONFLICT, code, &title(code), &*text);
    match &error {
        VersionError::NotFound { .. } => Problem::new(NOT_FOUND, text),
        VersionError::OtherSettings { .. } => refused("made_for_other_settings"),
        VersionError::NothingInUse(_) => refused("no_model_in_use"),
        VersionError::ShuttingDown => Problem::unavailable(&text, &error),
        VersionError::Folder(_) => Problem::internal(&text, &error),
    }
}

/// Why a job was not taken.
pub fn of_job(error: JobRefusal) -> Problem {
    let text = error.to_string();
    let refused = |code| Problem::refusal(StatusCode::CONFLICT, code, &title(code), &*text);
    match &error {
        JobRefusal::EmptySpan => {
            Problem::new(INVALID, text).field("/to", "the span ends before it begins")
        }
        JobRefusal::KeyReused(_) => refused("job_key_reused"),
        JobRefusal::TooMany => refused("too_many_jobs"),
        JobRefusal::NotFound(_) => Problem::new(NOT_FOUND, text),
    }
}

/// Why a refused message stays in the quarantine.
pub fn of_replay(error: ReplayError) -> Problem {
    let text = error.to_string();
    let refused = |code| Problem::refusal(StatusCode::CONFLICT, code, &title(code), &*text);
    match &error {
        ReplayError::NotFound(_) => Problem::new(NOT_FOUND, text),
        ReplayError::Cut(_) => refused("payload_cut"),
        ReplayError::StillRefused { .. } => refused("still_refused"),
        ReplayError::Stopped(_) | ReplayError::Remove { .. } => Problem::unavailable(&text, &error),
    }
}

/// Why readings were refused whole.
pub fn of_rejection(refusal: &Rejection) -> Problem {
    let code = refusal.name();
    let text = format!("nothing was stored: {refusal}");
    Problem::refusal(StatusCode::UNPROCESSABLE_ENTITY, code, &title(code), text)
}

fn status(family: Family) -> StatusCode {
    match family {
        Family::Refused => StatusCode::CONFLICT,
        Family::Stale => StatusCode::PRECONDITION_FAILED,
        Family::KeyReused | Family::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Family::NotFound => StatusCode::NOT_FOUND,
        Family::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Family::Bug => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the order is posted")]
    struct Said(Family);

    impl Failure for Said {
        fn family(&self) -> Family {
            self.0
        }
        fn code(&self) -> &'static str {
            "not_allowed_now"
        }
    }

    fn check(family: Family, expected: u16) {
        let problem = Problem::from(Said(family));
        assert_eq!(problem.status().as_u16(), expected, "{family:?}");
        assert_eq!(problem.0.refusal, "not_allowed_now");
        assert_eq!(problem.0.title, "Not allowed now");
        assert_eq!(problem.0.detail, "the order is posted");
        assert_eq!(problem.0.kind, "/api/docs/problems/not_allowed_now");
    }

    #[test]
    fn each_family_has_its_status() {
        check(Family::Refused, 409);
        check(Family::Stale, 412);
        check(Family::KeyReused, 422);
        check(Family::NotFound, 404);
        check(Family::Invalid, 422);
        check(Family::Unavailable, 503);
        check(Family::Bug, 500);
    }
}
