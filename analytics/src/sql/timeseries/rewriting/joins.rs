//! `ASOF JOIN` in parentheses of its own.

use datafusion::sql::sqlparser::ast::{Join, JoinOperator, TableFactor, TableWithJoins};

pub(super) fn has_asof(from: &TableWithJoins) -> bool {
    from.joins.iter().any(is_asof)
}

/// `a JOIN b … ASOF JOIN c …` becomes `((a JOIN b …) ASOF JOIN c …)`, so that each pair of
/// parentheses with an ASOF JOIN holds nothing else.
pub(super) fn in_parentheses(from: TableWithJoins) -> TableWithJoins {
    if !has_asof(&from) {
        return from;
    }
    let TableWithJoins { relation, joins } = from;
    let mut whole = TableWithJoins {
        relation,
        joins: Vec::new(),
    };
    for join in joins {
        if !is_asof(&join) {
            whole.joins.push(join);
            continue;
        }
        let left = match whole.joins.is_empty() {
            true => whole.relation,
            false => nested(whole),
        };
        let pair = TableWithJoins {
            relation: left,
            joins: vec![join],
        };
        whole = TableWithJoins {
            relation: nested(pair),
            joins: Vec::new(),
        };
    }
    whole
}

fn nested(from: TableWithJoins) -> TableFactor {
    TableFactor::NestedJoin {
        table_with_joins: Box::new(from),
        alias: None,
    }
}

fn is_asof(join: &Join) -> bool {
    matches!(join.join_operator, JoinOperator::AsOf { .. })
}
