//! What goes wrong and the work that puts it right: failure modes and incident types.

use serde::Serialize;
use sqlx::AnyConnection;

use super::RegistryError;
use crate::store::StoreError;
use crate::store::columns::{int, json, text};

/// Stands for every class or every cause.
pub const ANY: &str = "*";

/// A template of work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentType {
    /// Identity, such as `pump-repair`.
    pub key: String,
    /// Name for people.
    pub name: String,
    /// How long the work is planned to take. **Units** minutes.
    pub duration_minutes: i64,
    /// What the technician must be able to do.
    pub skills: Vec<String>,
    /// The tasks in their order.
    pub tasks: Vec<String>,
    /// Codes of the parts that the work usually needs.
    pub parts: Vec<String>,
    /// The code by which the price list prices the labor.
    pub labor_code: String,
}

/// A way to fail, and the work it asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct FailureMode {
    /// Identity within an asset: one open order per asset and failure mode.
    pub key: String,
    /// Name for people.
    pub name: String,
    /// The incident type's key.
    pub incident_type: String,
}

/// The failure mode that an alarm's class and cause point to; the closest row counts.
///
/// **Errors** when the store fails or not even the row (`*`, `*`) exists.
pub async fn failure_mode(
    conn: &mut AnyConnection,
    class: &str,
    cause: &str,
) -> Result<FailureMode, RegistryError> {
    let row = sqlx::query(
        "SELECT failure_mode, name, incident_type FROM failure_modes \
         WHERE class IN ($1, '*') AND cause IN ($2, '*') \
         ORDER BY CASE WHEN class = '*' THEN 1 ELSE 0 END, \
         CASE WHEN cause = '*' THEN 1 ELSE 0 END LIMIT 1",
    )
    .bind(class)
    .bind(cause)
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else {
        return Err(StoreError::unreadable(
            "failure_modes",
            format!("no row covers class {class}, cause {cause}, not even (*, *)"),
        )
        .into());
    };
    Ok(FailureMode {
        key: text(&row, "failure_mode")?,
        name: text(&row, "name")?,
        incident_type: text(&row, "incident_type")?,
    })
}

/// The incident type with this key.
///
/// **Errors** when there is none, or the store fails.
pub async fn incident_type(
    conn: &mut AnyConnection,
    key: &str,
) -> Result<IncidentType, RegistryError> {
    let row = sqlx::query(
        "SELECT key, name, duration_minutes, skills, tasks, parts, labor_code \
         FROM incident_types WHERE key = $1",
    )
    .bind(key)
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else {
        return Err(RegistryError::NoSuchIncidentType(key.to_owned()));
    };
    let list = |column| {
        serde_json::from_value(json(&row, column)?)
            .map_err(|error| StoreError::unreadable(column, error))
    };
    Ok(IncidentType {
        key: text(&row, "key")?,
        name: text(&row, "name")?,
        duration_minutes: int(&row, "duration_minutes")?,
        skills: list("skills")?,
        tasks: list("tasks")?,
        parts: list("parts")?,
        labor_code: text(&row, "labor_code")?,
    })
}
