//! What things cost around an asset, and how patient triage is with it.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::Deserialize;

use crate::money::{Currency, Money, MoneyError};

const DEFAULTS: &str = include_str!("../../seeds/economics.toml");

/// What things cost around one asset, all in one currency, and the limits of triage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Economics {
    /// An unplanned failure.
    pub failure: Money,
    /// The planned repair, which is paid either way.
    pub repair: Money,
    /// A visit for this alone.
    pub dispatch: Money,
    /// A look during the next visit that is due.
    pub inspection: Money,
    /// A look from afar.
    pub remote_check: Money,
    /// How far ahead probabilities of failure look.
    pub horizon: TimeDelta,
    /// How soon a dispatched technician is there.
    pub dispatch_within: TimeDelta,
    /// How soon the next visit is due.
    pub inspection_within: TimeDelta,
    /// How long a condition must last before anything but watching it.
    pub persistence: TimeDelta,
    /// How long it must last to count as seen by two.
    pub long_persistence: TimeDelta,
    /// Probability of failure within the horizon where no prognosis gives one, by severity.
    /// **Units** millionths.
    pub failure_ppm: [u32; 4],
    /// Orders in any 365 days.
    pub orders_per_year: u32,
    /// How many times its own cost a dispatch beyond the budget must save.
    pub saving_over_budget: u32,
}

/// The file of costs says something that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum EconomicsError {
    /// It is not of the expected shape.
    #[error("the file of costs cannot be read: {0}")]
    File(String),
    /// An amount is none.
    #[error("the file of costs has an amount that is none")]
    Amount(#[from] MoneyError),
    /// A number is out of its range.
    #[error("the file of costs is wrong: {0}")]
    Range(&'static str),
}

/// The product's own figures for an asset of `class` and `criticality` (1 to 5, else the nearest).
///
/// **Errors**: never for the file that is compiled in; a test reads all of it.
pub fn economics(class: &str, criticality: i64) -> Result<Economics, EconomicsError> {
    Economics::read(DEFAULTS, class, criticality)
}

impl Economics {
    /// Reads the figures for an asset out of a file like the compiled-in `economics.toml`.
    ///
    /// **Errors** when the file is not of that shape, or a figure is out of its range.
    pub fn read(text: &str, class: &str, criticality: i64) -> Result<Self, EconomicsError> {
        let file: File =
            toml::from_str(text).map_err(|error| EconomicsError::File(error.to_string()))?;
        let currency: Currency = file.currency.parse().map_err(MoneyError::from)?;
        let mut figures = file.default;
        if let Some(own) = file.class.get(class) {
            figures.take_over(own);
        }
        figures.into_economics(currency, criticality)
    }

    /// What a visit of `cost` saves when it comes in time and finds a failure in the making:
    /// the failure, but neither the repair nor the visit. Less than nothing where failing is
    /// cheaper than being looked after.
    ///
    /// **Units** minor units.
    /// **Source** the economics of false alarms: saved = unplanned - repair - visit.
    pub(super) fn saved(&self, cost: Money) -> i128 {
        i128::from(self.failure.minor())
            - i128::from(self.repair.minor())
            - i128::from(cost.minor())
    }

    /// The share of visits that must find a failure in the making for a dispatch to pay, rounded
    /// up; none when no share is enough.
    ///
    /// **Units** millionths.
    pub fn break_even_ppm(&self) -> Option<u32> {
        let saved = self.saved(self.dispatch);
        let cost = i128::from(self.dispatch.minor()) * 1_000_000;
        if saved <= 0 {
            return None;
        }
        let share = (cost + saved - 1) / saved;
        u32::try_from(share).ok().filter(|ppm| *ppm <= 1_000_000)
    }

    /// The currency of all amounts.
    pub fn currency(&self) -> Currency {
        self.failure.currency()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    currency: String,
    default: Figures,
    #[serde(default)]
    class: BTreeMap<String, Figures>,
}

/// One section of the file; a class leaves out what is as everywhere.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Figures {
    failure: Option<[String; 5]>,
    repair: Option<String>,
    dispatch: Option<String>,
    inspection: Option<String>,
    remote_check: Option<String>,
    horizon_days: Option<u16>,
    dispatch_within_days: Option<u16>,
    inspection_within_days: Option<u16>,
    persistence_minutes: Option<u32>,
    long_persistence_minutes: Option<u32>,
    failure_ppm: Option<[u32; 4]>,
    orders_per_year: Option<u32>,
    saving_over_budget: Option<u32>,
}

impl Figures {
    fn take_over(&mut self, own: &Self) {
        macro_rules! take {
            ($($field:ident)+) => { $(
                if own.$field.is_some() {
                    self.$field.clone_from(&own.$field);
                }
            )+ };
        }
        take!(failure repair dispatch inspection remote_check horizon_days dispatch_within_days
            inspection_within_days persistence_minutes long_persistence_minutes failure_ppm
            orders_per_year saving_over_budget);
    }

    fn into_economics(
        self,
        currency: Currency,
        criticality: i64,
    ) -> Result<Economics, EconomicsError> {
        let missing = EconomicsError::Range("[default] must have every figure");
        let Self {
            failure: Some(failure),
            repair: Some(repair),
            dispatch: Some(dispatch),
            inspection: Some(inspection),
            remote_check: Some(remote_check),
            horizon_days: Some(horizon_days),
            dispatch_within_days: Some(dispatch_within_days),
            inspection_within_days: Some(inspection_within_days),
            persistence_minutes: Some(persistence_minutes),
            long_persistence_minutes: Some(long_persistence_minutes),
            failure_ppm: Some(failure_ppm),
            orders_per_year: Some(orders_per_year),
            saving_over_budget: Some(saving_over_budget),
        } = self
        else {
            return Err(missing);
        };
        if horizon_days == 0 || failure_ppm.iter().any(|ppm| *ppm > 1_000_000) {
            return Err(EconomicsError::Range(
                "horizon_days is at least 1, and failure_ppm at most 1000000",
            ));
        }
        let [one, two, three, four, five] = &failure;
        let failure = match criticality {
            ..=1 => one,
            2 => two,
            3 => three,
            4 => four,
            _ => five,
        };
        let amount = |text: &str| {
            let amount = Money::parse(text, currency)?;
            if amount.minor() < 0 || amount.exceeds_document() {
                return Err(EconomicsError::Range(
                    "an amount is negative or far too large",
                ));
            }
            Ok(amount)
        };
        let days = |days: u16| TimeDelta::days(days.into());
        Ok(Economics {
            failure: amount(failure)?,
            repair: amount(&repair)?,
            dispatch: amount(&dispatch)?,
            inspection: amount(&inspection)?,
            remote_check: amount(&remote_check)?,
            horizon: days(horizon_days),
            dispatch_within: days(dispatch_within_days),
            inspection_within: days(inspection_within_days),
            persistence: TimeDelta::minutes(persistence_minutes.into()),
            long_persistence: TimeDelta::minutes(long_persistence_minutes.into()),
            failure_ppm,
            orders_per_year,
            saving_over_budget,
        })
    }
}
