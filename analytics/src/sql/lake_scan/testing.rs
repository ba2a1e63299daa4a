//! A file of no rows, for tests of what does not read any.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::{ObjectStore, ObjectStoreExt};
use fieldwright_ingest::snapshot::ColdFile;
use parquet::arrow::ArrowWriter;

use super::footer::Footer;

pub(super) fn empty_file() -> (Arc<ColdFile>, Arc<Footer>) {
    let schema = Arc::new(Schema::new(vec![Field::new("m", DataType::Float64, true)]));
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema.clone(), None).unwrap();
    writer.write(&RecordBatch::new_empty(schema)).unwrap();
    writer.close().unwrap();
    let file = ColdFile {
        path: "f.parquet".into(),
        rows: 0,
        bytes: bytes.len() as u64,
        min_time: 0,
        max_time: 0,
        min_asset: "".into(),
        max_asset: "".into(),
        level: 0,
        late: false,
        sorted: true,
        through: 0,
    };
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let footer = futures::executor::block_on(async {
        store.put(&file.path, bytes.into()).await.unwrap();
        Footer::read(&store, &file).await.unwrap()
    });
    (Arc::new(file), Arc::new(footer))
}
