//! How many groupings a statement makes.

use datafusion::sql::sqlparser::ast;

/// Most combinations of columns that one statement groups by.
const MOST: u64 = 4_096;

pub(super) const MANY: &str =
    "more than 4096 groupings (CUBE, ROLLUP, GROUPING SETS) in one statement";

/// The grouping sets of one statement. The planner makes all of them, and CUBE doubles them with
/// each of its columns.
pub(super) struct GroupingSets(u64);

impl Default for GroupingSets {
    fn default() -> Self {
        Self(1)
    }
}

impl GroupingSets {
    /// False when there are too many by now.
    ///
    /// Several in one GROUP BY multiply; those of different queries are counted so, too.
    pub(super) fn admit(&mut self, expr: &ast::Expr) -> bool {
        let sets = match expr {
            ast::Expr::Cube(columns) => {
                let columns = u32::try_from(columns.len()).unwrap_or(u32::MAX);
                2_u64.saturating_pow(columns)
            }
            ast::Expr::Rollup(columns) => columns.len() as u64 + 1,
            ast::Expr::GroupingSets(sets) => sets.len() as u64,
            _ => return true,
        };
        self.0 = self.0.saturating_mul(sets.max(1));
        self.0 <= MOST
    }
}
