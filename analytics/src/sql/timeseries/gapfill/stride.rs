//! The step from one span of time to the next.

use arrow::datatypes::{IntervalMonthDayNano, TimeUnit};
use chrono::{DateTime, Months};
use datafusion::common::{Result, plan_err};

use super::NAME;

const DAY_NANOSECONDS: i128 = 86_400_000_000_000;

/// A step of fixed length or of months. Both step through UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stride {
    step: Step,
    unit: TimeUnit,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// In the unit of the instants.
    Fixed(i64),
    Months(u32),
}

impl Stride {
    /// **Errors**: an interval that is not positive, or that mixes months with anything else.
    pub(super) fn new(interval: IntervalMonthDayNano, unit: TimeUnit) -> Result<Self> {
        let IntervalMonthDayNano {
            months,
            days,
            nanoseconds,
        } = interval;
        let fixed = i128::from(days) * DAY_NANOSECONDS + i128::from(nanoseconds);
        let step = match (u32::try_from(months), fixed) {
            (Ok(0), fixed) => {
                let step = fixed / i128::from(nanoseconds_of(unit));
                let step = i64::try_from(step).ok().filter(|step| *step > 0);
                step.map(Step::Fixed)
            }
            (Ok(months), 0) => Some(Step::Months(months)),
            _ => None,
        };
        match step {
            Some(step) => Ok(Self { step, unit }),
            None => plan_err!(
                "The interval of {NAME} is positive and of months alone or without months."
            ),
        }
    }

    /// The span after the one that begins at `bin`; nothing at the end of all time.
    pub(super) fn after(self, bin: i64) -> Option<i64> {
        match self.step {
            Step::Fixed(step) => bin.checked_add(step),
            Step::Months(months) => {
                let per_second = 1_000_000_000 / nanoseconds_of(self.unit);
                let (seconds, rest) = (bin.div_euclid(per_second), bin.rem_euclid(per_second));
                let start = DateTime::from_timestamp(seconds, 0)?;
                let next = start.checked_add_months(Months::new(months))?;
                next.timestamp().checked_mul(per_second)?.checked_add(rest)
            }
        }
    }
}

fn nanoseconds_of(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}
