//! Filters that the store can apply. What is pushed never drops a row that the filter would keep;
//! the engine applies every filter again.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::ColumnKind;
use super::declared::{Declared, quoted};

/// Longest IN list that is pushed.
const LIST: usize = 100;

/// A value bound to a placeholder.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bound {
    Int(i64),
    Text(String),
}

/// True when the store can apply the filter.
pub(super) fn pushes(filter: &Expr, declared: &Declared) -> bool {
    Condition::default().write(filter, declared).is_some()
}

/// A WHERE clause and its values; placeholders are numbered in order.
#[derive(Debug, Default, Clone)]
pub(super) struct Condition {
    pub(super) values: Vec<Bound>,
}

impl Condition {
    /// The filter in the store's SQL, or none when it cannot be pushed.
    pub(super) fn write(&mut self, filter: &Expr, declared: &Declared) -> Option<String> {
        match filter {
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::And,
                right,
            }) => {
                let left = self.write(left, declared)?;
                Some(format!("({left} AND {})", self.write(right, declared)?))
            }
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Or,
                right,
            }) => {
                let left = self.write(left, declared)?;
                Some(format!("({left} OR {})", self.write(right, declared)?))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, &**right) {
                (Expr::Column(_), Expr::Literal(value, _)) => {
                    self.compare(left, *op, value, declared)
                }
                (Expr::Literal(value, _), Expr::Column(_)) => {
                    self.compare(right, op.swap()?, value, declared)
                }
                _ => None,
            },
            Expr::InList(list) if list.list.len() <= LIST && !list.negated => {
                let mut options = Vec::with_capacity(list.list.len());
                for item in &list.list {
                    let Expr::Literal(value, _) = item else {
                        return None;
                    };
                    options.push(self.compare(&list.expr, Operator::Eq, value, declared)?);
                }
                (!options.is_empty()).then(|| format!("({})", options.join(" OR ")))
            }
            Expr::IsNull(inner) => Some(format!("{} IS NULL", source(inner, declared)?.0)),
            Expr::IsNotNull(inner) => Some(format!("{} IS NOT NULL", source(inner, declared)?.0)),
            Expr::Column(_) => match source(filter, declared)? {
                (column, ColumnKind::Bool) => Some(format!("{column} = 1")),
                _ => None,
            },
            Expr::Not(inner) => match source(inner, declared)? {
                (column, ColumnKind::Bool) => Some(format!("{column} = 0")),
                _ => None,
            },
            _ => None,
        }
    }

    fn compare(
        &mut self,
        column: &Expr,
        op: Operator,
        value: &ScalarValue,
        declared: &Declared,
    ) -> Option<String> {
        let (column, kind) = source(column, declared)?;
        let value = bound(kind, value)?;
        let op = match (op, &value) {
            (Operator::Eq, _) => "=",
            // Stores order texts by their own rules, so only equality means the same everywhere.
            (_, Bound::Text(_)) => return None,
            (Operator::NotEq, _) => "<>",
            (Operator::Lt, _) => "<",
            (Operator::LtEq, _) => "<=",
            (Operator::Gt, _) => ">",
            (Operator::GtEq, _) => ">=",
            _ => return None,
        };
        self.values.push(value);
        Some(format!("{column} {op} ${}", self.values.len()))
    }
}

fn source(column: &Expr, declared: &Declared) -> Option<(String, ColumnKind)> {
    let Expr::Column(column) = column else {
        return None;
    };
    let column = declared.column(&column.name)?;
    Some((quoted(column.source), column.kind))
}

fn bound(kind: ColumnKind, value: &ScalarValue) -> Option<Bound> {
    match (kind, value) {
        (ColumnKind::Int, ScalarValue::Int64(Some(i))) => Some(Bound::Int(*i)),
        (ColumnKind::Bool, ScalarValue::Boolean(Some(b))) => Some(Bound::Int((*b).into())),
        (ColumnKind::Timestamp, ScalarValue::TimestampMicrosecond(Some(us), _)) => {
            Some(Bound::Int(*us))
        }
        (
            ColumnKind::Text,
            ScalarValue::Utf8(Some(text))
            | ScalarValue::Utf8View(Some(text))
            | ScalarValue::LargeUtf8(Some(text)),
            // A store may refuse a text with a zero byte; no row holds one.
        ) if !text.contains('\0') => Some(Bound::Text(text.clone())),
        _ => None,
    }
}
