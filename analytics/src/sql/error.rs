//! Why a query gave no answer.

use std::sync::Arc;
use std::time::Duration;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

/// Who can do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlErrorFamily {
    /// The query breaks a rule or makes no sense: the caller can change it.
    Refused,
    /// The service cannot answer now: try again later.
    Unavailable,
    /// A fault of ours.
    Bug,
}

/// Why a query gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SqlError {
    /// The text is too long.
    #[error("The query is {bytes} bytes long and at most {limit} are taken. Shorten it.")]
    TooLong {
        /// Bytes of the text.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The text has too many operators, nests too deep or grows too much when written out.
    #[error(
        "The query is too complex: at most {limit} operators, {chain} of them in one expression, \
         50 levels of nesting, and no table named twice at level after level. Write long lists of \
         alternatives as IN (…), or split the query."
    )]
    TooComplex {
        /// The limit of operators.
        limit: usize,
        /// The limit of operators in one expression.
        chain: usize,
    },
    /// One row would take too much memory.
    #[error(
        "One row of the query may grow beyond {limit} bytes. Put fewer or shorter texts together."
    )]
    TooWide {
        /// The limit, bytes.
        limit: u64,
    },
    /// A part of SQL that is not offered here.
    #[error("SQL does not offer {what} here. {instead}")]
    NotOffered {
        /// The function or the clause.
        what: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// There is no statement in the text.
    #[error("The query is empty. Write a SELECT.")]
    Empty,
    /// More than one statement.
    #[error("The text holds {count} statements and only one is taken. Send them one by one.")]
    SeveralStatements {
        /// Statements found.
        count: usize,
    },
    /// A statement that would change something.
    #[error(
        "SQL only reads here, so {verb} is refused. Use SELECT, WITH, EXPLAIN, SHOW or DESCRIBE."
    )]
    NotReadOnly {
        /// The statement's verb.
        verb: String,
    },
    /// The query is not valid SQL or names what does not exist.
    #[error("{message}")]
    Invalid {
        /// What is wrong with it.
        message: String,
    },
    /// The query is valid but failed on the data, for instance a division by zero.
    #[error("The query failed on the data: {message}")]
    Failed {
        /// What happened.
        message: String,
    },
    /// The time limit passed.
    #[error("The query took longer than {} s and was stopped. Narrow its time range.", limit.as_secs_f64())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// Somebody canceled it.
    #[error("The query was canceled.")]
    Canceled,
    /// Another query runs under its id.
    #[error("Another query runs under the query_id {id}. Choose another one, or leave it out.")]
    IdTaken {
        /// The id.
        id: String,
    },
    /// The memory limit was reached.
    #[error(
        "The running queries need more than the {limit_bytes} bytes of memory set aside for them. \
         Ask for fewer rows or columns, or try again when others are done."
    )]
    OutOfMemory {
        /// Limit of all running queries.
        limit_bytes: usize,
    },
    /// A scan of an operational table is too large.
    #[error("The query reads more than {limit} rows of {table}. Narrow it with WHERE or LIMIT.")]
    TooManyRows {
        /// The table.
        table: String,
        /// The limit.
        limit: usize,
    },
    /// The operational store did not answer.
    #[error("The operational store could not be read for {table}. Try again.")]
    Store {
        /// The table.
        table: String,
        /// What the store said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// A value in the operational store is not what its declaration says.
    #[error("Column {column} of {table} holds a value that is no {expected}.")]
    Undecodable {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The engine failed.
    #[error("The query could not be run because of a fault in the service.")]
    Broken {
        /// What the engine said.
        #[source]
        source: Arc<DataFusionError>,
    },
}

impl SqlError {
    /// Who can do something about it.
    pub fn family(&self) -> SqlErrorFamily {
        match self {
            Self::TooLong { .. }
            | Self::TooComplex { .. }
            | Self::TooWide { .. }
            | Self::NotOffered { .. }
            | Self::Empty
            | Self::SeveralStatements { .. }
            | Self::NotReadOnly { .. }
            | Self::Invalid { .. }
            | Self::Failed { .. }
            | Self::Canceled
            | Self::IdTaken { .. }
            | Self::TooManyRows { .. } => SqlErrorFamily::Refused,
            Self::TimedOut { .. } | Self::OutOfMemory { .. } | Self::Store { .. } => {
                SqlErrorFamily::Unavailable
            }
            Self::Undecodable { .. } | Self::Broken { .. } => SqlErrorFamily::Bug,
        }
    }

    /// A stable word for the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::TooComplex { .. } => "too_complex",
            Self::TooWide { .. } => "too_wide",
            Self::NotOffered { .. } => "not_offered",
            Self::Empty => "empty",
            Self::SeveralStatements { .. } => "several_statements",
            Self::NotReadOnly { .. } => "not_read_only",
            Self::Invalid { .. } => "invalid_query",
            Self::Failed { .. } => "failed_on_data",
            Self::TimedOut { .. } => "timed_out",
            Self::Canceled => "canceled",
            Self::IdTaken { .. } => "query_id_taken",
            Self::OutOfMemory { .. } => "out_of_memory",
            Self::TooManyRows { .. } => "too_many_rows",
            Self::Store { .. } => "store_unavailable",
            Self::Undecodable { .. } => "undecodable_value",
            Self::Broken { .. } => "broken",
        }
    }

    /// Sorts an error of the engine into the families.
    pub(super) fn from_engine(error: DataFusionError, memory_bytes: usize) -> Self {
        enum Kind {
            Ours(SqlError),
            Invalid(String),
            Failed(String),
            Memory,
            Broken,
        }
        let kind = match error.find_root() {
            DataFusionError::External(inner) => match inner.downcast_ref::<SqlError>() {
                Some(ours) => Kind::Ours(ours.clone()),
                None if inner.is::<std::io::Error>() => Kind::Broken,
                // What a function says about its arguments, for instance a wrong pattern.
                None => Kind::Failed(inner.to_string()),
            },
            DataFusionError::SQL(parser, _) => Kind::Invalid(parser.to_string()),
            DataFusionError::SchemaError(schema, _) => Kind::Invalid(sentence(schema)),
            DataFusionError::Plan(message)
            | DataFusionError::NotImplemented(message)
            | DataFusionError::Configuration(message) => Kind::Invalid(message.clone()),
            DataFusionError::Collection(errors) => match errors.first() {
                Some(first) => Kind::Invalid(first.strip_backtrace()),
                None => Kind::Broken,
            },
            DataFusionError::Execution(message) => Kind::Failed(message.clone()),
            DataFusionError::ArrowError(arrow, _) => Kind::Failed(arrow.to_string()),
            DataFusionError::ResourcesExhausted(_) => Kind::Memory,
            _ => Kind::Broken,
        };
        match kind {
            Kind::Ours(error) => error,
            Kind::Invalid(message) => Self::Invalid {
                message: first_lines(&message),
            },
            Kind::Failed(message) => Self::Failed {
                message: first_lines(&message),
            },
            Kind::Memory => Self::OutOfMemory {
                limit_bytes: memory_bytes,
            },
            Kind::Broken => Self::Broken {
                source: Arc::new(error),
            },
        }
    }
}

/// Our errors travel through the engine inside its own.
impl From<SqlError> for DataFusionError {
    fn from(error: SqlError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

fn sentence(schema: &SchemaError) -> String {
    schema.to_string()
}

/// Without the backtrace that a debug build of the engine may append.
fn first_lines(message: &str) -> String {
    message
        .split(DataFusionError::BACK_TRACE_SEP)
        .next()
        .unwrap_or(message)
        .trim_end()
        .to_owned()
}
