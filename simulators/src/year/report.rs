//! At the end of a year: which faults were found in time, and who was sent for nothing.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::truth::{TrueFault, YearTruth};
use crate::api::records::WorkOrder;
use crate::world::seconds;

/// Who raises an order because telemetry says so.
const BY_ALARM: &str = "alarm";
/// A sudden fault that is not noticed by then is not noticed.
const SUDDEN_WITHIN: TimeDelta = TimeDelta::days(7);

/// What a release must reach.
pub const LEAST_FOUND: f64 = 0.9;
/// **Units**: days.
pub const LEAST_LEAD: f64 = 5.0;
/// **Units**: orders per asset-year.
pub const MOST_FALSE: f64 = 0.1;

/// How well the product did in a year.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct YearReport {
    /// The world's seed.
    pub seed: u64,
    /// Machines.
    pub assets: usize,
    /// Days that passed.
    pub days: f64,
    /// Readings that were acknowledged.
    pub readings: u64,
    /// How far the sensors were behind the business clock at worst. **Units**: minutes.
    pub largest_lag_minutes: i64,
    /// How long it took on the wall. **Units**: seconds.
    pub wall_seconds: f64,
    /// Faults that grew and were due to fail in that time.
    pub growing_faults: usize,
    /// Those with an order before the failure.
    pub found: usize,
    /// The share of them; 1 when there were none.
    pub found_share: f64,
    /// From the order to the failure, the median of those found. **Units**: days.
    pub median_lead_days: Option<f64>,
    /// The tenth of them with the least. **Units**: days.
    pub tenth_lead_days: Option<f64>,
    /// Faults that came at once, and how many an alarm's order named within a week.
    pub sudden_faults: usize,
    /// Those with an order within a week.
    pub sudden_noticed: usize,
    /// From the fault to that order, the median. **Units**: hours.
    pub sudden_median_delay_hours: Option<f64>,
    /// Orders that alarms raised.
    pub orders_by_alarm: usize,
    /// Orders that people raised, because a machine had failed.
    pub orders_by_people: usize,
    /// Orders of alarms on a machine with which nothing was wrong just then.
    pub false_orders: usize,
    /// The same per asset and year.
    pub false_per_asset_year: f64,
    /// Growing faults by kind: how many, how many of them found.
    pub kinds: BTreeMap<String, [usize; 2]>,
    /// Growing faults that were not found: asset, kind, shape and days.
    pub missed: Vec<String>,
    /// False orders: number, asset and instant.
    pub false_list: Vec<String>,
}

/// What else is known of a run.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// When it ended, on the business clock.
    pub ended_at: DateTime<Utc>,
    /// Readings that were acknowledged.
    pub readings: u64,
    /// How far the sensors were behind the business clock at worst.
    pub largest_lag: TimeDelta,
    /// How long it took on the wall. **Units**: seconds.
    pub wall_seconds: f64,
}

impl YearReport {
    /// Holds the orders against the truth.
    pub fn judge(truth: &YearTruth, orders: &[WorkOrder], run: &Circumstances) -> Self {
        let ours = |order: &&WorkOrder| {
            order.created_at >= truth.began_at && truth.assets.contains(&order.asset.tag)
        };
        let (by_alarm, by_people): (Vec<&WorkOrder>, Vec<&WorkOrder>) = orders
            .iter()
            .filter(ours)
            .partition(|order| order.source == BY_ALARM);
        let first = |fault: &TrueFault, until: DateTime<Utc>| {
            let of_fault = by_alarm.iter().filter(|order| {
                let at = order.created_at;
                order.asset.tag == fault.asset && fault.is_active(at) && at < until
            });
            of_fault.map(|order| order.created_at).min()
        };
        let (mut leads, mut missed, mut kinds) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (mut delays, mut sudden) = (Vec::new(), 0);
        for fault in truth
            .faults
            .iter()
            .filter(|fault| fault.onset < run.ended_at)
        {
            if fault.is_sudden() {
                sudden += 1;
                let noticed = first(fault, fault.onset + SUDDEN_WITHIN);
                delays.extend(noticed.map(|at| seconds(at - fault.onset) / 3600.0));
                continue;
            }
            let found = first(fault, fault.failure);
            if found.is_none() && fault.failure > run.ended_at {
                continue;
            }
            let kind = kinds.entry(word(&fault.kind)).or_insert([0, 0]);
            kind[0] += 1;
            match found {
                Some(at) => {
                    kind[1] += 1;
                    leads.push(days(fault.failure - at));
                }
                None => missed.push(format!(
                    "{} {} {} {:.0} d",
                    fault.asset,
                    word(&fault.kind),
                    word(&fault.growth),
                    days(fault.failure - fault.onset)
                )),
            }
        }
        let wrong: Vec<_> = by_alarm
            .iter()
            .filter(|order| {
                let right = |fault: &TrueFault| {
                    fault.asset == order.asset.tag && fault.is_active(order.created_at)
                };
                !truth.faults.iter().any(right)
            })
            .collect();
        let growing = leads.len() + missed.len();
        let passed = days(run.ended_at - truth.began_at).min(truth.days);
        let asset_years = truth.assets.len() as f64 * passed / 365.0;
        Self {
            seed: truth.seed,
            assets: truth.assets.len(),
            days: passed,
            readings: run.readings,
            largest_lag_minutes: run.largest_lag.num_minutes(),
            wall_seconds: run.wall_seconds,
            growing_faults: growing,
            found: leads.len(),
            found_share: if growing == 0 {
                1.0
            } else {
                leads.len() as f64 / growing as f64
            },
            median_lead_days: quantile(&mut leads, 0.5),
            tenth_lead_days: quantile(&mut leads, 0.1),
            sudden_faults: sudden,
            sudden_noticed: delays.len(),
            sudden_median_delay_hours: quantile(&mut delays, 0.5),
            orders_by_alarm: by_alarm.len(),
            orders_by_people: by_people.len(),
            false_orders: wrong.len(),
            false_per_asset_year: wrong.len() as f64 / asset_years.max(f64::MIN_POSITIVE),
            kinds,
            missed,
            false_list: wrong
                .iter()
                .map(|order| format!("{} {} {}", order.number, order.asset.tag, order.created_at))
                .collect(),
        }
    }

    /// Whether the year is as good as a release must be.
    pub fn is_good(&self) -> bool {
        self.found_share >= LEAST_FOUND
            && self.median_lead_days.unwrap_or(0.0) >= LEAST_LEAD
            && self.false_per_asset_year <= MOST_FALSE
    }
}

impl fmt::Display for YearReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            assets,
            days,
            readings,
            ..
        } = self;
        writeln!(
            f,
            "year of {assets} assets with seed {seed}: {days:.0} days in {:.0} s",
            self.wall_seconds
        )?;
        writeln!(
            f,
            "  readings: {readings}, at worst {} min behind the clock",
            self.largest_lag_minutes
        )?;
        writeln!(
            f,
            "  growing faults: {}, found before the failure: {} ({:.1} %)",
            self.growing_faults,
            self.found,
            100.0 * self.found_share
        )?;
        if let (Some(median), Some(tenth)) = (self.median_lead_days, self.tenth_lead_days) {
            writeln!(
                f,
                "  lead time: median {median:.1} days, nine of ten at least {tenth:.1}"
            )?;
        }
        write!(
            f,
            "  sudden faults: {}, noticed: {}",
            self.sudden_faults, self.sudden_noticed
        )?;
        match self.sudden_median_delay_hours {
            Some(hours) => writeln!(f, ", median after {hours:.0} hours")?,
            None => writeln!(f)?,
        }
        writeln!(
            f,
            "  orders: {} by alarm, {} by people",
            self.orders_by_alarm, self.orders_by_people
        )?;
        writeln!(
            f,
            "  false orders: {} ({:.3} per asset-year)",
            self.false_orders, self.false_per_asset_year
        )?;
        for fault in &self.missed {
            writeln!(f, "    missed: {fault}")?;
        }
        for order in &self.false_list {
            writeln!(f, "    false: {order}")?;
        }
        Ok(())
    }
}

fn days(delta: TimeDelta) -> f64 {
    seconds(delta) / 86_400.0
}

/// The word of an enum, as it stands in the truth.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    values.get((share * last as f64).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::faults::{Growth, YearFault};
    use super::*;

    fn day(day: f64) -> DateTime<Utc> {
        let begin: DateTime<Utc> = "2026-01-05T07:00:00Z".parse().unwrap();
        begin + TimeDelta::seconds((day * 86_400.0) as i64)
    }

    fn fault(asset: &str, growth: Growth, onset: f64, failure: f64, repaired: f64) -> TrueFault {
        TrueFault {
            asset: asset.to_owned(),
            class: "chiller".to_owned(),
            kind: YearFault::RefrigerantLoss,
            growth,
            onset: day(onset),
            failure: day(failure),
            repaired_at: Some(day(repaired)),
        }
    }

    fn order(source: &str, asset: &str, at: f64) -> WorkOrder {
        serde_json::from_value(json!({"id": "wo_1", "number": "WO-1", "status": "posted",
            "source": source, "asset": {"id": "ast_1", "tag": asset}, "created_at": day(at)}))
        .unwrap()
    }

    #[test]
    fn found_missed_sudden_and_false() {
        let truth = YearTruth {
            seed: 1,
            scenario: "year".to_owned(),
            began_at: day(0.0),
            days: 365.0,
            assets: ["A", "B", "C"].map(str::to_owned).to_vec(),
            faults: vec![
                fault("A", Growth::Linear, 50.0, 80.0, 70.0),
                fault("B", Growth::Linear, 100.0, 110.0, 112.0),
                fault("C", Growth::Sudden, 200.0, 200.0, 203.0),
                fault("C", Growth::Linear, 360.0, 400.0, 420.0),
            ],
        };
        let orders = [
            order("alarm", "A", 65.0),
            order("alarm", "A", 75.0), // after the repair
            order("person", "B", 111.0),
            order("alarm", "B", 111.0), // after the failure: right, but too late
            order("alarm", "C", 201.5),
            order("alarm", "C", 30.0),        // before anything was wrong
            order("alarm", "pump-101", 30.0), // not of this plant
        ];
        let run = Circumstances {
            ended_at: day(366.0),
            readings: 9,
            largest_lag: TimeDelta::minutes(3),
            wall_seconds: 1700.0,
        };
        let report = YearReport::judge(&truth, &orders, &run);
        assert_eq!((report.growing_faults, report.found), (2, 1));
        assert_eq!(report.median_lead_days, Some(15.0));
        assert_eq!((report.sudden_faults, report.sudden_noticed), (1, 1));
        assert_eq!(report.sudden_median_delay_hours, Some(36.0));
        assert_eq!((report.orders_by_alarm, report.orders_by_people), (5, 1));
        assert_eq!(report.false_orders, 2);
        assert!((report.false_per_asset_year - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(report.missed, ["B refrigerant_loss linear 10 d"]);
        assert_eq!(report.kinds["refrigerant_loss"], [2, 1]);
        assert!(!report.is_good());
        let text = report.to_string();
        assert!(
            text.contains("found before the failure: 1 (50.0 %)"),
            "{text}"
        );
    }
}
