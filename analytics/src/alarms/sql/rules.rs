//! What rules remember, in the operational store.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::store::{AlarmStoreError, RuleMemory, RuleWrite};
use super::rows::Columns;
use super::{SqlAlarmStore, failed};

pub(super) async fn read(
    store: &SqlAlarmStore,
    rule: &str,
    definition: &str,
) -> Result<Vec<RuleMemory>, AlarmStoreError> {
    let found =
        sqlx::query("SELECT * FROM rule_memory WHERE rule = $1 AND definition = $2 ORDER BY asset")
            .bind(rule.to_owned())
            .bind(definition.to_owned())
            .fetch_all(&store.pool)
            .await
            .map_err(failed("read what a rule remembers"))?;
    found.iter().map(memory).collect()
}

pub(super) async fn save(store: &SqlAlarmStore, write: &RuleWrite) -> Result<(), AlarmStoreError> {
    let mut writing = store.begin().await?;
    sqlx::query("DELETE FROM rule_memory WHERE rule = $1 AND definition <> $2")
        .bind(write.rule.clone())
        .bind(write.definition.clone())
        .execute(&mut *writing.inner)
        .await
        .map_err(failed("forget what a former rule remembers"))?;
    for asset in &write.gone {
        sqlx::query("DELETE FROM rule_memory WHERE rule = $1 AND asset = $2")
            .bind(write.rule.clone())
            .bind(asset.clone())
            .execute(&mut *writing.inner)
            .await
            .map_err(failed("forget what a rule remembers"))?;
    }
    for one in &write.put {
        sqlx::query(
            "INSERT INTO rule_memory (rule, asset, definition, since, active, back_since) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (rule, asset) DO UPDATE SET \
             definition = excluded.definition, since = excluded.since, \
             active = excluded.active, back_since = excluded.back_since",
        )
        .bind(write.rule.clone())
        .bind(one.asset.clone())
        .bind(write.definition.clone())
        .bind(one.since.timestamp_micros())
        .bind(i64::from(one.active))
        .bind(one.back_since.map(|at| at.timestamp_micros()))
        .execute(&mut *writing.inner)
        .await
        .map_err(failed("save what a rule remembers"))?;
    }
    writing.commit().await
}

pub(super) async fn keep(store: &SqlAlarmStore, names: &[String]) -> Result<(), AlarmStoreError> {
    let known = sqlx::query("SELECT DISTINCT rule FROM rule_memory ORDER BY rule")
        .fetch_all(&store.pool)
        .await
        .map_err(failed("read which rules remember something"))?;
    let mut gone = Vec::new();
    for row in &known {
        let rule: String = row
            .try_get(0)
            .map_err(failed("read which rules remember something"))?;
        if !names.contains(&rule) {
            gone.push(rule);
        }
    }
    if gone.is_empty() {
        return Ok(());
    }
    let mut writing = store.begin().await?;
    for rule in gone {
        sqlx::query("DELETE FROM rule_memory WHERE rule = $1")
            .bind(rule)
            .execute(&mut *writing.inner)
            .await
            .map_err(failed("forget what a rule remembers"))?;
    }
    writing.commit().await
}

fn memory(row: &AnyRow) -> Result<RuleMemory, AlarmStoreError> {
    let of = Columns {
        table: "rule_memory",
        row,
    };
    Ok(RuleMemory {
        asset: of.text("asset")?,
        since: of.instant("since")?,
        active: of.int("active")? != 0,
        back_since: of.maybe_instant("back_since")?,
    })
}
