//! Resources: technicians with skills, a home and shifts.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::RegistryError;
use crate::store::columns::{flag, instant, int, json, parsed, text};
use crate::store::ids::ResourceId;
use crate::store::page::{Page, PageRequest};
use crate::store::{Db, StoreError};

/// Active resources that one scheduling run looks at, at most.
pub const MAX_SCHEDULED: i64 = 1_000;

/// A technician.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Resource {
    /// Identity.
    pub id: ResourceId,
    /// Name for people.
    pub name: String,
    /// What the technician can do.
    pub skills: Vec<String>,
    /// Home, where a day's travel begins. **Units** degrees north.
    pub latitude: f64,
    /// Home, where a day's travel begins. **Units** degrees east.
    pub longitude: f64,
    /// The zone of the shift times.
    #[serde(serialize_with = "super::sites::zone_name")]
    pub time_zone: Tz,
    /// **Units** km/h, averaged over a trip.
    pub speed_kmh: i64,
    /// Whether new work may be booked.
    pub active: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Grows with every change.
    pub version: i64,
}

/// A span of work that repeats every week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WeeklyShift {
    /// 1 Monday to 7 Sunday.
    pub weekday: u32,
    /// Begin, local. **Units** minutes since midnight, 0..1440.
    pub from_minute: u32,
    /// End, local. **Units** minutes since midnight, 1..=1440.
    pub until_minute: u32,
}

const COLUMNS: &str = "SELECT id, name, skills, latitude, longitude, time_zone, speed_kmh, \
     active, created_at, version FROM resources";

/// A page of resources.
///
/// **Errors** when the store fails.
pub async fn list(db: &Db, page: &PageRequest) -> Result<Page<Resource>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{COLUMNS} WHERE id > $1 ORDER BY id LIMIT $2"
    )))
    .bind(page.after_or_start())
    .bind(page.fetch_limit())
    .fetch_all(db.pool())
    .await?;
    let items = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Page::cut(page, items, |resource: &Resource| {
        resource.id.to_string()
    }))
}

/// One resource.
///
/// **Errors** when there is none, or the store fails.
pub async fn get(conn: &mut AnyConnection, id: &ResourceId) -> Result<Resource, RegistryError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE id = $1")))
        .bind(id.as_str())
        .fetch_optional(conn)
        .await?;
    match row {
        Some(row) => Ok(read(&row)?),
        None => Err(RegistryError::NoSuchResource(id.to_string())),
    }
}

/// Every active resource, by id.
///
/// **Errors** when the store fails.
pub async fn active(conn: &mut AnyConnection) -> Result<Vec<Resource>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{COLUMNS} WHERE active = 1 ORDER BY id LIMIT $1"
    )))
    .bind(MAX_SCHEDULED)
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

/// The shifts of every active resource.
///
/// **Errors** when the store fails.
pub async fn shifts(
    conn: &mut AnyConnection,
) -> Result<Vec<(ResourceId, WeeklyShift)>, StoreError> {
    let rows = sqlx::query(
        "SELECT s.resource_id, s.weekday, s.from_minute, s.until_minute FROM shifts s \
         JOIN resources r ON r.id = s.resource_id WHERE r.active = 1 \
         ORDER BY s.resource_id, s.weekday, s.from_minute",
    )
    .fetch_all(conn)
    .await?;
    let small = |row: &AnyRow, column| {
        u32::try_from(int(row, column)?).map_err(|error| StoreError::unreadable(column, error))
    };
    rows.iter()
        .map(|row| {
            let shift = WeeklyShift {
                weekday: small(row, "weekday")?,
                from_minute: small(row, "from_minute")?,
                until_minute: small(row, "until_minute")?,
            };
            Ok((parsed(row, "resource_id")?, shift))
        })
        .collect()
}

fn read(row: &AnyRow) -> Result<Resource, StoreError> {
    Ok(Resource {
        id: parsed(row, "id")?,
        name: text(row, "name")?,
        skills: serde_json::from_value(json(row, "skills")?)
            .map_err(|error| StoreError::unreadable("resources.skills", error))?,
        latitude: parsed(row, "latitude")?,
        longitude: parsed(row, "longitude")?,
        time_zone: parsed(row, "time_zone")?,
        speed_kmh: int(row, "speed_kmh")?,
        active: flag(row, "active")?,
        created_at: instant(row, "created_at")?,
        version: int(row, "version")?,
    })
}
