//! Which values of a text column filters allow, where they name them.

use std::collections::BTreeSet;

use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// The values of `column` that rows which pass all filters can have; none where they may be any.
///
/// Understands `column = 'text'`, `column IN ('a', 'b')`, and AND and OR of such.
pub(super) fn named(filters: &[Expr], column: &str) -> Option<BTreeSet<String>> {
    filters
        .iter()
        .filter_map(|filter| of(filter, column))
        .reduce(|one, other| &one & &other)
}

fn of(filter: &Expr, column: &str) -> Option<BTreeSet<String>> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Eq => {
                let text = match (is(left, column), is(right, column)) {
                    (true, false) => text(right)?,
                    (false, true) => text(left)?,
                    _ => return None,
                };
                Some([text].into())
            }
            Operator::And => match (of(left, column), of(right, column)) {
                (Some(one), Some(other)) => Some(&one & &other),
                (one, other) => one.or(other),
            },
            Operator::Or => Some(&of(left, column)? | &of(right, column)?),
            _ => None,
        },
        Expr::InList(InList {
            expr,
            list,
            negated: false,
        }) if is(expr, column) => list.iter().map(text).collect(),
        _ => None,
    }
}

fn is(expr: &Expr, column: &str) -> bool {
    matches!(expr, Expr::Column(found) if found.name == column)
}

/// The text of a literal.
fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str()?.map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn check(filters: &[Expr], expected: Option<&[&str]>) {
        let found = named(filters, "asset");
        let found = found.as_ref();
        let found: Option<Vec<&str>> = found.map(|all| all.iter().map(String::as_str).collect());
        assert_eq!(found.as_deref(), expected, "{filters:?}");
    }

    #[test]
    fn what_filters_name() {
        let is = |tag: &str| col("asset").eq(lit(tag));
        check(&[], None);
        check(&[is("a")], Some(&["a"]));
        check(&[lit("a").eq(col("asset"))], Some(&["a"]));
        check(&[col("class").eq(lit("a"))], None);
        check(&[is("a").or(is("b"))], Some(&["a", "b"]));
        check(&[is("a").or(col("value").gt(lit(1)))], None);
        check(&[is("a").and(col("value").gt(lit(1)))], Some(&["a"]));
        check(&[is("a"), is("b")], Some(&[]));
        let list = |negated| col("asset").in_list(vec![lit("b"), lit("a")], negated);
        check(&[list(false)], Some(&["a", "b"]));
        check(&[list(true)], None);
        check(
            &[list(false), is("b"), col("time").is_not_null()],
            Some(&["b"]),
        );
        check(&[col("asset").not_eq(lit("a"))], None);
        check(&[col("asset").eq(col("class"))], None);
    }
}
