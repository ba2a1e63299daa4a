//! Calls of functions that plain SQL can say.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, Ident, NullTreatment, ObjectName, ObjectNamePart,
    OrderByExpr, OrderByOptions, WindowType,
};

use super::super::super::SqlError;
use super::{Rewriter, refuse};

/// Functions whose calls are rewritten.
const OURS: [&str; 5] = [
    "first_by",
    "last_by",
    "time_in_state",
    "locf",
    "interpolate",
];

pub(super) fn ours(expr: &Expr) -> bool {
    match expr {
        Expr::Function(function) => OURS.contains(&name(function).as_str()),
        _ => false,
    }
}

/// The function's name as it is looked up.
pub(super) fn name(function: &Function) -> String {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] if ident.quote_style.is_none() => {
            ident.value.to_lowercase()
        }
        [ObjectNamePart::Identifier(ident)] => ident.value.clone(),
        _ => String::new(),
    }
}

pub(super) fn rewrite(rewriter: &mut Rewriter, expr: &mut Expr) -> ControlFlow<SqlError> {
    let Expr::Function(function) = expr else {
        return ControlFlow::Continue(());
    };
    match name(function).as_str() {
        "first_by" => by_time(rewriter, function, "first_by", "first_value"),
        "last_by" => by_time(rewriter, function, "last_by", "last_value"),
        "time_in_state" => in_state(function),
        "interpolate" => time_of_window(rewriter, function),
        _ => ControlFlow::Continue(()),
    }
}

/// The plain arguments of a call; nothing when it has a star, names or clauses.
pub(super) fn arguments(function: &mut Function) -> Option<&mut Vec<FunctionArg>> {
    let FunctionArguments::List(list) = &mut function.args else {
        return None;
    };
    let plain = list
        .args
        .iter()
        .all(|arg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(_))));
    let plain = plain && list.duplicate_treatment.is_none() && list.clauses.is_empty();
    plain.then_some(&mut list.args)
}

pub(super) fn argument(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

fn exprs(args: &[FunctionArg]) -> Vec<Expr> {
    let exprs = args.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    exprs.collect()
}

/// `last_by(v, t)` → `last_value(v ORDER BY t) IGNORE NULLS FILTER (WHERE t IS NOT NULL)`.
fn by_time(
    rewriter: &mut Rewriter,
    function: &mut Function,
    called: &str,
    becomes: &str,
) -> ControlFlow<SqlError> {
    let given = arguments(function).map(|args| exprs(args));
    let Some([value, time]) = given.as_deref() else {
        return refuse(format!("Write {called}(value, time)."));
    };
    if function.over.is_some() {
        return refuse(format!(
            "{called} is an aggregate without OVER. In a window write {becomes}(value) OVER \
             (… ORDER BY time)."
        ));
    }
    let order = OrderByExpr {
        expr: rewriter.copy(time)?,
        options: OrderByOptions::default(),
        with_fill: None,
    };
    let known = Expr::IsNotNull(Box::new(Expr::Nested(Box::new(rewriter.copy(time)?))));
    let filter = match function.filter.take() {
        None => known,
        Some(filter) => Expr::BinaryOp {
            left: Box::new(Expr::Nested(filter)),
            op: BinaryOperator::And,
            right: Box::new(known),
        },
    };
    function.name = ObjectName::from(vec![Ident::new(becomes)]);
    function.args = FunctionArguments::List(FunctionArgumentList {
        duplicate_treatment: None,
        args: vec![argument(value.clone())],
        clauses: vec![FunctionArgumentClause::OrderBy(vec![order])],
    });
    function.filter = Some(Box::new(filter));
    function.null_treatment = Some(NullTreatment::IgnoreNulls);
    ControlFlow::Continue(())
}

/// `time_in_state(s, t, 'x' [, until])` → `time_in_state(s = 'x', t [, until])`.
fn in_state(function: &mut Function) -> ControlFlow<SqlError> {
    let Some(args) = arguments(function) else {
        return refuse("Write time_in_state(state, time, 'name of the state').".to_owned());
    };
    if args.len() < 3 {
        return ControlFlow::Continue(());
    }
    let given = exprs(args);
    let is_state = Expr::BinaryOp {
        left: Box::new(Expr::Nested(Box::new(given[0].clone()))),
        op: BinaryOperator::Eq,
        right: Box::new(Expr::Nested(Box::new(given[2].clone()))),
    };
    let mut rest = given;
    rest.remove(2);
    rest[0] = is_state;
    *args = rest.into_iter().map(argument).collect();
    ControlFlow::Continue(())
}

/// `interpolate(v) OVER (… ORDER BY t)` → `interpolate(v, t) OVER (… ORDER BY t)`.
fn time_of_window(rewriter: &mut Rewriter, function: &mut Function) -> ControlFlow<SqlError> {
    let Some(WindowType::WindowSpec(window)) = &function.over else {
        return ControlFlow::Continue(());
    };
    let Some(first) = window.order_by.first() else {
        return ControlFlow::Continue(());
    };
    let time = first.expr.clone();
    if let Some(args) = arguments(function)
        && args.len() == 1
    {
        args.push(argument(rewriter.copy(&time)?));
    }
    ControlFlow::Continue(())
}
