//! Suppressions and what they kept down, in the operational store.

use chrono::{DateTime, Utc};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::super::alarm::{Acknowledgement, Occurrence};
use super::super::store::{AlarmStoreError, MAX_PAGE, SuppressedFilter, SuppressionFilter};
use super::super::suppression::{
    Condition, Suppressed, SuppressedOutcome, Suppression, SuppressionId,
};
use super::rows::{Columns, Statement, as_i64};
use super::{SqlAlarmStore, failed};

const INSERT: &str = "INSERT INTO alarm_suppressions (id, fingerprint, kind, asset, class, cause, \
    while_asset, while_cause, from_at, until_at, reason, declared_by, declared_at, ended_by, \
    ended_at, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
    $16) ON CONFLICT DO NOTHING";

const UPDATE: &str = "UPDATE alarm_suppressions SET fingerprint = $2, kind = $3, asset = $4, \
    class = $5, cause = $6, while_asset = $7, while_cause = $8, from_at = $9, until_at = $10, \
    reason = $11, declared_by = $12, declared_at = $13, ended_by = $14, ended_at = $15, \
    version = $16 WHERE id = $1 AND version = $16 - 1";

const INSERT_SUPPRESSED: &str = "INSERT INTO suppressed_occurrences (id, open_key, asset, class, \
    cause, severity, summary, evidence, began_at, found_at, suppression_id, kind, reason, outcome, \
    outcome_at, alarm_id, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
    $14, $15, $16, $17) ON CONFLICT DO NOTHING";

const UPDATE_SUPPRESSED: &str = "UPDATE suppressed_occurrences SET open_key = $2, asset = $3, \
    class = $4, cause = $5, severity = $6, summary = $7, evidence = $8, began_at = $9, \
    found_at = $10, suppression_id = $11, kind = $12, reason = $13, outcome = $14, \
    outcome_at = $15, alarm_id = $16, version = $17 WHERE id = $1 AND version = $17 - 1";

pub(super) async fn save(
    store: &SqlAlarmStore,
    suppression: &Suppression,
) -> Result<(), AlarmStoreError> {
    let mut writing = store.begin().await?;
    let statement = if suppression.version == 1 {
        INSERT
    } else {
        UPDATE
    };
    let micros = |at: DateTime<Utc>| at.timestamp_micros();
    let during = suppression.during.as_ref();
    let ended = suppression.ended.as_ref();
    let done = sqlx::query(statement)
        .bind(suppression.id.as_str().to_owned())
        .bind(suppression.fingerprint.clone())
        .bind(suppression.kind.as_str())
        .bind(suppression.asset.clone())
        .bind(suppression.class.clone())
        .bind(suppression.cause.clone())
        .bind(during.and_then(|during| during.asset.clone()))
        .bind(during.map(|during| during.cause.clone()))
        .bind(micros(suppression.from))
        .bind(suppression.until.map(micros))
        .bind(suppression.reason.clone())
        .bind(suppression.declared.by.clone())
        .bind(micros(suppression.declared.at))
        .bind(ended.map(|ended| ended.by.clone()))
        .bind(ended.map(|ended| micros(ended.at)))
        .bind(suppression.version)
        .execute(&mut *writing.inner)
        .await
        .map_err(failed("save a suppression"))?;
    if done.rows_affected() != 1 {
        return Err(AlarmStoreError::Conflict);
    }
    writing.commit().await
}

pub(super) async fn get(
    store: &SqlAlarmStore,
    id: &SuppressionId,
) -> Result<Option<Suppression>, AlarmStoreError> {
    let row = sqlx::query("SELECT * FROM alarm_suppressions WHERE id = $1")
        .bind(id.as_str().to_owned())
        .fetch_optional(&store.pool)
        .await
        .map_err(failed("read a suppression"))?;
    row.as_ref().map(suppression).transpose()
}

pub(super) async fn list(
    store: &SqlAlarmStore,
    filter: &SuppressionFilter,
) -> Result<Vec<Suppression>, AlarmStoreError> {
    let before = filter.before.as_ref();
    let found = sqlx::query(
        "SELECT * FROM alarm_suppressions WHERE ($1 IS NULL OR asset = $1) \
         AND ($2 IS NULL OR class = $2) \
         AND ($3 IS NULL OR (from_at <= $3 AND (until_at IS NULL OR until_at > $3))) \
         AND ($4 IS NULL OR declared_at < $4 OR (declared_at = $4 AND id < $5)) \
         ORDER BY declared_at DESC, id DESC LIMIT $6",
    )
    .bind(filter.asset.clone())
    .bind(filter.class.clone())
    .bind(filter.holding_at.map(|at| at.timestamp_micros()))
    .bind(before.map(|(at, _)| at.timestamp_micros()))
    .bind(before.map(|(_, id)| id.to_string()))
    .bind(as_i64(filter.limit.clamp(1, MAX_PAGE)))
    .fetch_all(&store.pool)
    .await
    .map_err(failed("list suppressions"))?;
    found.iter().map(suppression).collect()
}

pub(super) async fn covering(
    store: &SqlAlarmStore,
    asset: &str,
    class: &str,
    cause: &str,
    at: DateTime<Utc>,
) -> Result<Vec<Suppression>, AlarmStoreError> {
    let found = sqlx::query(
        "SELECT * FROM alarm_suppressions WHERE (asset = $1 OR class = $2) \
         AND (cause IS NULL OR cause = $3) AND from_at <= $4 \
         AND (until_at IS NULL OR until_at > $4) ORDER BY id LIMIT $5",
    )
    .bind(asset.to_owned())
    .bind(class.to_owned())
    .bind(cause.to_owned())
    .bind(at.timestamp_micros())
    .bind(as_i64(MAX_PAGE))
    .fetch_all(&store.pool)
    .await
    .map_err(failed("look for suppressions"))?;
    found.iter().map(suppression).collect()
}

pub(super) async fn put_suppressed(
    connection: &mut AnyConnection,
    suppressed: &Suppressed,
) -> Result<(), AlarmStoreError> {
    let statement = if suppressed.version == 1 {
        INSERT_SUPPRESSED
    } else {
        UPDATE_SUPPRESSED
    };
    let written = bind_suppressed(sqlx::query(statement), suppressed)
        .execute(connection)
        .await;
    match written {
        Ok(done) if done.rows_affected() == 1 => Ok(()),
        Ok(_) => Err(AlarmStoreError::Conflict),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(AlarmStoreError::Conflict)
        }
        Err(source) => Err(failed("save a suppressed occurrence")(source)),
    }
}

fn bind_suppressed<'q>(statement: Statement<'q>, suppressed: &Suppressed) -> Statement<'q> {
    let found = &suppressed.occurrence;
    let (outcome_at, alarm) = match &suppressed.outcome {
        SuppressedOutcome::Standing => (None, None),
        SuppressedOutcome::Returned { at } => (Some(*at), None),
        SuppressedOutcome::Raised { at, alarm } => (Some(*at), Some(alarm.to_string())),
    };
    statement
        .bind(suppressed.id.as_str().to_owned())
        .bind(suppressed.open_key())
        .bind(found.asset.clone())
        .bind(found.class.clone())
        .bind(found.cause.clone())
        .bind(found.severity.as_str())
        .bind(found.summary.clone())
        .bind(found.evidence.to_string())
        .bind(found.began_at.timestamp_micros())
        .bind(found.raised_at.timestamp_micros())
        .bind(suppressed.suppression.as_str().to_owned())
        .bind(suppressed.kind.as_str())
        .bind(suppressed.reason.clone())
        .bind(suppressed.outcome.as_str())
        .bind(outcome_at.map(|at| at.timestamp_micros()))
        .bind(alarm)
        .bind(suppressed.version)
}

pub(super) async fn list_suppressed(
    store: &SqlAlarmStore,
    filter: &SuppressedFilter,
) -> Result<Vec<Suppressed>, AlarmStoreError> {
    let found = sqlx::query(
        "SELECT * FROM suppressed_occurrences WHERE ($1 IS NULL OR asset = $1) \
         AND ($2 IS NULL OR cause = $2) AND ($3 IS NULL OR suppression_id = $3) \
         AND ($4 IS NULL OR (CASE WHEN outcome = 'standing' THEN 1 ELSE 0 END) = $4) \
         AND ($5 IS NULL OR id < $5) ORDER BY id DESC LIMIT $6",
    )
    .bind(filter.asset.clone())
    .bind(filter.cause.clone())
    .bind(filter.suppression.as_ref().map(ToString::to_string))
    .bind(filter.standing.map(i64::from))
    .bind(filter.before.as_ref().map(ToString::to_string))
    .bind(as_i64(filter.limit.clamp(1, MAX_PAGE)))
    .fetch_all(&store.pool)
    .await
    .map_err(failed("list suppressed occurrences"))?;
    found.iter().map(suppressed).collect()
}

fn suppression(row: &AnyRow) -> Result<Suppression, AlarmStoreError> {
    let of = Columns {
        table: "alarm_suppressions",
        row,
    };
    let during = match of.maybe_text("while_cause")? {
        Some(cause) => Some(Condition {
            asset: of.maybe_text("while_asset")?,
            cause,
        }),
        None => None,
    };
    let ended = of
        .maybe_text("ended_by")?
        .zip(of.maybe_instant("ended_at")?);
    Ok(Suppression {
        id: of.parsed("id")?,
        fingerprint: of.text("fingerprint")?,
        kind: of.parsed("kind")?,
        asset: of.maybe_text("asset")?,
        class: of.maybe_text("class")?,
        cause: of.maybe_text("cause")?,
        during,
        from: of.instant("from_at")?,
        until: of.maybe_instant("until_at")?,
        reason: of.text("reason")?,
        declared: Acknowledgement {
            by: of.text("declared_by")?,
            at: of.instant("declared_at")?,
        },
        ended: ended.map(|(by, at)| Acknowledgement { by, at }),
        version: of.int("version")?,
    })
}

fn suppressed(row: &AnyRow) -> Result<Suppressed, AlarmStoreError> {
    let of = Columns {
        table: "suppressed_occurrences",
        row,
    };
    let word = of.text("outcome")?;
    let outcome = match word.as_str() {
        "standing" => SuppressedOutcome::Standing,
        "returned" => SuppressedOutcome::Returned {
            at: of.instant("outcome_at")?,
        },
        "raised" => SuppressedOutcome::Raised {
            at: of.instant("outcome_at")?,
            alarm: of.parsed("alarm_id")?,
        },
        other => return Err(of.unreadable("outcome", other)),
    };
    Ok(Suppressed {
        id: of.parsed("id")?,
        occurrence: Occurrence {
            asset: of.text("asset")?,
            class: of.text("class")?,
            cause: of.text("cause")?,
            severity: of.parsed("severity")?,
            summary: of.text("summary")?,
            evidence: of.json("evidence")?,
            began_at: of.instant("began_at")?,
            raised_at: of.instant("found_at")?,
        },
        suppression: of.parsed("suppression_id")?,
        kind: of.parsed("kind")?,
        reason: of.text("reason")?,
        outcome,
        version: of.int("version")?,
    })
}
