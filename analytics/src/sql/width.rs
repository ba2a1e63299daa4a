//! How wide one row of a query may grow.
//!
//! A batch is computed at once and what it takes while it is computed is not charged to the
//! memory of the queries. A batch has a fixed number of rows, so the width of a row bounds it.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

use super::SqlError;

/// Rows of a batch.
pub(super) const BATCH_ROWS: usize = 2_048;
/// Most bytes of one row, reckoned.
pub(super) const ROW_BYTES: u64 = 128 * 1024;
/// What a stored text is reckoned with.
const TEXT_BYTES: u64 = 512;
const NUMBER_BYTES: u64 = 8;
/// What a letter of a format of instants becomes at most (`%c`).
const FORMAT_FACTOR: u64 = 16;

/// Lets a plan pass whose rows stay below [`ROW_BYTES`] at every step.
pub(super) fn admit_plan(plan: &LogicalPlan) -> Result<(), SqlError> {
    of_plan(plan).map(|_| ())
}

/// Bytes of each column of the plan's output.
fn of_plan(plan: &LogicalPlan) -> Result<Vec<u64>, SqlError> {
    let mut inputs = Vec::new();
    for input in plan.inputs() {
        inputs.push(of_plan(input)?);
    }
    of_subqueries(plan)?;
    let behind = inputs.concat();
    let schema = plan.inputs().first().map(|input| input.schema());
    let reckon = |exprs: &[Expr]| -> Result<Vec<u64>, SqlError> {
        let empty = DFSchema::empty();
        let schema = schema.map_or(&empty, |schema| schema.as_ref());
        let row = Row {
            schema,
            behind: &inputs.first().cloned().unwrap_or_default(),
        };
        exprs.iter().map(|expr| row.of(expr)).collect()
    };
    let columns = match plan {
        LogicalPlan::Projection(node) => reckon(&node.expr)?,
        LogicalPlan::Aggregate(node) => {
            let mut columns = reckon(&node.group_expr)?;
            columns.extend(reckon(&node.aggr_expr)?);
            columns
        }
        LogicalPlan::Window(node) => {
            let mut columns = behind;
            columns.extend(reckon(&node.window_expr)?);
            columns
        }
        LogicalPlan::Filter(node) => {
            reckon(std::slice::from_ref(&node.predicate))?;
            behind
        }
        LogicalPlan::Values(node) => {
            let mut widest = Vec::new();
            for row in &node.values {
                let row = reckon(row)?;
                widest.resize(row.len(), 0);
                widest.iter_mut().zip(row).for_each(|(a, b)| *a = b.max(*a));
            }
            widest
        }
        LogicalPlan::Union(_) => {
            let mut widest = vec![0; plan.schema().fields().len()];
            for input in &inputs {
                let columns = widest.iter_mut().zip(input);
                columns.for_each(|(a, b)| *a = (*b).max(*a));
            }
            widest
        }
        LogicalPlan::TableScan(_) => stored(plan),
        _ => {
            for expr in plan.expressions() {
                reckon_joined(&expr, plan, &behind)?;
            }
            behind
        }
    };
    // A node of another shape than its inputs (a semi join, an explanation) is no wider than both.
    let width = plan.schema().fields().len();
    let columns: Vec<u64> = match columns.len() == width {
        true => columns,
        false => columns
            .into_iter()
            .chain(std::iter::repeat(NUMBER_BYTES))
            .take(width)
            .collect(),
    };
    check(columns.iter().fold(0, |sum: u64, c| sum.saturating_add(*c)))?;
    Ok(columns)
}

/// Expressions of a join see both of its inputs.
fn reckon_joined(expr: &Expr, plan: &LogicalPlan, behind: &[u64]) -> Result<u64, SqlError> {
    let inputs = plan.inputs();
    let mut schema = DFSchema::empty();
    for input in inputs {
        schema.merge(input.schema());
    }
    // Merging drops columns of the same name; then nothing is known by its place.
    let known = schema.fields().len() == behind.len();
    let row = Row {
        schema: &schema,
        behind: if known { behind } else { &[] },
    };
    row.of(expr)
}

fn stored(plan: &LogicalPlan) -> Vec<u64> {
    let fields = plan.schema().fields().iter();
    let bytes = |data_type: &DataType| match data_type.primitive_width() {
        Some(_) => NUMBER_BYTES,
        None if *data_type == DataType::Boolean => NUMBER_BYTES,
        None => TEXT_BYTES,
    };
    fields.map(|field| bytes(field.data_type())).collect()
}

fn of_subqueries(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut refused = Ok(());
    let walked = plan.apply_subqueries(|subquery| {
        refused = of_plan(subquery).map(|_| ());
        Ok(match refused {
            Ok(()) => TreeNodeRecursion::Jump,
            Err(_) => TreeNodeRecursion::Stop,
        })
    });
    walked.map_err(|error| SqlError::Invalid {
        message: error.strip_backtrace(),
    })?;
    refused
}

fn check(bytes: u64) -> Result<u64, SqlError> {
    match bytes > ROW_BYTES {
        true => Err(SqlError::TooWide { limit: ROW_BYTES }),
        false => Ok(bytes),
    }
}

/// What an expression sees.
struct Row<'a> {
    schema: &'a DFSchema,
    behind: &'a [u64],
}

impl Row<'_> {
    /// Bytes of an expression's value; every part of it keeps to the limit.
    fn of(&self, expr: &Expr) -> Result<u64, SqlError> {
        match expr {
            Expr::Literal(value, _) => return Ok(literal(value)),
            Expr::Column(column) => {
                let place = self.schema.maybe_index_of_column(column);
                let known = place.and_then(|place| self.behind.get(place));
                return Ok(known.copied().unwrap_or(TEXT_BYTES));
            }
            _ => {}
        }
        let mut parts = Vec::new();
        let mut refused = Ok(());
        let walked = datafusion::common::tree_node::TreeNode::apply_children(expr, |part| {
            match self.of(part) {
                Ok(bytes) => parts.push(bytes),
                Err(error) => {
                    refused = Err(error);
                    return Ok(TreeNodeRecursion::Stop);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        });
        refused?;
        walked.map_err(|error| SqlError::Invalid {
            message: error.strip_backtrace(),
        })?;
        let sum = parts
            .iter()
            .fold(0, |sum: u64, part| sum.saturating_add(*part));
        let most = parts.iter().copied().max().unwrap_or(NUMBER_BYTES);
        check(match expr {
            Expr::BinaryExpr(BinaryExpr { op, .. }) => match op {
                Operator::StringConcat => sum,
                _ => most.min(TEXT_BYTES),
            },
            Expr::ScalarFunction(function) => grown(function, &parts, sum),
            Expr::InList(_) | Expr::Like(_) | Expr::SimilarTo(_) | Expr::Between(_) => NUMBER_BYTES,
            Expr::Case(_) => most,
            Expr::Cast(cast) => sum.max(of_type(cast.field.data_type())),
            Expr::TryCast(cast) => sum.max(of_type(cast.field.data_type())),
            _ => sum.max(NUMBER_BYTES),
        })
    }
}

/// Bytes of a function's result: what its arguments hold, except where they multiply.
fn grown(function: &ScalarFunction, parts: &[u64], sum: u64) -> u64 {
    let part = |at: usize| parts.get(at).copied().unwrap_or(1).max(1);
    let count = parts.len() as u64;
    match function.name() {
        // Every letter may be one that is replaced.
        "replace" if finds_letters(function) => part(0).saturating_mul(part(2)),
        // Between all letters, too, when what is replaced is the empty text.
        "replace" | "regexp_replace" => {
            let each = part(2).saturating_add(1);
            part(0).saturating_mul(each).saturating_add(part(2))
        }
        // What stands between two values, and what stands for one that is null.
        "array_to_string" => part(0).saturating_mul(part(1).saturating_add(part(2))),
        "encode" => sum.saturating_mul(2),
        "array_replace" | "array_replace_n" | "array_replace_all" => {
            part(0).saturating_mul(part(2))
        }
        "concat_ws" => sum.saturating_add(part(0).saturating_mul(count)),
        "to_char" => part(0).max(part(1).saturating_mul(FORMAT_FACTOR)),
        // A list of texts holds a place for every letter.
        "string_to_array" => sum.saturating_mul(5),
        _ => sum.max(NUMBER_BYTES),
    }
}

/// Whether what is replaced is a text that is known and not empty.
fn finds_letters(function: &ScalarFunction) -> bool {
    match function.args.get(1) {
        Some(Expr::Literal(value, _)) => {
            let text = value.try_as_str().flatten();
            text.is_some_and(|text| !text.is_empty())
        }
        _ => false,
    }
}

fn literal(value: &ScalarValue) -> u64 {
    let data_type = value.data_type();
    match value.try_as_str() {
        Some(text) => text.map_or(1, str::len) as u64,
        None if data_type.is_primitive() || data_type.is_null() => NUMBER_BYTES,
        None if data_type == DataType::Boolean => NUMBER_BYTES,
        None => of_type(&data_type).max(value.size() as u64),
    }
}

/// Bytes of a value of this type whatever it is, null included.
fn of_type(data_type: &DataType) -> u64 {
    let of_fixed = |length: &i32| u64::try_from(*length).unwrap_or(0);
    match data_type {
        DataType::FixedSizeBinary(length) => of_fixed(length).max(NUMBER_BYTES),
        DataType::FixedSizeList(item, length) => {
            of_fixed(length).saturating_mul(of_type(item.data_type()))
        }
        DataType::Struct(fields) => fields.iter().fold(0, |sum: u64, field| {
            sum.saturating_add(of_type(field.data_type()))
        }),
        // A list of them may have one.
        DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => {
            of_type(item.data_type())
        }
        _ => NUMBER_BYTES,
    }
}
