//! The declared tables, made ready once, and the one transaction of each query.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use sqlx::{Any, AnyPool, Transaction};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::scan::OperationalProvider;
use super::{ColumnKind, Operational, OperationalTable, TableSource};
use crate::sql::SqlLimits;

/// Precision of every decimal column: the most that fits.
pub(super) const PRECISION: u8 = 38;

/// All operational tables, for all queries.
#[derive(Debug)]
pub(in crate::sql) struct DeclaredTables {
    pool: AnyPool,
    home: Option<Handle>,
    tables: BTreeMap<&'static str, Arc<Declared>>,
    row_limit: usize,
}

/// One operational table, made ready.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) table: OperationalTable,
    pub(super) schema: SchemaRef,
}

impl DeclaredTables {
    pub(in crate::sql) fn new(operational: Operational, limits: &SqlLimits) -> Self {
        let tables = operational.tables.into_iter().map(|table| {
            let schema = schema_of(&table);
            (table.name, Arc::new(Declared { table, schema }))
        });
        Self {
            pool: operational.pool,
            home: Handle::try_current().ok(),
            tables: tables.collect(),
            row_limit: limits.operational_rows,
        }
    }

    /// The tables for one query; nothing is opened before the first row is read.
    pub(in crate::sql) fn begin_query(self: &Arc<Self>) -> QueryOfTables {
        let transaction = Arc::new(QueryTransaction {
            pool: self.pool.clone(),
            home: self.home.clone(),
            open: Mutex::new(None),
        });
        QueryOfTables {
            declared: Arc::clone(self),
            transaction,
        }
    }
}

/// The operational tables as one query sees them.
#[derive(Debug)]
pub(in crate::sql) struct QueryOfTables {
    declared: Arc<DeclaredTables>,
    transaction: Arc<QueryTransaction>,
}

impl QueryOfTables {
    pub(in crate::sql) fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.declared.tables.keys().copied()
    }
    pub(in crate::sql) fn table(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let declared = self.declared.tables.get(name)?;
        Some(Arc::new(OperationalProvider {
            declared: Arc::clone(declared),
            transaction: Arc::clone(&self.transaction),
            row_limit: self.declared.row_limit,
        }))
    }
}

/// The one read transaction of a query, opened by the first table that is read.
///
/// It ends (rolled back, having changed nothing) when the query's plan is dropped.
pub(super) struct QueryTransaction {
    pool: AnyPool,
    /// Where connections are opened. A socket belongs to the runtime that opened it, and the pool
    /// outlives the threads of a query: those may be replaced, or end with their engine.
    home: Option<Handle>,
    pub(super) open: Mutex<Option<Transaction<'static, Any>>>,
}

impl QueryTransaction {
    /// Begins in the way of the store that sees one state for all reads and can change nothing.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        let opening = open(self.pool.clone());
        match &self.home {
            Some(home) => home
                .spawn(opening)
                .await
                .map_err(|ended| sqlx::Error::Io(std::io::Error::other(ended)))?,
            None => opening.await,
        }
    }
}

async fn open(pool: AnyPool) -> Result<Transaction<'static, Any>, sqlx::Error> {
    let connection = pool.acquire().await?;
    let statement = match connection.backend_name() {
        "PostgreSQL" => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        _ => "BEGIN DEFERRED",
    };
    Transaction::begin(connection, Some(sqlx::SqlStr::from_static(statement))).await
}

impl std::fmt::Debug for QueryTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryTransaction").finish_non_exhaustive()
    }
}

impl Declared {
    /// The FROM clause: built from declared, compiled-in names only.
    pub(super) fn source_clause(&self) -> String {
        match self.table.source {
            TableSource::Table(name) => quoted(name),
            TableSource::Select(select) => format!("({select}) AS source"),
        }
    }
    pub(super) fn column(&self, name: &str) -> Option<&super::OperationalColumn> {
        self.table.columns.iter().find(|column| column.name == name)
    }
}

/// An identifier as both stores read it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn schema_of(table: &OperationalTable) -> SchemaRef {
    let fields = table.columns.iter().map(|column| {
        let data_type = match column.kind {
            ColumnKind::Text => DataType::Utf8,
            ColumnKind::Int => DataType::Int64,
            ColumnKind::Bool => DataType::Boolean,
            ColumnKind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ColumnKind::Date => DataType::Date32,
            ColumnKind::Float => DataType::Float64,
            ColumnKind::Decimal { digits } | ColumnKind::Money { digits } => {
                DataType::Decimal128(PRECISION, digits)
            }
        };
        let field = Field::new(column.name, data_type, true);
        match column.unit {
            Some(unit) => field.with_metadata([("unit".to_owned(), unit.to_owned())].into()),
            None => field,
        }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
