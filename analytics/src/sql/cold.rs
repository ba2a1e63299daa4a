//! Rows in Parquet files, read by the engine's own Parquet source.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
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
use datafusion::object_store::ObjectMeta;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use fieldwright_ingest::snapshot::{ColdFile, LakeRoot};

/// The name under which a session knows the store of the lake.
const LAKE: &str = "lake://root";

/// A scan of `files`, projected; `predicate` only skips row groups and pages.
pub(super) fn plan_files(
    session: &dyn Session,
    lake: &LakeRoot,
    schema: &SchemaRef,
    files: &[Arc<ColdFile>],
    projection: &[usize],
    predicate: Option<Arc<dyn PhysicalExpr>>,
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let url = ObjectStoreUrl::parse(LAKE)?;
    let runtime = session.runtime_env();
    runtime.register_object_store(url.as_ref(), Arc::clone(&lake.store));
    // Files never change, so their footers are read once and kept by the runtime's bounded cache.
    let reader = CachedParquetFileReaderFactory::new(
        Arc::clone(&lake.store),
        runtime.cache_manager.get_file_metadata_cache(),
    );
    let options = TableParquetOptions {
        global: session.config_options().execution.parquet.clone(),
        ..TableParquetOptions::default()
    };
    let mut source = ParquetSource::new(Arc::clone(schema))
        .with_table_parquet_options(options)
        .with_parquet_file_reader_factory(Arc::new(reader));
    if let Some(predicate) = predicate {
        source = source.with_predicate(predicate);
    }
    let rows: u64 = files.iter().map(|file| file.rows).sum();
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = Precision::Inexact(usize::try_from(rows).unwrap_or(usize::MAX));
    let config = FileScanConfigBuilder::new(url, Arc::new(source))
        .with_file_groups(groups(files, session.config().target_partitions()))
        .with_statistics(statistics)
        .with_limit(limit)
        .with_projection_indices(Some(projection.to_vec()))?
        .build();
    Ok(DataSourceExec::from_data_source(config))
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
