//! Proposals in the store, and a person's word on them.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::{Episode, propose};
use crate::money::{Currency, Money, MoneyError};
use crate::problem::{Family, Problem};
use crate::store::audit::{self, Change};
use crate::store::columns::{instant, instant_opt, int, micros, parsed, text, text_opt};
use crate::store::ids::ProposalId;
use crate::store::page::{Page, PageRequest};
use crate::store::{Ctx, Db, StoreError, Tx, outbox};
use crate::triage;

/// Episodes of one class and detector that are weighed, the newest.
const MAX_EPISODES: i64 = 2_000;

words! {
    /// Where a proposal stands.
    ProposalStatus {
        /// It waits for a person.
        Proposed => "proposed",
        /// A person put it in force; final.
        Promoted => "promoted",
        /// A person said no, or a newer proposal took its place; final.
        Declined => "declined",
    }
}

/// A proposal as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Identity.
    pub id: ProposalId,
    /// Class of the assets.
    pub class: String,
    /// The detector.
    pub cause: String,
    /// Where it stands.
    pub status: ProposalStatus,
    /// By what to multiply the limit. **Units** thousandths.
    pub factor_milli: i64,
    /// Labeled episodes behind it.
    pub episodes: i64,
    /// Of these, faults.
    pub confirmed: i64,
    /// Of these, nothing.
    pub no_fault_found: i64,
    /// What the episodes cost with the limit as it is, as planned.
    pub cost_now: Money,
    /// What they would have cost.
    pub cost_proposed: Money,
    /// One sentence for people.
    pub reason: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When a person decided.
    pub decided_at: Option<DateTime<Utc>>,
    /// Who.
    pub decided_by: Option<String>,
    /// When a person took the promoted limit back.
    pub taken_back_at: Option<DateTime<Utc>>,
    /// Who.
    pub taken_back_by: Option<String>,
    /// Grows with every change.
    pub version: i64,
}

impl Kept {
    /// Whether its factor multiplies the limit of its detector now.
    pub fn is_in_force(&self) -> bool {
        self.status == ProposalStatus::Promoted && self.taken_back_at.is_none()
    }
}

/// A command or query about proposals failed.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// The caller decided on an older version.
    #[error("the proposal is at version {actual}, not {expected}: read it again and decide anew")]
    Stale {
        /// What the caller read.
        expected: i64,
        /// What it is.
        actual: i64,
    },
    /// It was decided before.
    #[error("the proposal is {0} already")]
    Decided(ProposalStatus),
    /// Only what is in force can be taken back.
    #[error("the proposal is {0} and not in force: only a promoted limit can be taken back")]
    NotInForce(ProposalStatus),
    /// There is no such proposal.
    #[error("no proposal has the id {0}")]
    NotFound(ProposalId),
    /// Costs do not add up.
    #[error("the costs of the labeled episodes do not add up")]
    Money(#[from] MoneyError),
    /// The store failed.
    #[error("the proposals could not be read or saved")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ProposalError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Problem for ProposalError {
    fn family(&self) -> Family {
        match self {
            Self::Stale { .. } => Family::Stale,
            Self::Decided(_) | Self::NotInForce(_) | Self::Money(_) => Family::Refused,
            Self::NotFound(_) => Family::NotFound,
            Self::Store(error) => error.family(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Stale { .. } => "stale_version",
            Self::Decided(_) | Self::NotInForce(_) => "not_allowed_now",
            Self::NotFound(_) => "no_such_proposal",
            Self::Money(_) => "costs_do_not_add",
            Self::Store(error) => error.code(),
        }
    }
}

const COLUMNS: &str = "SELECT id, class, cause, status, factor_milli, episodes, confirmed, \
     no_fault_found, cost_now, cost_proposed, currency, reason, created_at, decided_at, \
     decided_by, taken_back_at, taken_back_by, version FROM limit_proposals";

/// Weighs what the field has labeled since the limit was last changed, and keeps what is worth
/// proposing: one open proposal per class and detector, the newest.
///
/// **Errors** when costs do not add up or the store fails.
pub async fn refresh(tx: &mut Tx<'_>, ctx: &Ctx) -> Result<Vec<ProposalId>, ProposalError> {
    let rows = sqlx::query(
        "SELECT DISTINCT a.class, m.cause FROM case_alarms m JOIN cases c ON c.id = m.case_id \
         JOIN assets a ON a.id = c.asset_id \
         WHERE c.close_out IS NOT NULL AND m.peak_milli IS NOT NULL ORDER BY a.class, m.cause",
    )
    .fetch_all(tx.conn())
    .await?;
    let mut made = Vec::new();
    for row in rows {
        let (class, cause) = (text(&row, "class")?, text(&row, "cause")?);
        let episodes = episodes(tx.conn(), &class, &cause).await?;
        let Some(proposal) = propose(&episodes)? else {
            continue;
        };
        let found = episodes.iter().filter(|one| one.found).count();
        let count = |many: usize| i64::try_from(many).unwrap_or(i64::MAX);
        let kept = Kept {
            id: ProposalId::new(ctx),
            status: ProposalStatus::Proposed,
            factor_milli: proposal.factor_milli,
            episodes: count(episodes.len()),
            confirmed: count(found),
            no_fault_found: count(episodes.len() - found),
            cost_now: proposal.cost_now,
            cost_proposed: proposal.cost_proposed,
            reason: format!(
                "of {} labeled episodes of {cause} on {class} {found} were faults: the limit \
                 times {}.{:03} would have cost {} instead of {}",
                episodes.len(),
                proposal.factor_milli / 1_000,
                proposal.factor_milli % 1_000,
                proposal.cost_proposed,
                proposal.cost_now
            ),
            class,
            cause,
            created_at: ctx.now,
            decided_at: None,
            decided_by: None,
            taken_back_at: None,
            taken_back_by: None,
            version: 1,
        };
        if keep(tx, ctx, &kept).await? {
            made.push(kept.id);
        }
    }
    Ok(made)
}

/// A person puts a proposed limit in force.
///
/// **Errors** when there is none, it was decided before, the version is older, or the store fails.
pub async fn promote(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &ProposalId,
    expected_version: Option<i64>,
) -> Result<Kept, ProposalError> {
    settle(tx, ctx, id, ProposalStatus::Promoted, expected_version).await
}

/// A person says no to a proposed limit.
///
/// **Errors** as [`promote`].
pub async fn decline(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &ProposalId,
    expected_version: Option<i64>,
) -> Result<Kept, ProposalError> {
    settle(tx, ctx, id, ProposalStatus::Declined, expected_version).await
}

/// A person takes a promoted limit back: it is as if it had not been promoted.
///
/// **Errors** as [`promote`]; a proposal that is not in force is refused.
pub async fn take_back(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &ProposalId,
    expected_version: Option<i64>,
) -> Result<Kept, ProposalError> {
    let mut kept = get(tx.conn(), id).await?;
    if kept.taken_back_at.is_some() {
        return Ok(kept);
    }
    let actual = kept.version;
    if let Some(expected) = expected_version.filter(|expected| *expected != actual) {
        return Err(ProposalError::Stale { expected, actual });
    }
    if kept.status != ProposalStatus::Promoted {
        return Err(ProposalError::NotInForce(kept.status));
    }
    kept.taken_back_at = Some(ctx.now);
    kept.taken_back_by = Some(ctx.actor.clone());
    kept.version += 1;
    sqlx::query(
        "UPDATE limit_proposals SET taken_back_at = $1, taken_back_by = $2, version = $3 \
         WHERE id = $4",
    )
    .bind(micros(ctx.now))
    .bind(ctx.actor.as_str())
    .bind(kept.version)
    .bind(id.as_str())
    .execute(tx.conn())
    .await?;
    tell(tx, ctx, &kept, Some(actual)).await?;
    Ok(kept)
}

/// Every promoted proposal, those that were taken back among them, in the order of their ids: what
/// whoever multiplies limits has to know.
///
/// **Errors** when the store fails.
pub async fn promoted(db: &Db) -> Result<Vec<Kept>, ProposalError> {
    let query = format!("{COLUMNS} WHERE status = 'promoted' ORDER BY id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(query))
        .fetch_all(db.pool())
        .await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// One proposal.
///
/// **Errors** when there is none, or the store fails.
pub async fn get(conn: &mut AnyConnection, id: &ProposalId) -> Result<Kept, ProposalError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE id = $1")))
        .bind(id.as_str())
        .fetch_optional(conn)
        .await?;
    match row {
        Some(row) => Ok(read(&row)?),
        None => Err(ProposalError::NotFound(id.clone())),
    }
}

/// A page of proposals, with this status if given.
///
/// **Errors** when the store fails.
pub async fn list(
    db: &Db,
    status: Option<ProposalStatus>,
    page: &PageRequest,
) -> Result<Page<Kept>, ProposalError> {
    let query =
        format!("{COLUMNS} WHERE id > $1 AND ($2 = '' OR status = $2) ORDER BY id LIMIT $3");
    let rows = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(page.after_or_start())
        .bind(status.map_or("", ProposalStatus::as_str))
        .bind(page.fetch_limit())
        .fetch_all(db.pool())
        .await?;
    let items = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Page::cut(page, items, |kept: &Kept| kept.id.to_string()))
}

/// The labeled episodes of a class and detector since its limit was last promoted or taken back:
/// their peaks are multiples of the limit that is in force.
async fn episodes(
    conn: &mut AnyConnection,
    class: &str,
    cause: &str,
) -> Result<Vec<Episode>, ProposalError> {
    let rows = sqlx::query(
        "SELECT c.id, a.criticality, c.close_out, MAX(m.peak_milli) AS peak FROM case_alarms m \
         JOIN cases c ON c.id = m.case_id JOIN assets a ON a.id = c.asset_id \
         WHERE a.class = $1 AND m.cause = $2 AND c.close_out IS NOT NULL \
         AND m.peak_milli IS NOT NULL AND c.opened_at > (SELECT \
         COALESCE(MAX(COALESCE(p.taken_back_at, p.decided_at)), 0) FROM limit_proposals p WHERE p.class = $1 AND p.cause = $2 AND p.status = 'promoted') \
         GROUP BY c.id, a.criticality, c.close_out ORDER BY c.id DESC LIMIT $3",
    )
    .bind(class)
    .bind(cause)
    .bind(MAX_EPISODES)
    .fetch_all(conn)
    .await?;
    let mut episodes = Vec::with_capacity(rows.len());
    for row in rows {
        let economics = triage::economics(class, int(&row, "criticality")?)
            .map_err(|error| StoreError::unreadable("economics.toml", error))?;
        let saved = economics
            .failure
            .minus(economics.repair)?
            .minus(economics.dispatch)?;
        episodes.push(Episode {
            peak_milli: int(&row, "peak")?,
            found: text(&row, "close_out")? != "no_fault_found",
            visit: economics.dispatch,
            saved: if saved.minor() > 0 {
                saved
            } else {
                Money::zero(economics.currency())
            },
        });
    }
    Ok(episodes)
}

/// Keeps a proposal unless the open one says the same; a different one is taken back.
async fn keep(tx: &mut Tx<'_>, ctx: &Ctx, kept: &Kept) -> Result<bool, ProposalError> {
    let key = format!("{}|{}", kept.class, kept.cause);
    let query = format!("{COLUMNS} WHERE open_key = $1");
    let open = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(key.as_str())
        .fetch_optional(tx.conn())
        .await?;
    if let Some(open) = open.as_ref().map(read).transpose()? {
        if (open.factor_milli, open.episodes) == (kept.factor_milli, kept.episodes) {
            return Ok(false);
        }
        settle(tx, ctx, &open.id, ProposalStatus::Declined, None).await?;
    }
    sqlx::query(
        "INSERT INTO limit_proposals (id, class, cause, status, open_key, factor_milli, \
         episodes, confirmed, no_fault_found, cost_now, cost_proposed, currency, reason, \
         created_at, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
         $14, 1)",
    )
    .bind(kept.id.as_str())
    .bind(kept.class.as_str())
    .bind(kept.cause.as_str())
    .bind(kept.status.as_str())
    .bind(key)
    .bind(kept.factor_milli)
    .bind(kept.episodes)
    .bind(kept.confirmed)
    .bind(kept.no_fault_found)
    .bind(kept.cost_now.minor())
    .bind(kept.cost_proposed.minor())
    .bind(kept.cost_now.currency().to_string())
    .bind(kept.reason.as_str())
    .bind(micros(kept.created_at))
    .execute(tx.conn())
    .await?;
    tell(tx, ctx, kept, None).await?;
    Ok(true)
}

async fn settle(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &ProposalId,
    to: ProposalStatus,
    expected_version: Option<i64>,
) -> Result<Kept, ProposalError> {
    let mut kept = get(tx.conn(), id).await?;
    if kept.status == to {
        return Ok(kept);
    }
    let actual = kept.version;
    if let Some(expected) = expected_version.filter(|expected| *expected != actual) {
        return Err(ProposalError::Stale { expected, actual });
    }
    if kept.status != ProposalStatus::Proposed {
        return Err(ProposalError::Decided(kept.status));
    }
    kept.status = to;
    kept.decided_at = Some(ctx.now);
    kept.decided_by = Some(ctx.actor.clone());
    kept.version += 1;
    sqlx::query(
        "UPDATE limit_proposals SET status = $1, open_key = NULL, decided_at = $2, \
         decided_by = $3, version = $4 WHERE id = $5",
    )
    .bind(kept.status.as_str())
    .bind(micros(ctx.now))
    .bind(ctx.actor.as_str())
    .bind(kept.version)
    .bind(id.as_str())
    .execute(tx.conn())
    .await?;
    tell(tx, ctx, &kept, Some(actual)).await?;
    Ok(kept)
}

/// What leaves has no money in it: the detectors hear this.
async fn tell(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    kept: &Kept,
    before: Option<i64>,
) -> Result<(), ProposalError> {
    let data = json!({
        "class": kept.class,
        "cause": kept.cause,
        "factor_milli": kept.factor_milli,
        "episodes": kept.episodes,
        "actor": ctx.actor,
    });
    let verb = match kept.taken_back_at {
        Some(_) => "taken_back",
        None => kept.status.as_str(),
    };
    let change = Change {
        noun: "limit_proposal",
        subject: kept.id.as_str(),
        verb,
        before,
        after: kept.version,
        detail: data.clone(),
    };
    audit::record(tx, ctx, change).await?;
    let kind = format!("limit_proposal.{verb}");
    outbox::publish(tx, ctx, &kind, kept.id.as_str(), data).await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<Kept, StoreError> {
    let currency: Currency = parsed(row, "currency")?;
    Ok(Kept {
        id: parsed(row, "id")?,
        class: text(row, "class")?,
        cause: text(row, "cause")?,
        status: parsed(row, "status")?,
        factor_milli: int(row, "factor_milli")?,
        episodes: int(row, "episodes")?,
        confirmed: int(row, "confirmed")?,
        no_fault_found: int(row, "no_fault_found")?,
        cost_now: Money::from_minor(int(row, "cost_now")?, currency),
        cost_proposed: Money::from_minor(int(row, "cost_proposed")?, currency),
        reason: text(row, "reason")?,
        created_at: instant(row, "created_at")?,
        decided_at: instant_opt(row, "decided_at")?,
        decided_by: text_opt(row, "decided_by")?,
        taken_back_at: instant_opt(row, "taken_back_at")?,
        taken_back_by: text_opt(row, "taken_back_by")?,
        version: int(row, "version")?,
    })
}
