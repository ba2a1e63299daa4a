//! At the end of a run: what the product noticed against what really happened.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::api::records::{Alarm, WorkOrder};
use crate::api::{Api, ApiError};
use crate::truth::Truth;

/// Evidence after a repair may still be on its way for this long.
const SETTLING: TimeDelta = TimeDelta::minutes(30);

/// How well the product did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// The world's seed.
    pub seed: u64,
    /// The scenario.
    pub scenario: String,
    /// False when the telemetry came from elsewhere: then there is no truth to judge by.
    pub judged: bool,
    /// The asset that broke and how, when one did.
    pub fault: Option<String>,
    /// When it began to break.
    pub onset: Option<DateTime<Utc>>,
    /// When it was repaired.
    pub repaired_at: Option<DateTime<Utc>>,
    /// From the onset to the first alarm of that asset. **Units**: minutes.
    pub detection_delay_minutes: Option<i64>,
    /// True when a fault began and no alarm came.
    pub missed: bool,
    /// Alarms of the run.
    pub alarms: usize,
    /// Alarms that no fault explains: asset, cause, instant.
    pub false_alarms: Vec<String>,
    /// Work orders of the run.
    pub work_orders: usize,
    /// Work orders of assets on which nothing was wrong.
    pub needless_work_orders: Vec<String>,
}

impl Report {
    /// Reads alarms and orders since `since` from the service and holds them against the truth.
    ///
    /// **Errors**: the service is away or refuses.
    pub async fn read(api: &Api, truth: &Truth, since: DateTime<Utc>) -> Result<Self, ApiError> {
        let alarms: Vec<Alarm> = api.list("/alarms", &[]).await?;
        let orders: Vec<WorkOrder> = api.list("/work-orders", &[]).await?;
        Ok(Self::judge(truth, &alarms, &orders, since))
    }

    /// Holds alarms and orders since `since` against the truth.
    pub fn judge(
        truth: &Truth,
        alarms: &[Alarm],
        orders: &[WorkOrder],
        since: DateTime<Utc>,
    ) -> Self {
        let alarms: Vec<_> = alarms
            .iter()
            .filter(|alarm| alarm.raised_at >= since)
            .collect();
        let orders: Vec<_> = orders
            .iter()
            .filter(|order| order.created_at >= since)
            .collect();
        let explained = |asset: &str, at: DateTime<Utc>| {
            truth.wear.as_ref().is_some_and(|wear| {
                let over = wear
                    .repaired_at()
                    .is_some_and(|repaired| at > repaired + SETTLING);
                wear.asset == asset && at >= wear.onset && !over
            })
        };
        let wear = truth.wear.as_ref();
        let first = alarms
            .iter()
            .filter(|alarm| explained(alarm.asset.tag(), alarm.raised_at))
            .map(|alarm| alarm.raised_at)
            .min();
        Self {
            seed: truth.seed,
            scenario: truth.scenario.clone(),
            judged: true,
            fault: wear.map(|wear| format!("{:?} of {}", wear.fault, wear.asset)),
            onset: wear.map(|wear| wear.onset),
            repaired_at: truth.repaired_at,
            detection_delay_minutes: wear
                .and_then(|wear| first.map(|first| (first - wear.onset).num_minutes())),
            missed: wear.is_some() && first.is_none(),
            alarms: alarms.len(),
            false_alarms: alarms
                .iter()
                .filter(|alarm| !explained(alarm.asset.tag(), alarm.raised_at))
                .map(|alarm| format!("{} {} {}", alarm.asset.tag(), alarm.cause, alarm.raised_at))
                .collect(),
            work_orders: orders.len(),
            needless_work_orders: orders
                .iter()
                .filter(|order| !explained(&order.asset.tag, order.created_at))
                .map(|order| format!("{} {}", order.number, order.asset.tag))
                .collect(),
        }
    }

    /// The same without a judgment, for a run that had no plant of its own.
    pub fn unjudged(self) -> Self {
        Self {
            judged: false,
            missed: false,
            false_alarms: Vec::new(),
            needless_work_orders: Vec::new(),
            ..self
        }
    }

    /// True when the fault was found and nothing else was claimed.
    pub fn is_clean(&self) -> bool {
        !self.missed && self.false_alarms.is_empty() && self.needless_work_orders.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "report of {} with seed {}", self.scenario, self.seed)?;
        if !self.judged {
            return writeln!(
                f,
                "  {} alarms, {} work orders; telemetry came from elsewhere, so no truth is known \
                 and none is judged",
                self.alarms, self.work_orders
            );
        }
        match (&self.fault, self.onset) {
            (Some(fault), Some(onset)) => writeln!(f, "  fault: {fault}, since {onset}")?,
            _ => writeln!(f, "  fault: none")?,
        }
        match (self.detection_delay_minutes, self.missed) {
            (Some(minutes), _) => writeln!(f, "  detected after {minutes} minutes")?,
            (None, true) => writeln!(f, "  missed: no alarm of that asset")?,
            (None, false) => {}
        }
        if let Some(repaired) = self.repaired_at {
            writeln!(f, "  repaired at {repaired}")?;
        }
        writeln!(
            f,
            "  alarms: {}, false: {}",
            self.alarms,
            self.false_alarms.len()
        )?;
        for alarm in &self.false_alarms {
            writeln!(f, "    false alarm: {alarm}")?;
        }
        writeln!(
            f,
            "  work orders: {}, needless: {}",
            self.work_orders,
            self.needless_work_orders.len()
        )?;
        for order in &self.needless_work_orders {
            writeln!(f, "    needless order: {order}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plant::wear::{FaultKind, Wear};
    use serde_json::json;

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-10-05T08:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    fn alarm(asset: &str, minute: i64) -> Alarm {
        serde_json::from_value(json!({"id": "alm_1", "asset": asset, "cause": "pca",
            "raised_at": at(minute)}))
        .unwrap()
    }

    fn order(asset: &str, minute: i64) -> WorkOrder {
        serde_json::from_value(
            json!({"id": "wo_1", "number": "WO-1", "status": "completed",
            "asset": {"id": "ast_1", "tag": asset}, "created_at": at(minute)}),
        )
        .unwrap()
    }

    fn truth(repaired: Option<i64>) -> Truth {
        let mut truth = Truth::new(7, "small_plant");
        let mut wear = Wear {
            asset: "P-1".into(),
            fault: FaultKind::SealLeak,
            onset: at(0),
            full_at: at(60),
            first_repair_fails: false,
            repairs: Vec::new(),
        };
        if let Some(minute) = repaired {
            wear.repair(at(minute));
        }
        truth.note(Some(wear));
        truth
    }

    #[test]
    fn alarms_against_the_truth() {
        let check = |alarms: &[(&str, i64)], delay: Option<i64>, missed: bool, wrong: usize| {
            let alarms: Vec<_> = alarms
                .iter()
                .map(|(asset, minute)| alarm(asset, *minute))
                .collect();
            let report = Report::judge(&truth(Some(200)), &alarms, &[], at(-60));
            assert_eq!(report.detection_delay_minutes, delay, "{alarms:?}");
            assert_eq!(
                (report.missed, report.false_alarms.len()),
                (missed, wrong),
                "{alarms:?}"
            );
        };
        check(&[], None, true, 0);
        check(&[("P-1", 40), ("P-1", 35)], Some(35), false, 0);
        check(&[("P-2", 40)], None, true, 1);
        check(&[("P-1", -10), ("P-1", 50)], Some(50), false, 1);
        check(&[("P-1", 50), ("P-1", 220)], Some(50), false, 0);
        check(&[("P-1", 50), ("P-1", 300)], Some(50), false, 1);
        check(&[("P-1", -100)], None, true, 0);
    }

    #[test]
    fn orders_against_the_truth() {
        let orders = [order("P-1", 50), order("P-9", 50)];
        let report = Report::judge(&truth(None), &[alarm("P-1", 45)], &orders, at(-60));
        assert_eq!(report.needless_work_orders, ["WO-1 P-9"]);
        assert!(!report.is_clean());
        let text = report.to_string();
        assert!(text.contains("detected after 45 minutes"), "{text}");
        let quiet = Report::judge(&Truth::new(1, "no_fault"), &[], &[], at(0));
        assert!(quiet.is_clean());
        assert!(quiet.to_string().contains("fault: none"));
    }
}
