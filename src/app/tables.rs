//! Which operational tables SQL may read.

use fieldwright_analytics::alarms::SqlAlarmStore;
use fieldwright_analytics::sql::{
    ColumnKind, Operational, OperationalColumn, OperationalTable, TableSource,
};
use fieldwright_workorders::store::{self, Db};

/// Digits of the minor unit of the currencies that the seeds use.
const MINOR_DIGITS: i8 = 2;

/// The tables of work and money, and those of alarms.
pub fn operational(db: &Db) -> Operational {
    let mut tables: Vec<OperationalTable> = store::tables().iter().map(declared).collect();
    tables.extend(SqlAlarmStore::tables());
    Operational {
        pool: db.reading_pool().clone(),
        tables,
    }
}

fn declared(table: &store::TableDef) -> OperationalTable {
    OperationalTable {
        name: table.name,
        source: TableSource::Table(table.name),
        columns: table
            .columns
            .iter()
            .map(|column| OperationalColumn::new(column.name, kind(column.kind)))
            .collect(),
    }
}

fn kind(kind: store::ColumnKind) -> ColumnKind {
    match kind {
        store::ColumnKind::Text | store::ColumnKind::Json => ColumnKind::Text,
        store::ColumnKind::Int => ColumnKind::Int,
        store::ColumnKind::Bool => ColumnKind::Bool,
        store::ColumnKind::Timestamp => ColumnKind::Timestamp,
        store::ColumnKind::Money => ColumnKind::Money {
            digits: MINOR_DIGITS,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldwright_ingest::validate::RESERVED_CLASSES;

    /// A class would hide a table of that name, or be hidden by it.
    #[test]
    fn no_class_can_take_the_name_of_a_table() {
        let ours = store::tables().iter().map(|table| table.name);
        for name in ours.chain(SqlAlarmStore::tables().iter().map(|table| table.name)) {
            assert!(RESERVED_CLASSES.contains(&name), "`{name}` is not reserved");
        }
    }
}
