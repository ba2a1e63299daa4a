//! Rows in Parquet files: through the cache of decoded columns where what is asked for fits in it,
//! else in a stream, by the engine's own Parquet source.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use chrono::DateTime;
use datafusion::catalog::Session;
use datafusion::common::Statistics;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::stats::Precision;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::object_store::ObjectMeta;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use fieldwright_ingest::snapshot::ColdFile;

use super::class_table::physical_predicate;
use super::lake_scan::{Found, LakeScanExec, LakeSource, StoredColumn, Wanted, find, row_bytes};
use super::pruning::pruning;
use super::stored_value::StoredValue;

/// What the streams of the lake's files are called within a query.
const LAKE_URL: &str = "lake://files";

/// What is asked of the files of one table.
pub(super) struct FileScan<'a> {
    pub(super) session: &'a dyn Session,
    pub(super) source: &'a LakeSource,
    /// Columns as they stand in the files.
    pub(super) physical: &'a SchemaRef,
    /// Columns as queries know them.
    pub(super) schema: SchemaRef,
    /// Conditions that only help to skip.
    pub(super) filters: &'a [Expr],
    /// The conditions let one asset pass only.
    pub(super) one_asset: bool,
    pub(super) limit: Option<usize>,
}

/// A scan of `files`, projected; nothing when no row group can have a wanted row.
pub(super) async fn plan_files(
    scan: &FileScan<'_>,
    files: &[Arc<ColdFile>],
    files_before: usize,
    projection: &[usize],
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let predicate = physical_predicate(scan.session, &scan.schema, scan.filters)?;
    let projected = Arc::new(scan.schema.project(projection)?);
    let columns = StoredColumn::of(&projected, scan.physical);
    // A limit is met by the first rows of a stream; whole row groups are more than it needs.
    if scan.limit.is_none() {
        let all = StoredColumn::of(&scan.schema, scan.physical);
        let found = find(
            scan.source,
            Wanted {
                files: files.to_vec(),
                files_before,
                columns: &all,
                pruning: pruning(&scan.schema, predicate.clone()).as_deref(),
                one_asset: scan.one_asset,
                partitions: scan.session.config().target_partitions(),
            },
        )
        .await?;
        if found.is_empty() {
            return Ok(None);
        }
        if fits(scan.source, &found, &columns) {
            let conditions = predicate.iter().flat_map(split_conjunction).cloned();
            let conditions = conditions.collect();
            let source = scan.source.clone();
            let scan = LakeScanExec::new(source, projected, columns, found, conditions);
            return Ok(Some(Arc::new(scan)));
        }
    }
    stream(scan, files, &projected, &columns).map(Some)
}

/// Whether what is asked for can stand in the cache as a whole.
fn fits(source: &LakeSource, found: &Found, columns: &[StoredColumn]) -> bool {
    found.rows().saturating_mul(row_bytes(columns)) <= source.cache.capacity()
}

/// The engine's own source: row group by row group, page by page, nothing kept.
fn stream(
    scan: &FileScan<'_>,
    files: &[Arc<ColdFile>],
    projected: &SchemaRef,
    columns: &[StoredColumn],
) -> Result<Arc<dyn ExecutionPlan>> {
    let session = scan.session;
    let url = ObjectStoreUrl::parse(LAKE_URL)?;
    let runtime = session.runtime_env();
    runtime.register_object_store(url.as_ref(), Arc::clone(&scan.source.store));
    // Files never change, so their footers are read once and kept by the runtime's bounded cache.
    let reader = CachedParquetFileReaderFactory::new(
        Arc::clone(&scan.source.store),
        runtime.cache_manager.get_file_metadata_cache(),
    );
    let stored = stored_schema(scan.physical, columns);
    let filters: Vec<Expr> = scan
        .filters
        .iter()
        .filter(|filter| as_stored(filter, &scan.schema, scan.physical))
        .cloned()
        .collect();
    let mut global = session.config_options().execution.parquet.clone();
    // Rows that a condition on the key drops are most rows; others are better dropped later.
    global.pushdown_filters = scan.one_asset;
    let options = TableParquetOptions {
        global,
        ..TableParquetOptions::default()
    };
    let mut source = ParquetSource::new(Arc::clone(scan.physical))
        .with_table_parquet_options(options)
        .with_parquet_file_reader_factory(Arc::new(reader));
    if let Some(predicate) = physical_predicate(session, scan.physical, &filters)? {
        source = source.with_predicate(predicate);
    }
    let rows: u64 = files.iter().map(|file| file.rows).sum();
    let mut statistics = Statistics::new_unknown(scan.physical);
    statistics.num_rows = Precision::Inexact(usize::try_from(rows).unwrap_or(usize::MAX));
    let places = stored
        .fields()
        .iter()
        .map(|field| scan.physical.index_of(field.name()));
    let places = places.collect::<Result<Vec<_>, _>>()?;
    let config = FileScanConfigBuilder::new(url, Arc::new(source))
        .with_file_groups(groups(files, session.config().target_partitions()))
        .with_statistics(statistics)
        .with_limit(scan.limit)
        .with_projection_indices(Some(places))?
        .build();
    as_queries_see(
        DataSourceExec::from_data_source(config),
        &stored,
        projected,
        columns,
    )
}

/// The columns of the files that the asked ones are made of.
fn stored_schema(physical: &SchemaRef, columns: &[StoredColumn]) -> Schema {
    let names = columns.iter().flat_map(|column| {
        let beside = column.double.as_deref();
        [Some(column.name.as_ref()), beside].into_iter().flatten()
    });
    let fields = names.filter_map(|name| physical.field_with_name(name).ok());
    Schema::new(fields.cloned().collect::<Vec<_>>())
}

/// Whether a condition means the same of the files' columns as of those that queries know.
fn as_stored(filter: &Expr, schema: &Schema, physical: &Schema) -> bool {
    let of = |schema: &Schema, name: &str| {
        let field = schema.field_with_name(name).ok()?;
        Some(field.data_type().clone())
    };
    filter.column_refs().iter().all(|column| {
        let stored = of(physical, &column.name);
        stored.is_some() && stored == of(schema, &column.name)
    })
}

/// Makes the columns that queries know of those that files have.
fn as_queries_see(
    plan: Arc<dyn ExecutionPlan>,
    stored: &Schema,
    projected: &SchemaRef,
    columns: &[StoredColumn],
) -> Result<Arc<dyn ExecutionPlan>> {
    if stored.fields() == projected.fields() {
        return Ok(plan);
    }
    let seen = columns
        .iter()
        .zip(projected.fields())
        .map(|(column, field)| {
            let get = |name: &str| {
                let at = stored.index_of(name).ok()?;
                Some(Arc::new(Column::new(name, at)) as Arc<dyn PhysicalExpr>)
            };
            let double = column.double.as_deref().and_then(get);
            let value = StoredValue::new(Arc::clone(field), get(&column.name), double);
            ProjectionExpr::new(Arc::new(value), field.name().clone())
        });
    let seen: Vec<ProjectionExpr> = seen.collect();
    Ok(Arc::new(ProjectionExec::try_new(seen, plan)?))
}

/// Deals the files out, largest first, so that the groups are about equally long.
fn groups(files: &[Arc<ColdFile>], partitions: usize) -> Vec<FileGroup> {
    let mut files: Vec<&Arc<ColdFile>> = files.iter().collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.bytes));
    let count = partitions.clamp(1, files.len().max(1));
    let mut groups = vec![Vec::new(); count];
    for (place, file) in files.into_iter().enumerate() {
        groups[place % count].push(partitioned(file));
    }
    groups.into_iter().map(FileGroup::new).collect()
}

fn partitioned(file: &ColdFile) -> PartitionedFile {
    PartitionedFile::from(ObjectMeta {
        location: file.path.clone(),
        // A file of one name is written once: there is nothing for this stamp to tell apart.
        last_modified: DateTime::UNIX_EPOCH,
        size: file.bytes,
        e_tag: None,
        version: None,
    })
}
