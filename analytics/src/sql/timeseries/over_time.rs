//! The shape that aggregates over readings share: some columns in, one number out.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};

use super::instants::instant_type;
use super::points::Points;

/// Names of all aggregates of this shape.
pub(super) const NAMES: [&str; 4] = [
    "time_weighted_avg",
    "counter_rate",
    "counter_increase",
    "time_in_state",
];

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct OverTime {
    pub(super) name: &'static str,
    /// What the first argument is read as.
    pub(super) value: Value,
    /// Whether a third argument says until when the last reading holds.
    pub(super) until: bool,
    pub(super) compute: Compute,
}

/// What the first argument is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Value {
    Number,
    Condition,
}

/// The result of all readings of a group.
#[derive(Clone, Copy)]
pub(super) struct Compute(pub(super) fn(&Points) -> Option<f64>);

impl OverTime {
    pub(super) fn function(self) -> Arc<AggregateUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(AggregateUDF::from(Function {
            about: self,
            signature,
        }))
    }

    fn form(self) -> String {
        let value = match self.value {
            Value::Number => "value",
            Value::Condition => "condition",
        };
        let until = if self.until { "[, until]" } else { "" };
        format!("{}({value}, time{until})", self.name)
    }
}

/// A function is told from others by its name alone.
impl PartialEq for Compute {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Compute {}

impl Hash for Compute {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl fmt::Debug for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compute")
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    about: OverTime,
    signature: Signature,
}

impl AggregateUDFImpl for Function {
    fn name(&self) -> &str {
        self.about.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }
    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let most = if self.about.until { 3 } else { 2 };
        if given.len() < 2 || given.len() > most {
            return plan_err!("Write {}.", self.about.form());
        }
        let mut taken = vec![match (self.about.value, &given[0]) {
            (Value::Number, value) if value.is_numeric() || value.is_null() => DataType::Float64,
            (Value::Condition, DataType::Boolean | DataType::Null) => DataType::Boolean,
            (_, other) => {
                return plan_err!(
                    "The first argument of {} is of type {other}, which it does not take.",
                    self.about.form()
                );
            }
        }];
        for time in &given[1..] {
            taken.push(instant_type(self.about.name, time)?);
        }
        Ok(taken)
    }
    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if arguments.is_distinct {
            return plan_err!("{} takes every reading, not DISTINCT ones", self.about.name);
        }
        Ok(Box::new(Accumulated {
            points: Points::default(),
            compute: self.about.compute,
        }))
    }
    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(Points::state_fields(arguments.name))
    }
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

#[derive(Debug)]
struct Accumulated {
    points: Points,
    compute: Compute,
}

impl Accumulator for Accumulated {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.points.take(columns)
    }
    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64((self.compute.0)(&self.points)))
    }
    fn size(&self) -> usize {
        size_of::<Self>() + self.points.bytes()
    }
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(self.points.state())
    }
    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.points.merge(states)
    }
}
