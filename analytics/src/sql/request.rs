//! One question, as a door hands it to the engine: a text, its parameters, and what it may take.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::common::ParamValues;

use super::{SqlError, SqlLimits};

/// Characters of an id that a caller chooses.
const ID_CHARACTERS: std::ops::RangeInclusive<usize> = 1..=64;

/// One question. Its limits lower those of the engine and never raise them.
#[derive(Debug, Clone)]
pub struct SqlRequest {
    pub(super) text: Arc<str>,
    pub(super) door: &'static str,
    pub(super) id: Option<String>,
    pub(super) parameters: Parameters,
    pub(super) manner: Manner,
    time: Option<Duration>,
    pub(super) rows: Option<usize>,
    pub(super) memory_bytes: Option<usize>,
}

/// How a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Manner {
    /// As our own SQL.
    Plain,
    /// As a question of a PostgreSQL client about the catalog.
    PostgresCatalog,
}

/// What stands for `$1`, `$2` and so on.
#[derive(Clone, Default)]
pub(crate) enum Parameters {
    /// The text has none.
    #[default]
    None,
    /// Their values.
    Values(ParamValues),
    /// Their values once the planned text has shown their types.
    Late(Arc<LateParameters>),
}

/// Makes the values of parameters from the types that the planned text gives them.
pub(crate) type LateParameters =
    dyn Fn(&[Option<FieldRef>]) -> Result<ParamValues, SqlError> + Send + Sync;

/// What a text would answer, without its rows.
#[derive(Debug, Clone)]
pub struct Described {
    /// Names and types of the columns.
    pub schema: SchemaRef,
    /// The parameters `$1`, `$2` and so on; nothing where the text shows no type.
    pub parameters: Vec<Option<FieldRef>>,
}

impl SqlRequest {
    /// A question of our own SQL, with the engine's limits.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            door: "internal",
            id: None,
            parameters: Parameters::None,
            manner: Manner::Plain,
            time: None,
            rows: None,
            memory_bytes: None,
        }
    }

    /// Names the door that it came through, for the list of running queries.
    pub fn through(mut self, door: &'static str) -> Self {
        self.door = door;
        self
    }

    /// Gives it an id under which it can be canceled.
    ///
    /// **Errors**: the id is no plain word.
    pub fn named(mut self, id: &str) -> Result<Self, SqlError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !ID_CHARACTERS.contains(&id.len()) || !id.bytes().all(plain) {
            return Err(SqlError::Invalid {
                message: "The query_id is not usable. Choose 1 to 64 letters, digits, dots, \
                          hyphens and underscores."
                    .to_owned(),
            });
        }
        self.id = Some(id.to_owned());
        Ok(self)
    }

    /// Lowers the time limit.
    pub fn within_time(mut self, limit: Duration) -> Self {
        self.time = Some(limit);
        self
    }

    /// Lowers the limit of rows; also a stream ends there, see
    /// [`AnswerStream::truncated`](super::AnswerStream::truncated).
    pub fn within_rows(mut self, limit: usize) -> Self {
        self.rows = Some(limit);
        self
    }

    /// Lowers the limit of memory to less than what all queries share. **Units**: bytes.
    pub fn within_memory(mut self, limit: usize) -> Self {
        self.memory_bytes = Some(limit);
        self
    }

    /// Gives the values of `$1`, `$2` and so on.
    pub fn with_parameters(mut self, values: ParamValues) -> Self {
        self.parameters = Parameters::Values(values);
        self
    }

    pub(crate) fn with_late_parameters(mut self, values: Arc<LateParameters>) -> Self {
        self.parameters = Parameters::Late(values);
        self
    }

    pub(crate) fn in_manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }

    /// The limits in force for this question.
    pub(super) fn limits(&self, engine: &Arc<SqlLimits>) -> Arc<SqlLimits> {
        if self.time.is_none() && self.rows.is_none() && self.memory_bytes.is_none() {
            return Arc::clone(engine);
        }
        let mut limits = SqlLimits::clone(engine);
        limits.time = self.time.map_or(limits.time, |time| time.min(limits.time));
        let rows = limits.answer_rows;
        limits.answer_rows = self.rows.map_or(rows, |lower| lower.min(rows));
        let memory = limits.memory_bytes;
        limits.memory_bytes = self.memory_bytes.map_or(memory, |lower| lower.min(memory));
        Arc::new(limits)
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be a person's.
        f.write_str(match self {
            Self::None => "None",
            Self::Values(_) => "Values(…)",
            Self::Late(_) => "Late(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str, plain: bool) {
        assert_eq!(SqlRequest::new("SELECT 1").named(id).is_ok(), plain, "{id}");
    }

    #[test]
    fn an_id_is_a_plain_word() {
        check("q-1_a.b", true);
        check(&"q".repeat(64), true);
        check(&"q".repeat(65), false);
        check("", false);
        check("a b", false);
        check("ä", false);
    }

    #[test]
    fn limits_are_lowered_and_never_raised() {
        let engine = Arc::new(SqlLimits::default());
        let request = SqlRequest::new("SELECT 1");
        assert!(Arc::ptr_eq(&request.limits(&engine), &engine));
        let lower = request
            .clone()
            .within_rows(5)
            .within_memory(7)
            .within_time(Duration::from_millis(3))
            .limits(&engine);
        assert_eq!((lower.answer_rows, lower.memory_bytes), (5, 7));
        assert_eq!(lower.time, Duration::from_millis(3));
        let higher = request
            .within_rows(usize::MAX)
            .within_memory(usize::MAX)
            .within_time(Duration::MAX)
            .limits(&engine);
        assert_eq!(higher.answer_rows, engine.answer_rows);
        assert_eq!(higher.memory_bytes, engine.memory_bytes);
        assert_eq!(higher.time, engine.time);
    }
}
