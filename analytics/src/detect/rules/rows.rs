//! What a rule's query answers: one row per asset that it names.

use arrow::array::Array;
use arrow::json::ArrayWriter;
use arrow::record_batch::RecordBatch;
use serde_json::{Map, Value};

use super::MAX_RULE_ROWS;
use crate::alarms::Severity;
use crate::sql::SqlError;

/// One row: an asset in alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleRow {
    /// The asset's tag.
    pub asset: String,
    /// How much it matters, where the query says it.
    pub severity: Option<Severity>,
    /// One sentence for people, where the query says it.
    pub summary: Option<String>,
    /// Whether it only keeps what there is: within the dead band of a hysteresis.
    pub hold: bool,
    /// All other columns.
    pub evidence: Map<String, Value>,
}

/// Why a rule could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The query failed.
    #[error("the query failed")]
    Query(#[from] SqlError),
    /// The answer has no column `asset`.
    #[error("the query returns no text column `asset`")]
    NoAsset,
    /// A severity that is none.
    #[error("asset {asset}: {found}")]
    Severity {
        /// The asset.
        asset: String,
        /// What is wrong.
        found: String,
    },
    /// The rule names everything.
    #[error("the query returns more than {MAX_RULE_ROWS} rows; name only assets that are in alarm")]
    TooManyRows,
    /// A value cannot be shown.
    #[error("a row cannot be shown as JSON")]
    Json(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Reads the rows of an answer; an asset that comes twice counts with its first row.
///
/// **Errors** when the answer is not that of a rule.
pub fn read_rows(batches: &[RecordBatch]) -> Result<Vec<RuleRow>, RuleError> {
    let mut rows: Vec<RuleRow> = Vec::new();
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        if batch
            .column_by_name("asset")
            .is_none_or(|column| !column.data_type().is_string())
        {
            return Err(RuleError::NoAsset);
        }
        if rows.len() + batch.num_rows() > MAX_RULE_ROWS {
            return Err(RuleError::TooManyRows);
        }
        for object in objects(batch)? {
            let row = row(object)?;
            if !rows.iter().any(|known| known.asset == row.asset) {
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

fn objects(batch: &RecordBatch) -> Result<Vec<Map<String, Value>>, RuleError> {
    let mut writer = ArrayWriter::new(Vec::new());
    writer
        .write(batch)
        .map_err(|error| RuleError::Json(Box::new(error)))?;
    writer
        .finish()
        .map_err(|error| RuleError::Json(Box::new(error)))?;
    serde_json::from_slice(&writer.into_inner()).map_err(|error| RuleError::Json(Box::new(error)))
}

fn row(mut object: Map<String, Value>) -> Result<RuleRow, RuleError> {
    let mut text = |column: &str| match object.remove(column) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let asset = text("asset").ok_or(RuleError::NoAsset)?;
    let severity = match text("severity") {
        Some(word) => match word.parse() {
            Ok(severity) => Some(severity),
            Err(found) => return Err(RuleError::Severity { asset, found }),
        },
        None => None,
    };
    let summary = text("summary");
    let hold = matches!(object.remove("hold"), Some(Value::Bool(true)));
    Ok(RuleRow {
        asset,
        severity,
        summary,
        hold,
        evidence: object,
    })
}
