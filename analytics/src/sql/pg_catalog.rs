//! What PostgreSQL clients find out about our tables: their `pg_catalog`, and its functions.
//!
//! Tables and reading are those of `datafusion-pg-catalog`; what they show are the tables of the
//! newest snapshot. They run in a session of their own, so that no other query pays for them, and
//! pass the same gate.

mod absent;
mod functions;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Weak};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, SchemaProvider,
};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::{
    PgCatalogSchemaProvider, PgCatalogStaticTables,
};
use datafusion_postgres::datafusion_pg_catalog::setup_pg_catalog;
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;

pub(crate) use functions::setting;

use super::catalog::QueryCatalogs;
use super::engine::{CATALOG, SCHEMA, Shared};
use super::readings::READINGS;

const PG_CATALOG: &str = "pg_catalog";
const INFORMATION_SCHEMA: &str = "information_schema";

/// The catalog as PostgreSQL clients ask about it.
pub(super) struct PgCatalog {
    reader: PostgresCompatibilityParser,
    session: SessionState,
    tables: Arc<dyn SchemaProvider>,
}

impl PgCatalog {
    /// The catalog of an engine's tables, beside what its sessions have.
    pub(super) fn new(shared: Weak<Shared>, base: &SessionState) -> Result<Self> {
        let context = SessionContext::new_with_state(with_catalogs(base.clone()));
        context.register_catalog(CATALOG, Arc::new(MemoryCatalogProvider::new()));
        setup_pg_catalog(&context, CATALOG, EmptyContextProvider).map_err(|error| *error)?;
        for function in functions::all() {
            context.register_udf(function);
        }
        // One provider for all queries: it remembers the number of each table.
        let tables = PgCatalogSchemaProvider::try_new(
            OurTables(shared),
            Arc::new(PgCatalogStaticTables::try_new()?),
            EmptyContextProvider,
        )?;
        Ok(Self {
            reader: PostgresCompatibilityParser::new(),
            session: with_catalogs(context.state()),
            tables: Arc::new(tables),
        })
    }

    /// Reads what these clients ask, as our engine can answer it.
    ///
    /// **Errors**: it is no SQL.
    pub(super) fn read(&self, text: &str) -> std::result::Result<Vec<Statement>, ParserError> {
        let mut statements = self.reader.parse(text)?;
        statements.iter_mut().for_each(absent::simplify);
        Ok(statements)
    }

    /// The session that knows the functions.
    pub(super) fn session(&self) -> &SessionState {
        &self.session
    }

    /// The tables, and the name of their schema.
    pub(super) fn schema(&self) -> (&'static str, Arc<dyn SchemaProvider>) {
        (PG_CATALOG, Arc::clone(&self.tables))
    }
}

/// The session with a list of catalogs of its own: copies of a session share theirs.
fn with_catalogs(mut session: SessionState) -> SessionState {
    let none: Arc<dyn CatalogProviderList> = Arc::new(MemoryCatalogProviderList::new());
    session.register_catalog_list(none);
    session
}

impl fmt::Debug for PgCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgCatalog").finish_non_exhaustive()
    }
}

/// The tables that a query would see now.
#[derive(Clone)]
struct OurTables(Weak<Shared>);

impl OurTables {
    fn now(&self) -> Result<QueryCatalogs> {
        let shared = self
            .0
            .upgrade()
            .ok_or_else(|| DataFusionError::Internal("the engine is gone".to_owned()))?;
        let snapshot = (shared.snapshots)();
        Ok(shared.catalogs(snapshot))
    }
}

impl fmt::Debug for OurTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OurTables")
    }
}

#[async_trait]
impl CatalogInfo for OurTables {
    async fn catalog_names(&self) -> Result<Vec<String>> {
        Ok(vec![CATALOG.to_owned()])
    }

    async fn schema_names(&self, catalog: &str) -> Result<Option<Vec<String>>> {
        let names = [SCHEMA, PG_CATALOG, INFORMATION_SCHEMA];
        let names = names.map(str::to_owned).to_vec();
        Ok((catalog == CATALOG).then_some(names))
    }

    async fn table_names(&self, _catalog: &str, schema: &str) -> Result<Option<Vec<String>>> {
        Ok(Some(match schema == SCHEMA {
            true => self.now()?.names(),
            false => Vec::new(),
        }))
    }

    async fn table_schema(
        &self,
        _catalog: &str,
        schema: &str,
        table: &str,
    ) -> Result<Option<SchemaRef>> {
        let now = (schema == SCHEMA).then(|| self.now()).transpose()?;
        Ok(now.and_then(|now| now.columns(table)))
    }

    async fn table_type(
        &self,
        _catalog: &str,
        schema: &str,
        table: &str,
    ) -> Result<Option<TableType>> {
        let kind = match table == READINGS {
            true => TableType::View,
            false => TableType::Base,
        };
        Ok((schema == SCHEMA).then_some(kind))
    }
}
