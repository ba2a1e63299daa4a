//! Tables of the operational store beside the readings.
//!
//! The composition root declares them as plain data; this module knows neither orders nor money.
//! All operational tables of one query are read in one transaction of the store.

pub(super) mod declared;
mod decode;
mod pushdown;
mod scan;

use sqlx::AnyPool;

/// The operational store and the tables of it that SQL may read.
#[derive(Debug, Clone)]
pub struct Operational {
    /// Connections to the store.
    pub pool: AnyPool,
    /// The tables.
    pub tables: Vec<OperationalTable>,
}

/// One operational table as SQL shows it.
#[derive(Debug, Clone)]
pub struct OperationalTable {
    /// Name in SQL.
    pub name: &'static str,
    /// Where its rows come from.
    pub source: TableSource,
    /// Its columns, in order.
    pub columns: Vec<OperationalColumn>,
}

/// Where the rows of an operational table come from.
#[derive(Debug, Clone, Copy)]
pub enum TableSource {
    /// A table or view of the store.
    Table(&'static str),
    /// A SELECT in SQL that every store understands; its column names are the sources of columns.
    Select(&'static str),
}

/// One column of an operational table.
#[derive(Debug, Clone, Copy)]
pub struct OperationalColumn {
    /// Name in SQL.
    pub name: &'static str,
    /// Name in the source.
    pub source: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
    /// Unit shown to people, for instance `EUR` or `min`.
    pub unit: Option<&'static str>,
}

impl OperationalColumn {
    /// A column that has the same name in SQL and in the source, without a unit.
    pub const fn new(name: &'static str, kind: ColumnKind) -> Self {
        Self {
            name,
            source: name,
            kind,
            unit: None,
        }
    }
    /// The same column, read from a column of another name.
    pub const fn from_source(mut self, source: &'static str) -> Self {
        self.source = source;
        self
    }
    /// The same column with a unit.
    pub const fn with_unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }
}

/// What a column holds, how the store keeps it and how SQL shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// TEXT, shown as text. JSON is text too.
    Text,
    /// BIGINT, shown as an integer.
    Int,
    /// BIGINT 0 or 1, shown as a boolean.
    Bool,
    /// BIGINT microseconds since 1970 UTC, shown as an instant.
    Timestamp,
    /// TEXT `YYYY-MM-DD`, shown as a day.
    Date,
    /// DOUBLE, shown as a float.
    Float,
    /// TEXT decimal number, shown as a decimal with that many digits after the point.
    Decimal {
        /// Digits after the point; a value with more is an error, never rounded.
        digits: i8,
    },
    /// BIGINT minor units of a currency, shown as a decimal. Declare a text column with the
    /// currency beside it.
    Money {
        /// Digits of the minor unit: 2 for EUR.
        digits: i8,
    },
}
