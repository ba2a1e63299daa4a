//! Cases and their alarms in the store.

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::{AlarmOfCase, Case, CaseError, CaseRefusal, CaseStatus};
use crate::money::{Currency, Money};
use crate::store::columns::{
    instant, instant_opt, int, int_opt, json, micros, micros_opt, parsed, parsed_opt, text,
    text_opt,
};
use crate::store::ids::{CaseId, WorkOrderId};
use crate::store::{StoreError, Tx};
use crate::triage::{Agreement, Facts, Forecast};

const COLUMNS: &str = "SELECT c.id, c.asset_id, c.failure_mode, c.status, c.tier, c.reason, \
     c.summary, c.severity, c.confidence_bp, c.persistence_s, c.failure_ppm, c.forecast_ppm, c.forecast_basis, c.agreeing, \
     c.watching, c.saving, c.visit, c.currency, c.opened_at, c.decided_at, \
     c.again_at, c.work_order_id, c.close_out, c.closed_at, c.closed_by, c.close_reason, \
     c.version FROM cases c";

pub(super) async fn load(conn: &mut AnyConnection, id: &CaseId) -> Result<Case, CaseError> {
    let query = format!("{COLUMNS} WHERE c.id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(id.as_str())
        .fetch_optional(conn)
        .await?;
    match row {
        Some(row) => Ok(read(&row)?),
        None => Err(CaseError::NotFound(id.clone())),
    }
}

/// The open case of a condition.
pub(super) async fn find_open(
    conn: &mut AnyConnection,
    open_key: &str,
) -> Result<Option<Case>, StoreError> {
    find(conn, "c.open_key = $1", open_key).await
}

/// The case that an order was made of.
pub(super) async fn of_order(
    conn: &mut AnyConnection,
    order: &WorkOrderId,
) -> Result<Option<Case>, StoreError> {
    find(
        conn,
        "c.work_order_id = $1 ORDER BY c.id LIMIT 1",
        order.as_str(),
    )
    .await
}

/// The case that an alarm belongs to.
pub(super) async fn of_alarm(
    conn: &mut AnyConnection,
    alarm_id: &str,
) -> Result<Option<Case>, StoreError> {
    let which = "c.id = (SELECT case_id FROM case_alarms WHERE alarm_id = $1)";
    find(conn, which, alarm_id).await
}

async fn find(
    conn: &mut AnyConnection,
    which: &'static str,
    key: &str,
) -> Result<Option<Case>, StoreError> {
    let query = format!("{COLUMNS} WHERE {which}");
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(key)
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn insert(tx: &mut Tx<'_>, case: &Case, open_key: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO cases (id, asset_id, failure_mode, status, open_key, tier, reason, summary, \
         severity, confidence_bp, persistence_s, failure_ppm, agreeing, watching, saving, \
         visit, currency, opened_at, decided_at, again_at, version, forecast_ppm, \
         forecast_basis) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
         $15, $16, $17, $18, $19, $20, $21, $22, $23)",
    )
    .bind(case.id.as_str())
    .bind(case.asset_id.as_str())
    .bind(case.failure_mode.as_str())
    .bind(case.status.as_str())
    .bind(open_key)
    .bind(case.tier.as_str())
    .bind(case.reason.as_str())
    .bind(case.summary.as_str())
    .bind(case.facts.severity.as_str())
    .bind(i64::from(case.facts.confidence_bp))
    .bind(case.facts.persistence_s)
    .bind(case.facts.failure_ppm.map(i64::from))
    .bind(i64::from(case.facts.agreement.agreeing))
    .bind(i64::from(case.facts.agreement.watching))
    .bind(case.saving.minor())
    .bind(case.visit.minor())
    .bind(case.saving.currency().to_string())
    .bind(micros(case.opened_at))
    .bind(micros(case.decided_at))
    .bind(micros_opt(case.again_at))
    .bind(case.version)
    .bind(case.facts.forecast.map(|one| i64::from(one.ppm)))
    .bind(case.facts.forecast.map(|one| one.basis.as_str()))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Saves the case if its version in the store is still `before`; only an open one keeps its key.
pub(super) async fn save(tx: &mut Tx<'_>, case: &Case, before: i64) -> Result<(), CaseError> {
    let done = sqlx::query(
        "UPDATE cases SET status = $1, open_key = CASE WHEN $1 = 'open' THEN open_key END, \
         tier = $2, reason = $3, summary = $4, severity = $5, confidence_bp = $6, \
         persistence_s = $7, failure_ppm = $8, agreeing = $9, watching = $10, saving = $11, \
         visit = $12, decided_at = $13, again_at = $14, work_order_id = $15, \
         close_out = $16, closed_at = $17, closed_by = $18, close_reason = $19, version = $20, \
         forecast_ppm = $21, forecast_basis = $22 WHERE id = $23 AND version = $24",
    )
    .bind(case.status.as_str())
    .bind(case.tier.as_str())
    .bind(case.reason.as_str())
    .bind(case.summary.as_str())
    .bind(case.facts.severity.as_str())
    .bind(i64::from(case.facts.confidence_bp))
    .bind(case.facts.persistence_s)
    .bind(case.facts.failure_ppm.map(i64::from))
    .bind(i64::from(case.facts.agreement.agreeing))
    .bind(i64::from(case.facts.agreement.watching))
    .bind(case.saving.minor())
    .bind(case.visit.minor())
    .bind(micros(case.decided_at))
    .bind(micros_opt(case.again_at))
    .bind(case.work_order_id.as_ref().map(WorkOrderId::as_str))
    .bind(case.close_out.map(super::CloseOut::as_str))
    .bind(micros_opt(case.closed_at))
    .bind(case.closed_by.as_deref())
    .bind(case.close_reason.as_deref())
    .bind(case.version)
    .bind(case.facts.forecast.map(|one| i64::from(one.ppm)))
    .bind(case.facts.forecast.map(|one| one.basis.as_str()))
    .bind(case.id.as_str())
    .bind(before)
    .execute(tx.conn())
    .await?;
    if done.rows_affected() != 1 {
        let actual = load(tx.conn(), &case.id).await?.version;
        return Err(CaseRefusal::Stale {
            expected: before,
            actual,
        }
        .into());
    }
    Ok(())
}

pub(super) async fn insert_alarm(
    tx: &mut Tx<'_>,
    case: &CaseId,
    alarm: &AlarmOfCase,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO case_alarms (alarm_id, case_id, cause, model, severity, confidence_bp, \
         failure_ppm, watching, peak_milli, summary, evidence, began_at, raised_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(alarm.alarm_id.as_str())
    .bind(case.as_str())
    .bind(alarm.cause.as_str())
    .bind(alarm.model.as_deref())
    .bind(alarm.severity.as_str())
    .bind(i64::from(alarm.confidence_bp))
    .bind(alarm.failure_ppm.map(i64::from))
    .bind(i64::from(alarm.watching))
    .bind(alarm.peak_milli)
    .bind(alarm.summary.as_str())
    .bind(alarm.evidence.to_string())
    .bind(micros(alarm.began_at))
    .bind(micros(alarm.raised_at))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps what may change of an alarm: how bad and how sure it is, and its end.
pub(super) async fn save_alarm(tx: &mut Tx<'_>, alarm: &AlarmOfCase) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE case_alarms SET severity = $1, confidence_bp = $2, failure_ppm = $3, \
         peak_milli = $4, summary = $5, returned_at = $6 WHERE alarm_id = $7",
    )
    .bind(alarm.severity.as_str())
    .bind(i64::from(alarm.confidence_bp))
    .bind(alarm.failure_ppm.map(i64::from))
    .bind(alarm.peak_milli)
    .bind(alarm.summary.as_str())
    .bind(micros_opt(alarm.returned_at))
    .bind(alarm.alarm_id.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The alarms of a case, in the order of their ids.
pub(super) async fn alarms(
    conn: &mut AnyConnection,
    case: &CaseId,
) -> Result<Vec<AlarmOfCase>, StoreError> {
    let rows = sqlx::query(
        "SELECT alarm_id, cause, model, severity, confidence_bp, failure_ppm, watching, \
         peak_milli, summary, evidence, began_at, raised_at, returned_at FROM case_alarms \
         WHERE case_id = $1 ORDER BY raised_at, alarm_id",
    )
    .bind(case.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(AlarmOfCase {
                alarm_id: text(row, "alarm_id")?,
                cause: text(row, "cause")?,
                model: text_opt(row, "model")?,
                severity: text(row, "severity")?,
                confidence_bp: small(row, "confidence_bp")?,
                failure_ppm: small_opt(row, "failure_ppm")?,
                watching: small(row, "watching")?,
                peak_milli: int_opt(row, "peak_milli")?,
                summary: text(row, "summary")?,
                evidence: json(row, "evidence")?,
                began_at: instant(row, "began_at")?,
                raised_at: instant(row, "raised_at")?,
                returned_at: instant_opt(row, "returned_at")?,
            })
        })
        .collect()
}

/// Cases after `after` in the order of their ids, with this status and on this asset if given.
pub(super) async fn list(
    conn: &mut AnyConnection,
    (after, limit): (&str, i64),
    (status, tier, asset): (&str, &str, &str),
) -> Result<Vec<Case>, StoreError> {
    let query = format!(
        "{COLUMNS} JOIN assets a ON a.id = c.asset_id WHERE c.id > $1 \
         AND ($2 = '' OR c.status = $2) AND ($3 = '' OR c.tier = $3) \
         AND ($4 = '' OR a.id = $4 OR a.tag = $4) ORDER BY c.id LIMIT $5"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(after)
        .bind(status)
        .bind(tier)
        .bind(asset)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<Case, StoreError> {
    let currency: Currency = parsed(row, "currency")?;
    let status: CaseStatus = parsed(row, "status")?;
    Ok(Case {
        id: parsed(row, "id")?,
        asset_id: parsed(row, "asset_id")?,
        failure_mode: text(row, "failure_mode")?,
        status,
        tier: parsed(row, "tier")?,
        reason: text(row, "reason")?,
        summary: text(row, "summary")?,
        facts: Facts {
            severity: parsed(row, "severity")?,
            confidence_bp: small(row, "confidence_bp")?,
            persistence_s: int(row, "persistence_s")?,
            failure_ppm: small_opt(row, "failure_ppm")?,
            forecast: small_opt(row, "forecast_ppm")?
                .zip(parsed_opt(row, "forecast_basis")?)
                .map(|(ppm, basis)| Forecast { ppm, basis }),
            agreement: Agreement {
                agreeing: small(row, "agreeing")?,
                watching: small(row, "watching")?,
            },
        },
        saving: Money::from_minor(int(row, "saving")?, currency),
        visit: Money::from_minor(int(row, "visit")?, currency),
        opened_at: instant(row, "opened_at")?,
        decided_at: instant(row, "decided_at")?,
        again_at: instant_opt(row, "again_at")?,
        work_order_id: parsed_opt(row, "work_order_id")?,
        close_out: parsed_opt(row, "close_out")?,
        closed_at: instant_opt(row, "closed_at")?,
        closed_by: text_opt(row, "closed_by")?,
        close_reason: text_opt(row, "close_reason")?,
        version: int(row, "version")?,
    })
}

fn small(row: &AnyRow, column: &'static str) -> Result<u32, StoreError> {
    u32::try_from(int(row, column)?).map_err(|error| StoreError::unreadable(column, error))
}

fn small_opt(row: &AnyRow, column: &'static str) -> Result<Option<u32>, StoreError> {
    int_opt(row, column)?
        .map(|value| u32::try_from(value).map_err(|error| StoreError::unreadable(column, error)))
        .transpose()
}
