//! What a query's conditions say of assets and instants alone: it decides which rows are read.
//!
//! A condition of a join is known only once the other side has been read, and one that compares
//! with a subquery once that has run, so conditions are asked when the scan begins, not before.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_expr_common::physical_expr::snapshot_physical_expr;
use fieldwright_ingest::snapshot::{ASSET, TIME};

use super::runs::Between;

/// Conditions by what they speak of. All of them must hold; others are left to whoever asked.
#[derive(Debug, Default)]
pub(super) struct KeyTests {
    assets: Vec<Arc<dyn PhysicalExpr>>,
    times: Vec<Arc<dyn PhysicalExpr>>,
}

/// Whether a condition speaks of nothing but the asset, or nothing but the time.
pub(super) fn is_key_condition(condition: &Arc<dyn PhysicalExpr>) -> bool {
    only(condition, ASSET) || only(condition, TIME)
}

fn only(condition: &Arc<dyn PhysicalExpr>, name: &str) -> bool {
    let columns = collect_columns(condition);
    !columns.is_empty() && columns.iter().all(|column| column.name() == name)
}

impl KeyTests {
    /// The conditions as they stand now.
    pub(super) fn of(conditions: &[Arc<dyn PhysicalExpr>]) -> Result<Self> {
        let mut tests = Self::default();
        for condition in conditions {
            let now = snapshot_physical_expr(Arc::clone(condition))?;
            for part in split_conjunction(&now) {
                if only(part, ASSET) {
                    tests.assets.push(as_first_column(part)?);
                } else if only(part, TIME) {
                    tests.times.push(Arc::clone(part));
                }
            }
        }
        Ok(tests)
    }

    /// Which of the assets pass; nothing when all do.
    pub(super) fn wanted(&self, assets: &StringArray) -> Result<Option<BooleanArray>> {
        let mut wanted: Option<BooleanArray> = None;
        if self.assets.is_empty() {
            return Ok(None);
        }
        let schema = Arc::new(Schema::new(vec![Field::new(ASSET, DataType::Utf8, false)]));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(assets.clone())])?;
        for condition in &self.assets {
            // What cannot be told here is told where the condition is applied for good.
            let Ok(passed) = condition.evaluate(&batch) else {
                continue;
            };
            let passed = passed.into_array(assets.len())?;
            let Some(passed) = passed.as_any().downcast_ref::<BooleanArray>() else {
                continue;
            };
            wanted = Some(match wanted {
                None => passed.clone(),
                Some(before) => arrow::compute::and_kleene(&before, passed)?,
            });
        }
        Ok(wanted)
    }

    /// The instants that can pass; a condition that is no comparison allows all.
    pub(super) fn between(&self) -> Result<Between> {
        let mut between = Between::ALWAYS;
        for condition in &self.times {
            if let Some(allowed) = bounds(condition)? {
                between.from = between.from.max(allowed.from);
                between.to = between.to.min(allowed.to);
            }
        }
        Ok(between)
    }
}

fn as_first_column(condition: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    let moved = Arc::clone(condition).transform_up(|part| {
        Ok(match part.downcast_ref::<Column>() {
            Some(column) => Transformed::yes(Arc::new(Column::new(column.name(), 0)) as _),
            None => Transformed::no(part),
        })
    })?;
    Ok(moved.data)
}

/// What `time <op> value` allows.
fn bounds(condition: &Arc<dyn PhysicalExpr>) -> Result<Option<Between>> {
    let Some(comparison) = condition.downcast_ref::<BinaryExpr>() else {
        return Ok(None);
    };
    let (op, value) = if comparison.left().is::<Column>() {
        (Some(*comparison.op()), comparison.right())
    } else if comparison.right().is::<Column>() {
        (comparison.op().swap(), comparison.left())
    } else {
        return Ok(None);
    };
    let (Some(op), Some(value)) = (op, micros(value)?) else {
        return Ok(None);
    };
    let (least, most) = (i64::MIN, i64::MAX);
    Ok(Some(match op {
        Operator::Gt => Between {
            from: value.saturating_add(1),
            to: most,
        },
        Operator::GtEq => Between {
            from: value,
            to: most,
        },
        Operator::Lt => Between {
            from: least,
            to: value.saturating_sub(1),
        },
        Operator::LtEq => Between {
            from: least,
            to: value,
        },
        Operator::Eq => Between {
            from: value,
            to: value,
        },
        _ => return Ok(None),
    }))
}

/// The value of an expression without columns, when it is an instant in microseconds.
fn micros(value: &Arc<dyn PhysicalExpr>) -> Result<Option<i64>> {
    if !collect_columns(value).is_empty() {
        return Ok(None);
    }
    let nothing: SchemaRef = Arc::new(Schema::empty());
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(nothing, vec![], &one_row)?;
    let value = match value.evaluate(&batch) {
        Ok(ColumnarValue::Scalar(value)) => value,
        Ok(ColumnarValue::Array(values)) if values.len() == 1 => {
            ScalarValue::try_from_array(&values, 0)?
        }
        _ => return Ok(None),
    };
    Ok(match value {
        ScalarValue::TimestampMicrosecond(micros, _) => micros,
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use datafusion::physical_expr::expressions::{binary, col, lit};

    use super::*;

    fn schema() -> Schema {
        let instant =
            DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
        Schema::new(vec![
            Field::new("v", DataType::Float64, true),
            Field::new(ASSET, DataType::Utf8, false),
            Field::new(TIME, instant, false),
        ])
    }

    fn compare(
        left: Arc<dyn PhysicalExpr>,
        op: Operator,
        right: Arc<dyn PhysicalExpr>,
    ) -> Arc<dyn PhysicalExpr> {
        binary(left, op, right, &schema()).unwrap()
    }

    fn at(micros: i64) -> Arc<dyn PhysicalExpr> {
        lit(ScalarValue::TimestampMicrosecond(
            Some(micros),
            Some("UTC".into()),
        ))
    }

    #[test]
    fn comparisons_bound_the_time() {
        let time = || col(TIME, &schema()).unwrap();
        let check = |condition, from, to| {
            let found = KeyTests::of(&[condition]).unwrap().between().unwrap();
            assert_eq!(found, Between { from, to });
        };
        let (least, most) = (i64::MIN, i64::MAX);
        check(compare(time(), Operator::Gt, at(5)), 6, most);
        check(compare(time(), Operator::GtEq, at(5)), 5, most);
        check(compare(at(5), Operator::Gt, time()), least, 4);
        check(compare(at(5), Operator::LtEq, time()), 5, most);
        check(compare(time(), Operator::Eq, at(5)), 5, 5);
        check(compare(time(), Operator::NotEq, at(5)), least, most);
        let both = compare(
            compare(time(), Operator::GtEq, at(2)),
            Operator::And,
            compare(time(), Operator::Lt, at(9)),
        );
        check(both, 2, 8);
    }

    #[test]
    fn conditions_on_the_asset_choose_among_assets() {
        let asset = col(ASSET, &schema()).unwrap();
        let value = compare(col("v", &schema()).unwrap(), Operator::Gt, lit(1.0));
        assert!(!is_key_condition(&value));
        let is_b = compare(asset, Operator::Eq, lit("b"));
        assert!(is_key_condition(&is_b));
        let tests = KeyTests::of(&[is_b, value]).unwrap();
        let wanted = tests.wanted(&StringArray::from(vec!["a", "b"])).unwrap();
        assert_eq!(wanted, Some(BooleanArray::from(vec![false, true])));
        assert_eq!(
            KeyTests::default()
                .wanted(&StringArray::from(vec!["a"]))
                .unwrap(),
            None
        );
    }
}
