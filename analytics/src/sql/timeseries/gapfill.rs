//! `GROUP BY date_bin_gapfill(interval, time[, from, to])`: a row for every span of time, also for
//! those without a reading.
//!
//! **Source**: the form of InfluxDB and of TimescaleDB's `time_bucket_gapfill`. An analyzer rule
//! makes `date_bin` of it and lays the operator that makes the missing rows over the grouping.

mod bounds;
mod exec;
mod node;
mod rule;
mod stride;
mod walk;

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::instants::instant_type;

pub(super) use exec::GapFillExec;
pub(super) use node::GapFill;
pub(super) use rule::GapFillRule;

/// Name of the function.
pub(super) const NAME: &str = "date_bin_gapfill";

/// The function: a place holder, which the rule replaces.
pub(super) fn date_bin_gapfill() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(DateBinGapFill {
        // Never computed beforehand: it is to be found in the grouping.
        signature: Signature::user_defined(Volatility::Volatile),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateBinGapFill {
    signature: Signature,
}

impl ScalarUDFImpl for DateBinGapFill {
    fn name(&self) -> &str {
        NAME
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[1].clone())
    }
    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let interval = DataType::Interval(IntervalUnit::MonthDayNano);
        match given {
            [_, time] | [_, time, _, _] => {
                let time = instant_type(NAME, time)?;
                let bounds = std::iter::repeat_n(time, given.len() - 1);
                Ok([interval].into_iter().chain(bounds).collect())
            }
            _ => plan_err!("Write {NAME}(interval, time) or {NAME}(interval, time, from, to)."),
        }
    }
    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{NAME} stands in GROUP BY by itself; elsewhere write date_bin")
    }
}
