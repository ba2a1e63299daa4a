//! What clients ask about things that do not exist here: keys, indexes, sequences, inheritance.
//!
//! Their questions use much that our SQL does not offer (arrays of rows, `unnest`, JSON), only to
//! learn that there is nothing. So a query that must find rows in a table which holds none for our
//! tables becomes one without rows, before the gate looks at it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, FunctionArguments, GroupByExpr, Ident, JoinOperator, Query, Select,
    SelectItem, SetExpr, Statement, TableFactor, Value, VisitMut as _, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// Tables of the catalog without a row about our tables.
const WITHOUT_ROWS: [&str; 18] = [
    "pg_attrdef",
    "pg_auth_members",
    "pg_collation",
    "pg_constraint",
    "pg_enum",
    "pg_event_trigger",
    "pg_foreign_table",
    "pg_index",
    "pg_inherits",
    "pg_partitioned_table",
    "pg_policy",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_rewrite",
    "pg_sequence",
    "pg_statistic_ext",
    "pg_trigger",
];

/// Columns of the catalog that are not there and would be null.
const WITHOUT_VALUE: [&str; 2] = ["relacl", "reloptions"];

/// How [`null`] is written.
const NULL: &str = "NULL::TEXT";

/// Functions that give one row also where there is none.
const AGGREGATES: [&str; 9] = [
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "max",
    "min",
    "string_agg",
    "sum",
];

/// Names of objects, which stand here for none.
const OBJECT_TYPES: [&str; 4] = ["regclass", "regtype", "regproc", "regnamespace"];

/// Takes out of a question what is about things that do not exist here.
pub(in crate::sql) fn simplify(statement: &mut Statement) {
    let _: ControlFlow<()> = statement.visit(&mut Absent);
}

struct Absent;

impl VisitorMut for Absent {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = query.body.as_ref() else {
            return ControlFlow::Continue(());
        };
        if !finds_nothing(select) {
            return ControlFlow::Continue(());
        }
        if let Some(nothing) = names(select).as_deref().and_then(no_rows) {
            // Its order and limit name what is not there any more.
            *query = nothing;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let replaced = match expr {
            Expr::Subquery(query) if is_no_rows(query) => Some(null()),
            // No column of ours has a collation.
            Expr::Subquery(query) if gives(query, "typcollation") => Some(zero()),
            Expr::Function(function) => match &function.args {
                // array(SELECT …): a list that is shown, of things that do not exist.
                FunctionArguments::Subquery(_) => Some(null()),
                // A list that was taken out is no list any more.
                FunctionArguments::List(list)
                    if function.name.to_string().ends_with("array_to_string")
                        && list.args.iter().any(|arg| arg.to_string().contains(NULL)) =>
                {
                    Some(null())
                }
                _ => None,
            },
            Expr::CompoundIdentifier(parts) => {
                let name = parts.last().map(|last| last.value.to_lowercase());
                let absent = name.is_some_and(|name| WITHOUT_VALUE.contains(&name.as_str()));
                absent.then(null)
            }
            // The number of an object whose name comes as a parameter.
            Expr::Cast {
                expr: inner,
                data_type,
                ..
            } if matches!(**inner, Expr::Value(ref value)
                if matches!(value.value, Value::Placeholder(_)))
                && names_object(data_type) =>
            {
                Some(zero())
            }
            Expr::Like {
                pattern,
                escape_char,
                ..
            }
            | Expr::ILike {
                pattern,
                escape_char,
                ..
            } => {
                // Our LIKE knows the backslash only.
                if let Some(escape) = escape_char.take()
                    && let Some(rewritten) = with_backslash(pattern, &escape.to_string())
                {
                    **pattern = rewritten;
                }
                None
            }
            _ => None,
        };
        if let Some(replaced) = replaced {
            *expr = replaced;
        }
        ControlFlow::Continue(())
    }
}

/// Whether a row of a table without rows would be needed for each row.
fn finds_nothing(select: &Select) -> bool {
    let grouped = !matches!(&select.group_by,
        GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if !grouped && select.projection.iter().any(aggregates) {
        return false;
    }
    select.from.iter().any(|from| {
        let keeps_left = from.joins.iter().all(|join| {
            !matches!(
                join.join_operator,
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
            )
        });
        let inner = from.joins.iter().filter(|join| {
            matches!(
                join.join_operator,
                JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
            )
        });
        keeps_left
            && std::iter::once(&from.relation)
                .chain(inner.map(|join| &join.relation))
                .any(without_rows)
    })
}

fn without_rows(table: &TableFactor) -> bool {
    match table {
        TableFactor::Table { name, .. } => name.0.last().is_some_and(|last| {
            let name = last.to_string().trim_matches('"').to_lowercase();
            WITHOUT_ROWS.contains(&name.as_str())
        }),
        TableFactor::Derived { subquery, .. } => is_no_rows(subquery),
        _ => false,
    }
}

fn aggregates(item: &SelectItem) -> bool {
    let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
        return false;
    };
    let text = expr.to_string().to_lowercase();
    AGGREGATES
        .iter()
        .any(|name| text.contains(&format!("{name}(")))
}

/// The names of a query's columns; nothing where they cannot be told.
fn names(select: &Select) -> Option<Vec<String>> {
    let named = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        SelectItem::UnnamedExpr(expr) => Some(match expr {
            Expr::Identifier(name) => name.value.clone(),
            Expr::CompoundIdentifier(parts) => parts.last()?.value.clone(),
            Expr::Function(function) => function.name.0.last()?.to_string(),
            _ => "?column?".to_owned(),
        }),
        _ => None,
    };
    select.projection.iter().map(named).collect()
}

/// `SELECT NULL AS a, … WHERE false`.
fn no_rows(names: &[String]) -> Option<Query> {
    let mut columns = Vec::new();
    for (place, name) in names.iter().enumerate() {
        // Two columns of one name would be refused.
        let again = names[..place].contains(name);
        let name = if again {
            format!("{name}_{place}")
        } else {
            name.clone()
        };
        columns.push(format!("NULL::TEXT AS {}", Ident::with_quote('"', name)));
    }
    let text = format!("SELECT {} WHERE false", columns.join(", "));
    match Parser::parse_sql(&PostgreSqlDialect {}, &text)
        .ok()?
        .pop()?
    {
        Statement::Query(query) => Some(*query),
        _ => None,
    }
}

fn is_no_rows(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return false;
    };
    let condition = select.selection.as_ref().map(ToString::to_string);
    select.from.is_empty() && condition.is_some_and(|text| text == "false")
}

/// Whether a query gives this one column.
fn gives(query: &Query, column: &str) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return false;
    };
    let names = names(select).unwrap_or_default();
    names.len() == 1 && names[0].eq_ignore_ascii_case(column)
}

fn names_object(kind: &DataType) -> bool {
    let name = kind.to_string().to_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    OBJECT_TYPES.contains(&last)
}

/// `replace(pattern, escape, '\')`.
fn with_backslash(pattern: &Expr, escape: &str) -> Option<Expr> {
    let escape = escape.trim_matches('\'');
    if escape == "\\" {
        return None;
    }
    let escape = escape.replace('\'', "''");
    let text = format!("SELECT replace({pattern}, '{escape}', '\\')");
    let Statement::Query(query) = Parser::parse_sql(&PostgreSqlDialect {}, &text)
        .ok()?
        .pop()?
    else {
        return None;
    };
    let SetExpr::Select(select) = *query.body else {
        return None;
    };
    match select.projection.into_iter().next()? {
        SelectItem::UnnamedExpr(expr) => Some(expr),
        _ => None,
    }
}

fn zero() -> Expr {
    Expr::value(Value::Number("0".to_owned(), false))
}

fn null() -> Expr {
    Expr::Cast {
        kind: CastKind::DoubleColon,
        expr: Box::new(Expr::value(Value::Null)),
        data_type: DataType::Text,
        array: false,
        format: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str) {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql)
            .unwrap()
            .pop()
            .unwrap();
        simplify(&mut statement);
        assert_eq!(statement.to_string(), expected);
    }

    #[test]
    fn what_does_not_exist_is_taken_out() {
        check(
            "SELECT i.indrelid, array_agg(a) AS cols FROM pg_index i GROUP BY 1 ORDER BY 1",
            "SELECT NULL::TEXT AS \"indrelid\", NULL::TEXT AS \"cols\" WHERE false",
        );
        check(
            "SELECT c.oid, x.b FROM pg_class c LEFT JOIN (SELECT unnest(k) AS b FROM pg_catalog.pg_index) x ON true",
            "SELECT c.oid, x.b FROM pg_class c LEFT JOIN (SELECT NULL::TEXT AS \"b\" WHERE false) x ON true",
        );
        check(
            "SELECT a, (SELECT json_build_object(s) FROM pg_sequence) FROM pg_attribute",
            "SELECT a, NULL::TEXT FROM pg_attribute",
        );
        check(
            "SELECT count(*) FROM pg_index",
            "SELECT count(*) FROM pg_index",
        );
        check(
            "SELECT c.relname FROM pg_class c LEFT JOIN pg_index i ON true",
            "SELECT c.relname FROM pg_class c LEFT JOIN pg_index i ON true",
        );
        check(
            "SELECT c.reloptions FROM pg_class c",
            "SELECT NULL::TEXT FROM pg_class c",
        );
        check("SELECT CAST($1 AS REGCLASS)", "SELECT 0");
        check(
            "SELECT array_to_string(c.reloptions || array(SELECT 1), ',')",
            "SELECT NULL::TEXT",
        );
        check(
            "SELECT a <> (SELECT t.typcollation FROM pg_type t WHERE t.oid = b)",
            "SELECT a <> 0",
        );
        check(
            "SELECT 1 WHERE a NOT LIKE $1::VARCHAR || '%' ESCAPE '/'",
            "SELECT 1 WHERE a NOT LIKE replace($1::VARCHAR || '%', '/', '\\')",
        );
    }
}
