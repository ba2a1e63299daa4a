//! The case as the decisions know it.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::lifecycle::{CaseStatus, CloseOut};
use crate::money::Money;
use crate::orders::Severity;
use crate::orders::intake::AlarmReport;
use crate::store::ids::{AssetId, CaseId, WorkOrderId};
use crate::triage::{Agreement, Facts, Tier};

/// A condition of an asset, and what triage decided about it last.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Identity.
    pub id: CaseId,
    /// The machine.
    pub asset_id: AssetId,
    /// What is wrong.
    pub failure_mode: String,
    /// Where it stands.
    pub status: CaseStatus,
    /// What it came to.
    pub tier: Tier,
    /// Why.
    pub reason: String,
    /// One sentence for people, of the newest alarm.
    pub summary: String,
    /// What the decision was made on.
    pub facts: Facts,
    /// What the decision saves on average, as planned.
    pub saving: Money,
    /// What a visit of its own costs, as planned.
    pub visit: Money,
    /// When its first alarm came in.
    pub opened_at: DateTime<Utc>,
    /// When it was decided last.
    pub decided_at: DateTime<Utc>,
    /// When time alone may change the decision.
    pub again_at: Option<DateTime<Utc>>,
    /// The order that it became or joined.
    pub work_order_id: Option<WorkOrderId>,
    /// What it turned out to be.
    pub close_out: Option<CloseOut>,
    /// When it was closed.
    pub closed_at: Option<DateTime<Utc>>,
    /// Who closed it, or what.
    pub closed_by: Option<String>,
    /// Why.
    pub close_reason: Option<String>,
    /// Grows with every change.
    pub version: i64,
}

/// An alarm as its case keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmOfCase {
    /// The alarm's identity.
    pub alarm_id: String,
    /// The detector or rule.
    pub cause: String,
    /// The very model or rule behind it.
    pub model: Option<String>,
    /// How bad, in the teller's word: the worst that was told.
    pub severity: String,
    /// Probability that it is real: the highest that was told. **Units** basis points.
    pub confidence_bp: u32,
    /// Probability of failure within the horizon: the newest that was told. **Units** millionths.
    pub failure_ppm: Option<u32>,
    /// How many detectors and rules watch the asset.
    pub watching: u32,
    /// The worst multiple of its limit. **Units** thousandths.
    pub peak_milli: Option<i64>,
    /// One sentence for people.
    pub summary: String,
    /// What was seen at the raise.
    pub evidence: Value,
    /// When the asset left its band.
    pub began_at: DateTime<Utc>,
    /// When it was raised.
    pub raised_at: DateTime<Utc>,
    /// When it returned to normal.
    pub returned_at: Option<DateTime<Utc>>,
}

impl AlarmOfCase {
    pub(super) fn of(report: &AlarmReport) -> Self {
        Self {
            alarm_id: report.alarm_id.clone(),
            cause: report.cause.clone(),
            model: report.model.clone(),
            severity: report.severity.clone(),
            confidence_bp: report.confidence_bp.min(10_000),
            failure_ppm: report.failure_ppm.map(|ppm| ppm.min(1_000_000)),
            watching: report.watching.max(1),
            peak_milli: report.ratio_milli,
            summary: report.summary.clone(),
            evidence: report.evidence.clone(),
            began_at: report
                .began_at
                .unwrap_or(report.raised_at)
                .min(report.raised_at),
            raised_at: report.raised_at,
            returned_at: None,
        }
    }

    /// The report that an order is given.
    pub(super) fn report(&self, asset_tag: &str, class: &str) -> AlarmReport {
        AlarmReport {
            alarm_id: self.alarm_id.clone(),
            asset_tag: asset_tag.to_owned(),
            class: class.to_owned(),
            cause: self.cause.clone(),
            severity: self.severity.clone(),
            raised_at: self.raised_at,
            summary: self.summary.clone(),
            evidence: self.evidence.clone(),
            began_at: Some(self.began_at),
            confidence_bp: self.confidence_bp,
            failure_ppm: self.failure_ppm,
            watching: self.watching,
            model: self.model.clone(),
            ratio_milli: self.peak_milli,
            forecast: None,
        }
    }
}

/// What the active alarms of a case say together at `now`; none when none is active.
///
/// The worst severity and the surest detector count; each cause is one opinion.
pub(super) fn facts(alarms: &[AlarmOfCase], now: DateTime<Utc>) -> Option<Facts> {
    let active = || alarms.iter().filter(|alarm| alarm.returned_at.is_none());
    let began = active().map(|alarm| alarm.began_at).min()?;
    let mut causes: Vec<_> = active().map(|alarm| alarm.cause.as_str()).collect();
    causes.sort_unstable();
    causes.dedup();
    let agreeing = u32::try_from(causes.len()).unwrap_or(u32::MAX);
    let watching = active().map(|alarm| alarm.watching).max().unwrap_or(1);
    Some(Facts {
        severity: active()
            .map(|alarm| Severity::from_word(&alarm.severity))
            .max()?,
        confidence_bp: active().map(|alarm| alarm.confidence_bp).max()?,
        persistence_s: (now - began).num_seconds().max(0),
        failure_ppm: active().filter_map(|alarm| alarm.failure_ppm).max(),
        forecast: None,
        agreement: Agreement {
            agreeing,
            watching: watching.max(agreeing),
        },
    })
}
