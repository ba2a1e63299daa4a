//! One table's Delta log: what it says, and what is added to it.
//!
//! The entries are made of the library's own actions and read back through it. They are put in
//! their place by ourselves, because the library would read its whole state again after each.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use deltalake_core::checkpoints::{cleanup_metadata, create_checkpoint};
use deltalake_core::kernel::transaction::CommitData;
use deltalake_core::kernel::{Action, Transaction};
use deltalake_core::logstore::{LogStoreRef, commit_uri_from_version};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaResult, DeltaTable};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions};
use serde_json::{Value, json};

use super::entry::{self, Written};
use super::physical;
use super::rollup::{self, is_rollup};
use super::{LakeError, LogError};
use crate::snapshot::{ASSET, ColdFile};

/// Names us in `txn` actions: its version is the last journal record whose rows are in files.
const APPLICATION: &str = "fieldwright-journal";
/// Commits after which the state of the log is written down as a whole.
const CHECKPOINT_COMMITS: u64 = 32;
/// How long entries that a checkpoint covers are kept, so that readers may look back.
const LOG_KEPT: &str = "interval 1 days";

/// A table's log, owned by its only writer.
#[derive(Debug)]
pub(super) struct TableLog {
    store: LogStoreRef,
    /// The table's name: the class, or the roll-up's.
    pub name: Arc<str>,
    /// The number of the newest entry; none before the first.
    version: Option<u64>,
    id: String,
    created_ms: i64,
    /// The columns as files have them.
    pub physical: SchemaRef,
    /// In the order of their names, which is the order in which they were written.
    pub files: Vec<Arc<ColdFile>>,
    /// Number of the last journal record whose rows of this table are in files.
    pub through: u64,
    /// The entry up to which the state was written down as a whole.
    checkpoint: u64,
    /// An entry of which nobody knows whether it is there: [`settle`](Self::settle) comes first.
    doubt: Option<Doubt>,
}

/// An entry that was put and not confirmed.
#[derive(Debug, Clone)]
struct Doubt {
    version: u64,
    entry: Bytes,
    /// It is a flush's: its rows are still in memory.
    flushes: bool,
}

/// What one entry changes.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// The columns, if they grew.
    pub physical: Option<SchemaRef>,
    pub adds: Vec<Written>,
    pub removes: Vec<Arc<ColdFile>>,
    pub through: Option<u64>,
    /// The same rows in other files.
    pub rearranged: bool,
}

/// A file that the log once named, and when it was removed from it.
#[derive(Debug)]
pub(super) struct Tombstone {
    pub name: String,
    pub removed_ms: i64,
}

impl TableLog {
    /// A table that has no entry yet.
    pub(super) fn new(store: LogStoreRef, name: &str, id: String, wall_ms: i64) -> Self {
        Self {
            store,
            name: name.into(),
            version: None,
            id,
            created_ms: wall_ms,
            physical: match is_rollup(name) {
                true => rollup::empty(),
                false => physical::empty(),
            },
            files: Vec::new(),
            through: 0,
            checkpoint: 0,
            doubt: None,
        }
    }

    /// What the log says; none if there is none.
    ///
    /// **Errors**: the log cannot be read, or has a file that is not ours.
    pub(super) async fn read(store: LogStoreRef, name: &str) -> Result<Option<Self>, LakeError> {
        let read = |source| LakeError::Log {
            operation: LogError::Read,
            table: name.to_owned(),
            source: Box::new(source),
        };
        if !store.is_delta_table_location().await.map_err(read)? {
            return Ok(None);
        }
        let mut log = Self::new(store, name, String::new(), 0);
        log.load().await?;
        Ok(Some(log))
    }

    async fn load(&mut self) -> Result<(), LakeError> {
        let table = self.table().await.map_err(self.failed(LogError::Read))?;
        let state = table.snapshot().map_err(self.failed(LogError::Read))?;
        let mut files = Vec::with_capacity(state.log_data().num_files());
        for view in state.log_data().iter() {
            #[expect(deprecated, reason = "tags have no other way out of the library")]
            let add = view.add_action();
            let file = entry::file(&self.name, &add).ok_or_else(|| LakeError::Foreign {
                table: self.name.to_string(),
                file: add.path.clone(),
            })?;
            files.push(Arc::new(file));
        }
        files.sort_by(|a: &Arc<ColdFile>, b| a.path.cmp(&b.path));
        let through = state
            .transaction_version(&*self.store, APPLICATION)
            .await
            .map_err(self.failed(LogError::Read))?;
        let metadata = serde_json::to_value(state.metadata()).unwrap_or_default();
        let damaged = || LakeError::Schema {
            table: self.name.to_string(),
        };
        let text = metadata["schemaString"].as_str().ok_or_else(damaged)?;
        self.physical = read_schema(text).ok_or_else(damaged)?;
        self.id = metadata["id"].as_str().unwrap_or_default().to_owned();
        self.created_ms = metadata["createdTime"].as_i64().unwrap_or_default();
        self.version = Some(state.version());
        self.checkpoint = self.last_checkpoint().await;
        self.files = files;
        self.through = through
            .and_then(|number| u64::try_from(number).ok())
            .unwrap_or(0);
        Ok(())
    }

    async fn last_checkpoint(&self) -> u64 {
        let path = self.store.log_path().clone().join("_last_checkpoint");
        let read = async {
            let found = self.store.object_store(None).get(&path).await.ok()?;
            let hint: Value = serde_json::from_slice(&found.bytes().await.ok()?).ok()?;
            hint["version"].as_u64()
        };
        read.await.unwrap_or(0)
    }

    /// Whether a flush's entry may or may not be there. Only the flush may settle that: whoever
    /// else made its files visible would show its rows twice.
    pub(super) fn is_flush_in_doubt(&self) -> bool {
        self.doubt.as_ref().is_some_and(|doubt| doubt.flushes)
    }

    /// Puts an entry again that may or may not be there, and reads the log; true when it did.
    ///
    /// Reading alone would not do: a name that can be read need not be synced. **Errors**: the
    /// store refuses still, or the entry in its place is somebody else's, which stays so.
    pub(super) async fn settle(&mut self) -> Result<bool, LakeError> {
        let Some(doubt) = self.doubt.clone() else {
            return Ok(false);
        };
        let (version, path) = (doubt.version, commit_uri_from_version(Some(doubt.version)));
        let store = self.store.object_store(None);
        let create = PutOptions::from(PutMode::Create);
        match store
            .put_opts(&path, doubt.entry.clone().into(), create)
            .await
        {
            Ok(_) => {}
            Err(Error::AlreadyExists { .. }) => {
                let found = async { store.get(&path).await?.bytes().await };
                let found = found.await.map_err(self.refused("read", &path))?;
                if found != doubt.entry {
                    return Err(self.taken(version));
                }
            }
            Err(source) => return Err(self.refused("write", &path)(source)),
        }
        self.load().await?;
        if self.version != Some(version) {
            return Err(self.taken(version + 1));
        }
        self.doubt = None;
        Ok(true)
    }

    /// Adds an entry: all of it counts, or nothing.
    ///
    /// **Errors**: the entry is not there, or nobody knows: [`settle`](Self::settle) finds out.
    pub(super) async fn commit(&mut self, change: Change, wall_ms: i64) -> Result<(), LakeError> {
        // A flush and a compaction may both have begun before the other's columns came.
        let physical = match &change.physical {
            None => self.physical.clone(),
            Some(found) if change.rearranged => physical::united(&self.physical, found),
            Some(grown) => physical::united(grown, &self.physical),
        };
        let mut actions = Vec::new();
        if self.version.is_none() {
            let protocol = json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}});
            actions.push(action(protocol)?);
        }
        if self.version.is_none() || physical != self.physical {
            actions.push(action(self.metadata(&physical))?);
        }
        let moved = change.rearranged;
        let adds = change.adds.iter();
        actions.extend(adds.map(|new| Action::Add(entry::add(new, wall_ms, !moved))));
        let removes = change.removes.iter();
        actions.extend(removes.map(|old| Action::Remove(entry::remove(old, wall_ms, !moved))));
        let progress = change.through.map(|through| {
            Transaction::new_with_last_update(APPLICATION, through as i64, Some(wall_ms))
        });
        let operation = if moved {
            DeltaOperation::Optimize {
                predicate: None,
                target_size: 0,
            }
        } else {
            DeltaOperation::Write {
                mode: SaveMode::Append,
                partition_by: None,
                predicate: None,
            }
        };
        let entry = CommitData::new(
            actions,
            operation,
            HashMap::new(),
            progress.into_iter().collect(),
        );
        let bytes = entry.get_bytes().map_err(|error| LakeError::Log {
            operation: LogError::Encode,
            table: self.name.to_string(),
            source: Box::new(error.into()),
        })?;
        self.put(bytes, change.through.is_some()).await?;
        self.physical = physical;
        let gone = |file: &Arc<ColdFile>| change.removes.iter().any(|old| old.path == file.path);
        self.files.retain(|file| !gone(file));
        self.files
            .extend(change.adds.into_iter().map(|new| new.file));
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.through = change.through.unwrap_or(self.through);
        Ok(())
    }

    async fn put(&mut self, entry: Bytes, flushes: bool) -> Result<(), LakeError> {
        let version = self.version.map_or(0, |version| version + 1);
        let path = commit_uri_from_version(Some(version));
        let create = PutOptions::from(PutMode::Create);
        let put = self.store.object_store(None);
        match put.put_opts(&path, entry.clone().into(), create).await {
            Ok(_) => {
                self.version = Some(version);
                Ok(())
            }
            Err(source) => {
                self.doubt = Some(Doubt {
                    version,
                    entry,
                    flushes,
                });
                Err(match source {
                    Error::AlreadyExists { .. } => self.taken(version),
                    source => self.refused("write", &path)(source),
                })
            }
        }
    }

    fn taken(&self, version: u64) -> LakeError {
        LakeError::Taken {
            table: self.name.to_string(),
            version,
        }
    }

    fn refused(
        &self,
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(Error) -> LakeError + use<> {
        let path = Path::from_iter([&*self.name, path.as_ref()]);
        move |source| LakeError::Store {
            operation,
            path,
            source,
        }
    }

    /// Writes the state down as a whole when it is time, and removes old entries.
    ///
    /// **Errors**: nothing is lost; the next commits try again.
    pub(super) async fn tidy(&mut self) -> Result<(), LakeError> {
        match self.version {
            Some(version) if version >= self.checkpoint + CHECKPOINT_COMMITS => {
                self.checkpoint().await
            }
            _ => Ok(()),
        }
    }

    /// Writes the state down as a whole, and removes old entries.
    ///
    /// **Errors**: nothing is lost.
    async fn checkpoint(&mut self) -> Result<(), LakeError> {
        let written = async {
            let table = self.table().await?;
            create_checkpoint(&table, None).await?;
            let removed = cleanup_metadata(&table, None).await?;
            Ok((table.version().unwrap_or(0), removed))
        };
        let (version, removed) = written.await.map_err(self.failed(LogError::Checkpoint))?;
        self.checkpoint = version;
        tracing::debug!(table = %self.name, removed, "the log's state is written down as a whole");
        Ok(())
    }

    /// Files that were removed from the table and may still be there.
    ///
    /// **Errors**: the log cannot be read.
    pub(super) async fn tombstones(&self) -> Result<Vec<Tombstone>, LakeError> {
        let failed = self.failed(LogError::Read);
        let read = async {
            let table = self.table().await?;
            let state = table.snapshot()?;
            let views = state.all_tombstones(&*self.store).try_collect::<Vec<_>>();
            views.await
        };
        let views = read.await.map_err(failed)?;
        let views = views.iter().map(|view| Tombstone {
            name: view.path().into_owned(),
            removed_ms: view.deletion_timestamp().unwrap_or(0),
        });
        Ok(views.collect())
    }

    async fn table(&self) -> DeltaResult<DeltaTable> {
        let mut table = DeltaTable::new(self.store.clone());
        table.load().await?;
        Ok(table)
    }

    fn metadata(&self, physical: &SchemaRef) -> Value {
        json!({"metaData": {
            "id": self.id,
            "name": &*self.name,
            "format": {"provider": "parquet", "options": {}},
            "schemaString": write_schema(physical),
            "partitionColumns": [],
            "configuration": {
                "delta.logRetentionDuration": LOG_KEPT,
                "delta.checkpointInterval": CHECKPOINT_COMMITS.to_string(),
            },
            "createdTime": self.created_ms,
        }})
    }

    fn failed(
        &self,
        operation: LogError,
    ) -> impl Fn(deltalake_core::DeltaTableError) -> LakeError + use<> {
        let table = self.name.to_string();
        move |source| LakeError::Log {
            operation,
            table: table.clone(),
            source: Box::new(source),
        }
    }
}

fn action(value: Value) -> Result<Action, LakeError> {
    serde_json::from_value(value).map_err(LakeError::Action)
}

fn write_schema(schema: &SchemaRef) -> String {
    let fields = schema.fields().iter().map(|field| {
        let form = match field.data_type() {
            DataType::Utf8 => "string".to_owned(),
            DataType::Timestamp(..) => "timestamp".to_owned(),
            DataType::Int64 => "long".to_owned(),
            DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
            _ => "double".to_owned(),
        };
        json!({
            "name": field.name(),
            "type": form,
            "nullable": field.is_nullable(),
            "metadata": field.metadata(),
        })
    });
    json!({"type": "struct", "fields": fields.collect::<Vec<_>>()}).to_string()
}

fn read_schema(text: &str) -> Option<SchemaRef> {
    let schema: Value = serde_json::from_str(text).ok()?;
    let fields = schema["fields"].as_array()?.iter().map(|field| {
        let form = match field["type"].as_str()? {
            "string" => DataType::Utf8,
            "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            "long" => DataType::Int64,
            "double" => DataType::Float64,
            other => {
                let inner = other.strip_prefix("decimal(")?.strip_suffix(')')?;
                let (precision, scale) = inner.split_once(',')?;
                DataType::Decimal128(precision.parse().ok()?, scale.parse().ok()?)
            }
        };
        let name = field["name"].as_str()?;
        let metadata = field["metadata"].as_object()?.iter();
        let metadata = metadata.map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        let nullable = field["nullable"].as_bool()?;
        let field = Field::new(name, form, nullable);
        Some(field.with_metadata(metadata.collect::<Option<HashMap<_, _>>>()?))
    });
    let fields = fields.collect::<Option<Vec<_>>>()?;
    // Ours have these columns.
    fields
        .iter()
        .any(|field| field.name() == ASSET)
        .then(|| Arc::new(Schema::new(fields)))
}
