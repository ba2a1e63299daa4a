//! Who changed what, when, and from which version to which.

use serde_json::Value;

use super::ids::AuditId;
use super::{Ctx, StoreError, Tx, columns::micros};

/// One change, as the audit trail keeps it.
#[derive(Debug)]
pub struct Change<'a> {
    /// The kind of thing, such as `work_order`.
    pub noun: &'static str,
    /// Its id.
    pub subject: &'a str,
    /// What was done, such as `post`.
    pub verb: &'a str,
    /// The version before, none when it is new.
    pub before: Option<i64>,
    /// The version after.
    pub after: i64,
    /// What else must be known: a reason, an override.
    pub detail: Value,
}

/// Writes the change into the transaction.
///
/// **Errors** when the store fails.
pub async fn record(tx: &mut Tx<'_>, ctx: &Ctx, change: Change<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit (id, at, actor, noun, subject, verb, version_before, version_after, \
         detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(AuditId::new(ctx).as_str())
    .bind(micros(ctx.now))
    .bind(ctx.actor.as_str())
    .bind(change.noun)
    .bind(change.subject)
    .bind(change.verb)
    .bind(change.before)
    .bind(change.after)
    .bind(change.detail.to_string())
    .execute(tx.conn())
    .await?;
    Ok(())
}
