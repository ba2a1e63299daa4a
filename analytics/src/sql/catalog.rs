//! The tables that one query sees, looked up by name while it is planned.

use std::sync::Arc;

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
struct QueryCatalog(Arc<QueryTables>);

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
        Self(Arc::new(QueryCatalog(Arc::new(tables))))
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
        vec![SCHEMA.to_owned()]
    }
    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        (name == SCHEMA).then(|| Arc::clone(&self.0) as _)
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
