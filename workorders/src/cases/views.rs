//! Cases as callers see them.

use sqlx::AnyConnection;

use super::lifecycle::{CaseStatus, CaseVerb, allowed_actions};
use super::{AlarmOfCase, Case, CaseError, rows, triage};
use crate::orders::views::AssetRef;
use crate::store::ids::CaseId;
use crate::store::page::{Page, PageRequest};
use crate::store::{Db, StoreError};
use crate::triage::Tier;

/// A case with its asset and its alarms.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseView {
    /// The case.
    pub case: Case,
    /// Its asset.
    pub asset: AssetRef,
    /// Its alarms.
    pub alarms: Vec<AlarmOfCase>,
    /// What a person may do now.
    pub allowed_actions: Vec<CaseVerb>,
}

/// Which cases to list; an empty filter lists all.
#[derive(Debug, Clone, Default)]
pub struct CaseFilter {
    /// With this status.
    pub status: Option<CaseStatus>,
    /// With this tier.
    pub tier: Option<Tier>,
    /// On the asset with this id or tag.
    pub asset: Option<String>,
}

/// A page of cases.
///
/// **Errors** when the store fails.
pub async fn list(
    db: &Db,
    filter: &CaseFilter,
    page: &PageRequest,
) -> Result<Page<CaseView>, CaseError> {
    let mut moment = db.snapshot().await?;
    let which = (
        filter.status.map_or("", CaseStatus::as_str),
        filter.tier.map_or("", Tier::as_str),
        filter.asset.as_deref().unwrap_or(""),
    );
    let span = (page.after_or_start(), page.fetch_limit());
    let mut items = Vec::new();
    for case in rows::list(&mut moment, span, which).await? {
        items.push(view(&mut moment, case).await?);
    }
    moment.rollback().await.map_err(StoreError::from)?;
    Ok(Page::cut(page, items, |one: &CaseView| {
        one.case.id.to_string()
    }))
}

/// One case with its alarms.
///
/// **Errors** when there is none, or the store fails.
pub async fn get(conn: &mut AnyConnection, id: &CaseId) -> Result<CaseView, CaseError> {
    let case = rows::load(conn, id).await?;
    view(conn, case).await
}

async fn view(conn: &mut AnyConnection, case: Case) -> Result<CaseView, CaseError> {
    let asset = triage::asset_of(conn, &case).await?;
    Ok(CaseView {
        asset: AssetRef {
            id: asset.id,
            tag: asset.tag,
            class: asset.class,
        },
        alarms: rows::alarms(conn, &case.id).await?,
        allowed_actions: allowed_actions(case.status),
        case,
    })
}
