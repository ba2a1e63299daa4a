//! The tables that one query sees, looked up by name while it is planned.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result};

use super::class_table::ClassTable;
use super::engine::{CATALOG, SCHEMA};
use super::lake_scan::{ColumnCache, LakeSource};
use super::last_values::{ClassLastTable, LAST_VALUES, LastValuesTable};
use super::operational::declared::QueryOfTables;
use super::picture::Picture;
use super::readings::{READINGS, ReadingsTable};

/// One catalog with one schema with the tables of one query.
#[derive(Debug)]
pub(super) struct QueryCatalogs(Arc<QueryCatalog>);

#[derive(Debug)]
struct QueryCatalog {
    tables: Arc<QueryTables>,
    /// One more schema, for those who ask about the tables.
    extra: Option<(&'static str, Arc<dyn SchemaProvider>)>,
}

#[derive(Debug)]
struct QueryTables {
    snapshot: Arc<Picture>,
    operational: Option<QueryOfTables>,
    source: LakeSource,
}

impl QueryCatalogs {
    pub(super) fn new(
        snapshot: Arc<Picture>,
        operational: Option<QueryOfTables>,
        cache: Arc<ColumnCache>,
    ) -> Self {
        let source = LakeSource {
            store: Arc::clone(&snapshot.lake.store),
            cache,
        };
        let tables = QueryTables {
            snapshot,
            operational,
            source,
        };
        Self(Arc::new(QueryCatalog {
            tables: Arc::new(tables),
            extra: None,
        }))
    }

    /// The same with one more schema.
    pub(super) fn with_schema(self, name: &'static str, tables: Arc<dyn SchemaProvider>) -> Self {
        Self(Arc::new(QueryCatalog {
            tables: Arc::clone(&self.0.tables),
            extra: Some((name, tables)),
        }))
    }

    /// Every table with its columns.
    pub(super) fn listed(&self) -> Vec<(String, SchemaRef)> {
        let tables = &self.0.tables;
        let names = tables.table_names().into_iter();
        let found = names.filter_map(|name| tables.find(&name).map(|table| (name, table.schema())));
        found.collect()
    }

    /// The columns of a table.
    pub(super) fn columns(&self, table: &str) -> Option<SchemaRef> {
        self.0.tables.find(table).map(|table| table.schema())
    }

    /// The names of all tables.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.tables.table_names()
    }
}

impl CatalogProviderList for QueryCatalogs {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        // The list is fixed: SQL only reads.
        None
    }
    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }
    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::clone(&self.0) as _)
    }
}

impl CatalogProvider for QueryCatalog {
    fn schema_names(&self) -> Vec<String> {
        let extra = self.extra.iter().map(|(name, _)| *name);
        std::iter::once(SCHEMA)
            .chain(extra)
            .map(str::to_owned)
            .collect()
    }
    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name == SCHEMA {
            return Some(Arc::clone(&self.tables) as _);
        }
        let (extra, tables) = self.extra.as_ref()?;
        (name == *extra).then(|| Arc::clone(tables))
    }
}

impl QueryTables {
    /// The product's own names come first, so a class can never hide one of them.
    fn find(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        if name == READINGS {
            return Some(Arc::new(ReadingsTable::new(
                Arc::clone(&self.snapshot.snapshot),
                self.source.clone(),
            )));
        }
        if name == LAST_VALUES {
            let last = Arc::clone(&self.snapshot.last);
            return Some(Arc::new(LastValuesTable::new(last)));
        }
        if let Some(table) = self
            .operational
            .as_ref()
            .and_then(|tables| tables.table(name))
        {
            return Some(table);
        }
        // A class of a roll-up's name hides it: its rows are what somebody sent.
        let snapshot = &self.snapshot;
        let class = snapshot
            .tables
            .get(name)
            .or_else(|| snapshot.rollups.get(name));
        let Some(class) = class else {
            return Some(Arc::new(ClassLastTable::find(&self.snapshot.last, name)?));
        };
        Some(Arc::new(ClassTable::new(
            Arc::clone(class),
            self.source.clone(),
        )))
    }
}

#[async_trait]
impl SchemaProvider for QueryTables {
    fn table_names(&self) -> Vec<String> {
        let mut names = vec![READINGS.to_owned(), LAST_VALUES.to_owned()];
        if let Some(tables) = &self.operational {
            names.extend(tables.names().map(str::to_owned));
        }
        for class in self
            .snapshot
            .tables
            .keys()
            .chain(self.snapshot.rollups.keys())
        {
            if !names.iter().any(|name| **name == **class) {
                names.push(class.to_string());
            }
        }
        for name in ClassLastTable::names(&self.snapshot.last) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        Ok(self.find(name))
    }
    fn table_exist(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}
