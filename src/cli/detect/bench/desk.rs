//! What the alarms of a bench would have come to: the economics of work orders, asked directly.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::TimeDelta;
use fieldwright_condition::bench::orders::{Candidate, Desk};
use fieldwright_condition::bench::{BenchError, write};
use fieldwright_workorders::orders::Severity;
use fieldwright_workorders::triage::{
    Agreement, Budget, Economics, Facts, Tier, decide, economics,
};

/// The year of the budget. **Units**: microseconds.
const YEAR: i64 = 365 * 86_400_000_000;
/// The data sets say nothing of what their assets are worth: the middle of 1 to 5.
const CRITICALITY: i64 = 3;
/// A condition is decided again when its ratio has grown by this factor.
const GROWTH: f64 = 1.5;

/// Collects the orders of a bench.
#[derive(Debug)]
pub struct OrdersDesk {
    economics: Economics,
    assets: BTreeMap<String, Asset>,
    orders: Vec<Order>,
}

#[derive(Debug)]
struct Order {
    asset: String,
    time: String,
    tier: Tier,
    cause: String,
}

#[derive(Debug, Default)]
struct Asset {
    /// What is up, by cause.
    open: BTreeMap<String, Condition>,
    /// Whether an order works on what is up; it is done when all of that is over.
    has_order: bool,
    /// When its orders were sent. **Units**: microseconds of event time since 1970.
    sent: Vec<i64>,
}

/// When a condition is worth another look.
#[derive(Debug)]
struct Condition {
    again_at: i64,
    decided_ratio: f64,
}

impl OrdersDesk {
    /// A desk with the shipped costs of a set's kind of asset.
    pub fn new(class: &str) -> Self {
        Self {
            economics: economics(class, CRITICALITY).expect("a test reads the shipped costs"),
            assets: BTreeMap::new(),
            orders: Vec::new(),
        }
    }

    /// Writes `orders.csv`; gives how many there are.
    ///
    /// **Errors** when the file cannot be written.
    pub fn write(&self, out: &Path) -> Result<usize, BenchError> {
        let mut text = String::from("asset,time,tier,cause\n");
        for order in &self.orders {
            let cells = [
                &*order.asset,
                &*order.time,
                order.tier.as_str(),
                &*order.cause,
            ];
            let cells = cells.map(quoted);
            text.push_str(&cells.join(","));
            text.push('\n');
        }
        write(&out.join("orders.csv"), &text)?;
        Ok(self.orders.len())
    }
}

impl Desk for OrdersDesk {
    fn up(&mut self, candidate: &Candidate) {
        let asset = self.assets.entry(candidate.asset.clone()).or_default();
        let known = asset.open.get(&candidate.cause);
        let is_news = known.is_none_or(|condition| {
            candidate.at >= condition.again_at
                || candidate.ratio >= GROWTH * condition.decided_ratio
        });
        if !is_news {
            return;
        }
        let sent = asset.sent.iter().filter(|at| candidate.at - **at < YEAR);
        let used = u32::try_from(sent.count()).unwrap_or(u32::MAX);
        let decision = decide(&facts(candidate), &self.economics, Budget { used });
        let again = decision
            .again_after
            .and_then(|after| after.num_microseconds());
        let condition = Condition {
            again_at: again.map_or(i64::MAX, |after| candidate.at.saturating_add(after)),
            decided_ratio: candidate.ratio,
        };
        asset.open.insert(candidate.cause.clone(), condition);
        if decision.tier.is_order() && !asset.has_order {
            asset.has_order = true;
            asset.sent.push(candidate.at);
            self.orders.push(Order {
                asset: candidate.asset.clone(),
                time: candidate.time.clone(),
                tier: decision.tier,
                cause: candidate.cause.clone(),
            });
        }
    }

    fn over(&mut self, asset: &str, cause: &str) {
        if let Some(asset) = self.assets.get_mut(asset) {
            asset.open.remove(cause);
            asset.has_order &= !asset.open.is_empty();
        }
    }
}

/// A cell, in quotes where it needs them (RFC 4180).
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

/// A condition as the economics see it.
fn facts(candidate: &Candidate) -> Facts {
    // The score of the alarm, one half at the limit, is how sure its detector is; a forecast says
    // so itself.
    let score = candidate.ratio / (1.0 + candidate.ratio);
    Facts {
        severity: Severity::from_word(candidate.severity.as_str()),
        confidence_bp: parts(score, 10_000.0),
        persistence_s: TimeDelta::microseconds(candidate.persistence).num_seconds(),
        failure_ppm: candidate.failure.map(|failure| parts(failure, 1_000_000.0)),
        forecast: None,
        agreement: Agreement {
            agreeing: candidate.agreeing,
            watching: candidate.watching,
        },
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of at most a million parts"
)]
fn parts(share: f64, whole: f64) -> u32 {
    (share.clamp(0.0, 1.0) * whole).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(hours: i64, ratio: f64) -> Candidate {
        Candidate {
            asset: "P-1".to_owned(),
            time: format!("hour {hours}"),
            at: hours * 3_600_000_000,
            cause: "pca".to_owned(),
            severity: fieldwright_condition::Severity::High,
            ratio,
            persistence: hours * 3_600_000_000,
            agreeing: 1,
            watching: 1,
            failure: None,
        }
    }

    #[test]
    fn a_condition_that_lasts_gets_one_order_and_the_next_one_another() {
        let mut desk = OrdersDesk::new("pump");
        desk.up(&candidate(0, 3.0));
        assert!(desk.orders.is_empty(), "it has not lasted");
        for hours in 1..50 {
            desk.up(&candidate(hours, 3.0));
        }
        assert_eq!(desk.orders.len(), 1);
        desk.over("P-1", "pca");
        desk.up(&candidate(60, 3.0));
        assert_eq!(desk.orders.len(), 2, "another condition");
    }
}
