//! What clients list: catalogs, schemas, tables, and what the service can do.

use std::sync::LazyLock;

use arrow::record_batch::RecordBatch;
use arrow_flight::error::Result;
use arrow_flight::sql::metadata::{
    GetCatalogsBuilder, GetDbSchemasBuilder, GetTablesBuilder, SqlInfoData, SqlInfoDataBuilder,
};
use arrow_flight::sql::{SqlInfo, SqlSupportedTransaction};

use crate::sql::{CATALOG, READINGS, SCHEMA, SqlEngine};

const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";

/// The kinds of tables that there are.
pub(super) const KINDS: [&str; 2] = [TABLE, VIEW];

/// What the service says about itself.
pub(super) static INFO: LazyLock<SqlInfoData> = LazyLock::new(|| {
    let mut info = SqlInfoDataBuilder::new();
    info.append(SqlInfo::FlightSqlServerName, "Fieldwright");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
    info.append(SqlInfo::FlightSqlServerReadOnly, true);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    let none = SqlSupportedTransaction::None as i32;
    info.append(SqlInfo::FlightSqlServerTransaction, none);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    info.build().expect("plain values make an array")
});

/// The one catalog.
pub(super) fn catalogs(mut builder: GetCatalogsBuilder) -> Result<RecordBatch> {
    builder.append(CATALOG);
    builder.build()
}

/// The one schema.
pub(super) fn schemas(mut builder: GetDbSchemasBuilder) -> Result<RecordBatch> {
    builder.append(CATALOG, SCHEMA);
    builder.build()
}

/// The tables that a query sees now.
pub(super) fn tables(mut builder: GetTablesBuilder, engine: &SqlEngine) -> Result<RecordBatch> {
    for (name, columns) in engine.tables() {
        let kind = if name == READINGS { VIEW } else { TABLE };
        builder.append(CATALOG, SCHEMA, name, kind, &columns)?;
    }
    builder.build()
}
