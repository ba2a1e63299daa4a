//! The decision: which tier, why, and when to ask again.

use chrono::TimeDelta;

use super::{Economics, Facts, Forecast, ForecastBasis, Tier};
use crate::money::Money;
use crate::orders::Severity;

/// Millionths in a whole.
const WHOLE: i128 = 1_000_000;
/// From this confidence on a critical condition does not wait. **Units** basis points.
const CRITICAL_AT_ONCE_BP: u32 = 5_000;
/// A condition beyond the budget is decided again after so long.
const BEYOND_BUDGET_AGAIN: TimeDelta = TimeDelta::days(1);
/// While a forecast is known a condition that is no order is decided again after so long.
const FORECAST_AGAIN: TimeDelta = TimeDelta::hours(6);
/// From this probability on a prognosis counts as a second opinion. **Units** millionths.
const LIKELY_PPM: u32 = 500_000;
/// A detector's own word counts as much as so many labeled alarms.
const OWN_WORD: i128 = 5;

/// Orders of an asset that alarms raised in the last 365 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Planned inspections and dispatches.
    pub used: u32,
}

/// What a condition comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is done.
    pub tier: Tier,
    /// One sentence for people, with the figures.
    pub reason: String,
    /// What the tier saves on average, after its own cost; zero for watching, and less than zero
    /// never.
    pub saving: Money,
    /// After so much more time out of band the same facts may come to more.
    pub again_after: Option<TimeDelta>,
}

/// Decides what a condition is worth.
///
/// In this order:
/// 1. a condition that has not lasted is watched, unless it is critical and more likely real than not;
/// 2. a visit needs a second opinion: high severity, a second detector, a prognosis that expects a
///    failure, or a long time out of band;
/// 3. of dispatch and planned inspection the one that saves more on average, if any saves;
/// 4. with the budget used only a dispatch that saves several times its cost, else watching;
/// 5. a remote check where no visit is justified (yet) but the look pays, else watching.
///
/// What a visit saves on average is the probability that it finds a failure in the making and
/// comes in time, times what the failure costs beyond repair and visit, less the visit:
/// it is positive exactly when precision exceeds cost over saving.
pub fn decide(facts: &Facts, economics: &Economics, budget: Budget) -> Decision {
    let case = Case { facts, economics };
    if !case.has_lasted() && !case.is_critical_at_once() {
        return case.watch(
            format!(
                "out of band for {} of the {} that a condition must last",
                span(facts.persistence()),
                span(economics.persistence)
            ),
            Some(economics.persistence - facts.persistence()),
        );
    }
    let dispatch = case.saving(economics.dispatch, economics.dispatch_within);
    let inspection = case.saving(economics.inspection, economics.inspection_within);
    let second_opinion = case.second_opinion();
    if budget.used >= economics.orders_per_year {
        return case.beyond_budget(second_opinion, dispatch, budget);
    }
    match second_opinion {
        Some(why) if dispatch > 0 && dispatch > inspection => {
            case.visit(Tier::Dispatch, economics.dispatch, dispatch, &why)
        }
        Some(why) if inspection > 0 => case.visit(
            Tier::PlannedInspection,
            economics.inspection,
            inspection,
            &why,
        ),
        none_pays => case.look(none_pays.is_some()),
    }
}

/// A detector's own confidence, corrected by how its earlier alarms turned out: it counts as much
/// as five of them.
///
/// **Units** basis points in and out; `found` of `all` alarms had a fault behind them.
pub fn learned_confidence(confidence_bp: u32, found: i64, all: i64) -> u32 {
    let own = i128::from(confidence_bp.min(10_000)) * OWN_WORD;
    let all = i128::from(all.max(0));
    let found = i128::from(found).clamp(0, all);
    u32::try_from((own + found * 10_000) / (OWN_WORD + all)).unwrap_or(confidence_bp)
}

struct Case<'a> {
    facts: &'a Facts,
    economics: &'a Economics,
}

impl Case<'_> {
    fn has_lasted(&self) -> bool {
        self.facts.persistence() >= self.economics.persistence
    }

    fn is_critical_at_once(&self) -> bool {
        self.facts.severity == Severity::Critical && self.facts.confidence_bp >= CRITICAL_AT_ONCE_BP
    }

    /// Why a visit may be sent, if it may.
    fn second_opinion(&self) -> Option<String> {
        let facts = self.facts;
        if facts.severity >= Severity::High {
            return Some(format!("severity {}", facts.severity));
        }
        if facts.agreement.agreeing >= 2 {
            return Some(format!(
                "{} of {} detectors agree",
                facts.agreement.agreeing, facts.agreement.watching
            ));
        }
        let of_condition = |forecast: &Forecast| forecast.basis != ForecastBasis::Age;
        let forecast = facts.forecast.filter(of_condition);
        let expected = facts.failure_ppm.or(forecast.map(|forecast| forecast.ppm));
        if expected.is_some_and(|ppm| ppm >= LIKELY_PPM) {
            return Some("the prognosis expects a failure".to_owned());
        }
        (facts.persistence() >= self.economics.long_persistence)
            .then(|| format!("out of band for {}", span(facts.persistence())))
    }

    /// Probability of failure within the horizon, given that the condition is real, and which
    /// figure that is. **Units** millionths.
    ///
    /// Who raised the condition knows it best, then the asset's own course, which knows of it, too.
    /// Both take the place of the class's figure for this severity, be they higher or lower. Age
    /// knows nothing of the condition: it can make a failure likelier, and is no reason to think
    /// that a sick asset is well.
    fn given_real(&self) -> (u32, String) {
        let by_severity = match self.facts.severity {
            Severity::Low => 0,
            Severity::Medium => 1,
            Severity::High => 2,
            Severity::Critical => 3,
        };
        let flat = self.economics.failure_ppm[by_severity].min(1_000_000);
        let severity = self.facts.severity;
        if let Some(ppm) = self.facts.failure_ppm {
            return (
                ppm.min(1_000_000),
                "as the alarm itself foretells".to_owned(),
            );
        }
        let Some(Forecast { ppm, basis }) = self.facts.forecast else {
            let which = format!("the class's figure for severity {severity}: there is no forecast");
            return (flat, which);
        };
        let ppm = ppm.min(1_000_000);
        match basis {
            ForecastBasis::Life => (ppm, "by its remaining life".to_owned()),
            ForecastBasis::Trend => (ppm, "by the trend of its health".to_owned()),
            ForecastBasis::Age if ppm > flat => {
                let which = format!(
                    "by its age, more than the class's figure of {} for severity {severity}",
                    percent(flat.into())
                );
                (ppm, which)
            }
            ForecastBasis::Age => {
                let which = format!(
                    "the class's figure for severity {severity}: its age alone, {}, knows nothing \
                     of the condition",
                    percent(ppm.into())
                );
                (flat, which)
            }
        }
    }

    /// Probability that there is a failure in the making. **Units** millionths.
    fn failing_ppm(&self) -> i128 {
        let (given_real, _) = self.given_real();
        let real = self.facts.confidence_bp.min(10_000);
        i128::from(given_real) * i128::from(real) / 10_000
    }

    /// What a visit within `delay` saves on average. **Units** millionths of a minor unit.
    fn saving(&self, cost: Money, delay: TimeDelta) -> i128 {
        let horizon = i128::from(self.economics.horizon.num_seconds()).max(1);
        let delay = i128::from(delay.num_seconds()).clamp(0, horizon);
        // Failures are spread evenly over the horizon: those before the visit are not prevented.
        let in_time_ppm = self.failing_ppm() * (horizon - delay) / horizon;
        in_time_ppm * self.economics.saved(cost) - WHOLE * i128::from(cost.minor())
    }

    fn beyond_budget(
        &self,
        second_opinion: Option<String>,
        saving: i128,
        used: Budget,
    ) -> Decision {
        let economics = self.economics;
        let cost = i128::from(economics.dispatch.minor()) * WHOLE;
        let is_clear = saving > 0 && saving >= cost * i128::from(economics.saving_over_budget);
        match second_opinion {
            Some(why) if is_clear => {
                let why = format!("{why}, worth it although the year's orders are used");
                self.visit(Tier::Dispatch, economics.dispatch, saving, &why)
            }
            _ => self.watch(
                format!(
                    "the asset has had {} of {} orders in a year; another one needs a second \
                     opinion and must save {} times its cost",
                    used.used, economics.orders_per_year, economics.saving_over_budget
                ),
                // An order leaves the year by itself: it is asked again, however long it lasts.
                self.until_long().or(Some(BEYOND_BUDGET_AGAIN)),
            ),
        }
    }

    fn visit(&self, tier: Tier, cost: Money, saving: i128, why: &str) -> Decision {
        let saving = self.amount(saving);
        Decision {
            tier,
            reason: format!(
                "{why}; {} likely to fail within {} ({}): {cost} for a visit saves {saving} on \
                 average",
                percent(self.failing_ppm()),
                span(self.economics.horizon),
                self.given_real().1,
            ),
            saving,
            again_after: None,
        }
    }

    fn look(&self, has_second_opinion: bool) -> Decision {
        let economics = self.economics;
        let saving = self.saving(economics.remote_check, economics.inspection_within);
        let cause = if has_second_opinion {
            "no visit pays"
        } else {
            "one detector at moderate severity is not enough for a visit"
        };
        let again_after = self.until_more_is_known();
        let likely = percent(self.failing_ppm());
        let (_, which) = self.given_real();
        if saving <= 0 {
            let horizon = span(economics.horizon);
            let reason = format!("{cause}: {likely} likely to fail within {horizon} ({which})");
            return self.watch(reason, again_after);
        }
        Decision {
            tier: Tier::RemoteCheck,
            reason: format!(
                "{cause}; {likely} likely to fail within {} ({which}): worth a look for {}",
                span(economics.horizon),
                economics.remote_check
            ),
            saving: self.amount(saving),
            again_after,
        }
    }

    fn watch(&self, reason: String, again_after: Option<TimeDelta>) -> Decision {
        Decision {
            tier: Tier::Watch,
            reason,
            saving: Money::zero(self.economics.currency()),
            again_after,
        }
    }

    /// Until time out of band alone counts as a second opinion, or the forecast has moved on.
    fn until_more_is_known(&self) -> Option<TimeDelta> {
        let of_forecast = self.facts.forecast.map(|_| FORECAST_AGAIN);
        let waits = [self.until_long(), of_forecast];
        waits.into_iter().flatten().min()
    }

    /// Until time out of band alone counts as a second opinion.
    fn until_long(&self) -> Option<TimeDelta> {
        let left = self.economics.long_persistence - self.facts.persistence();
        (left > TimeDelta::zero()).then_some(left)
    }

    /// Whole minor units, rounded toward zero: an average for people, no amount that is booked.
    fn amount(&self, millionths: i128) -> Money {
        let minor = i64::try_from(millionths / WHOLE).unwrap_or(Money::MAX_DOCUMENT_MINOR);
        Money::from_minor(minor, self.economics.currency())
    }
}

/// Millionths as per cent with one decimal, rounded down.
fn percent(ppm: i128) -> String {
    format!("{}.{} %", ppm / 10_000, ppm / 1_000 % 10)
}

/// A span in its largest fitting unit.
fn span(time: TimeDelta) -> String {
    let minutes = time.num_minutes();
    match minutes {
        ..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h", time.num_hours()),
        _ => format!("{} d", time.num_days()),
    }
}
