//! The engine's errors in the words and codes of PostgreSQL.

use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};

use crate::sql::SqlError;

/// An error with its SQLSTATE.
pub(super) fn refused(code: &str, sentence: impl Into<String>) -> PgWireError {
    let info = ErrorInfo::new("ERROR".to_owned(), code.to_owned(), sentence.into());
    PgWireError::UserError(Box::new(info))
}

/// An error after which the connection ends.
pub(super) fn fatal(code: &str, sentence: impl Into<String>) -> PgWireError {
    let info = ErrorInfo::new("FATAL".to_owned(), code.to_owned(), sentence.into());
    PgWireError::UserError(Box::new(info))
}

/// Why a query gave no answer.
pub(super) fn of_sql(error: &SqlError) -> PgWireError {
    refused(state(error), error.to_string())
}

fn state(error: &SqlError) -> &'static str {
    match error {
        SqlError::NotReadOnly { .. } => "25006",
        SqlError::NotOffered { .. } => "0A000",
        SqlError::Empty | SqlError::SeveralStatements { .. } => "42601",
        SqlError::Invalid { message } => invalid(message),
        SqlError::Failed { .. } => "22000",
        SqlError::TooLong { .. } | SqlError::TooManyRows { .. } => "54000",
        SqlError::TooComplex { .. } | SqlError::TooWide { .. } => "54001",
        SqlError::TimedOut { .. } | SqlError::Canceled => "57014",
        SqlError::OutOfMemory { .. } => "53200",
        SqlError::IdTaken { .. } => "42710",
        SqlError::Store { .. } => "58000",
        SqlError::Undecodable { .. } | SqlError::Broken { .. } => "XX000",
    }
}

/// The engine tells of a wrong text in words only; clients look at the most common codes.
fn invalid(message: &str) -> &'static str {
    let message = message.to_lowercase();
    let kinds = [
        ("not valid sql", "42601"),
        ("not readable as sql", "42601"),
        ("no field named", "42703"),
        ("invalid function", "42883"),
        ("table '", "42P01"),
    ];
    let found = kinds.iter().find(|(words, _)| message.contains(words));
    found.map_or("42000", |(_, state)| state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_mistakes_have_their_codes() {
        for (message, expected) in [
            ("table 'fieldwright.public.nope' not found", "42P01"),
            ("Schema error: No field named nope.", "42703"),
            ("Not valid SQL: Expected: an expression", "42601"),
            ("Invalid function 'nope'.", "42883"),
            ("something else", "42000"),
        ] {
            let message = message.to_owned();
            assert_eq!(state(&SqlError::Invalid { message }), expected);
        }
    }
}
