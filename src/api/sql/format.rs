//! How an answer is written.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use axum::http::{HeaderMap, header};
use fieldwright_analytics::sql::{csv_head, csv_rows};
use serde::Deserialize;
use utoipa::ToSchema;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SqlFormat)]
pub enum Format {
    /// One JSON object.
    Json,
    /// Lines of CSV.
    Csv,
    /// Arrow's IPC stream format.
    Arrow,
}

/// Every format with its media type, the preferred one first.
const ALL: [(Format, &str); 3] = [
    (Format::Json, "application/json"),
    (Format::Csv, "text/csv"),
    (Format::Arrow, "application/vnd.apache.arrow.stream"),
];

impl Format {
    /// The first format that the request accepts by name; JSON where it names none.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let kinds = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|part| part.split(';').next().unwrap_or_default().trim());
        let mut known = kinds.filter_map(|kind| ALL.iter().find(|(_, name)| *name == kind));
        known.next().map_or(Self::Json, |(format, _)| *format)
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        let found = ALL.iter().find(|(format, _)| *format == self);
        found.map_or("application/json", |(_, name)| *name)
    }

    /// Writes a whole answer.
    ///
    /// **Errors**: batches that Arrow cannot write.
    pub fn write(self, schema: &Schema, batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
        let mut writer = Writer::new(self, schema)?;
        let mut bytes = writer.head();
        for batch in batches {
            bytes.extend(writer.rows(batch)?);
        }
        bytes.extend(writer.end()?);
        Ok(bytes)
    }
}

/// Writes an answer part by part.
pub enum Writer {
    /// Lines of CSV; the head is kept until it is asked for.
    Csv(String),
    /// Arrow's IPC stream format.
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Writer {
    /// A writer for CSV or Arrow.
    ///
    /// **Errors**: a schema that Arrow cannot write.
    pub fn new(format: Format, schema: &Schema) -> Result<Self, ArrowError> {
        Ok(match format {
            Format::Arrow => Self::Arrow(Box::new(StreamWriter::try_new(Vec::new(), schema)?)),
            Format::Csv | Format::Json => Self::Csv(csv_head(schema)),
        })
    }

    /// What comes before the first row.
    pub fn head(&mut self) -> Vec<u8> {
        match self {
            Self::Csv(head) => std::mem::take(head).into_bytes(),
            Self::Arrow(writer) => std::mem::take(writer.get_mut()),
        }
    }

    /// The rows of a batch.
    ///
    /// **Errors**: a batch that Arrow cannot write.
    pub fn rows(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        match self {
            Self::Csv(_) => Ok(csv_rows(batch).into_bytes()),
            Self::Arrow(writer) => {
                writer.write(batch)?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }

    /// What comes after the last row.
    ///
    /// **Errors**: Arrow cannot end the stream.
    pub fn end(&mut self) -> Result<Vec<u8>, ArrowError> {
        match self {
            Self::Csv(_) => Ok(Vec::new()),
            Self::Arrow(writer) => {
                writer.finish()?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: Option<&str>, expected: Format) {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, accept.parse().unwrap());
        }
        assert_eq!(Format::accepted(&headers), expected, "{accept:?}");
    }

    #[test]
    fn the_first_known_media_type_decides() {
        check(None, Format::Json);
        check(Some("*/*"), Format::Json);
        check(Some("text/html, application/json"), Format::Json);
        check(Some("text/csv"), Format::Csv);
        check(
            Some("text/csv; header=present, application/json"),
            Format::Csv,
        );
        check(Some("application/vnd.apache.arrow.stream"), Format::Arrow);
        check(Some("text/plain"), Format::Json);
    }
}
