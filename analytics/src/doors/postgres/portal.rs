//! A query that runs for a client: its columns as the client wants them, and the rows to come.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion_postgres::arrow_pg::datatypes::arrow_schema_to_pg_fields;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::FieldInfo;
use datafusion_postgres::pgwire::error::PgWireResult;
use datafusion_postgres::pgwire::messages::data::RowDescription;
use futures::StreamExt as _;

use super::failure::{of_sql, refused};
use super::rows::BatchRows;
use crate::sql::AnswerStream;

/// A query that runs for a client.
pub(super) struct OpenPortal {
    fields: Arc<Vec<FieldInfo>>,
    answer: AnswerStream,
    /// What is left of the batch that is being sent.
    rows: Option<BatchRows>,
    ended: bool,
}

impl OpenPortal {
    /// **Errors**: a column of a type that PostgreSQL does not have, or more or fewer formats
    /// than columns.
    pub(super) fn new(answer: AnswerStream, format: &Format) -> PgWireResult<Self> {
        let fields = Arc::new(fields(&answer.schema(), format)?);
        Ok(Self {
            fields,
            answer,
            rows: None,
            ended: false,
        })
    }

    /// The id under which the query can be canceled.
    pub(super) fn id(&self) -> &str {
        self.answer.id()
    }

    /// The columns.
    pub(super) fn fields(&self) -> &[FieldInfo] {
        &self.fields
    }

    /// The rows of the batch that is being sent, or of the next one; nothing after the last.
    ///
    /// **Errors**: the query's own.
    pub(super) async fn next_rows(&mut self) -> PgWireResult<Option<&mut BatchRows>> {
        loop {
            if self.rows.as_ref().is_some_and(|rows| !rows.is_empty()) {
                return Ok(self.rows.as_mut());
            }
            if self.ended {
                return Ok(None);
            }
            let batch: Option<RecordBatch> = match self.answer.next().await {
                Some(Ok(batch)) => Some(batch),
                Some(Err(error)) => return Err(of_sql(&error)),
                None => None,
            };
            self.ended = batch.is_none();
            self.rows = batch.map(|batch| BatchRows::new(batch, &self.fields));
        }
    }
}

/// The columns as a client is told about them.
///
/// **Errors**: a type that PostgreSQL does not have, or more or fewer formats than columns.
pub(super) fn fields(schema: &SchemaRef, format: &Format) -> PgWireResult<Vec<FieldInfo>> {
    let columns = schema.fields().len();
    if let Format::Individual(formats) = format
        && formats.len() != columns
    {
        return Err(refused(
            "08P01",
            format!(
                "bind message has {} result formats but the query has {columns} columns",
                formats.len()
            ),
        ));
    }
    arrow_schema_to_pg_fields(schema, format, None)
}

/// The message that tells a client about the columns.
pub(super) fn description(fields: &[FieldInfo]) -> RowDescription {
    RowDescription::new(fields.iter().map(Into::into).collect())
}
