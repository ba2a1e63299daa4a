//! The expression that makes a column that queries know of the columns that files have.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::{DataType, FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;

use super::lake_scan::join_stored;

/// A value where a file has it: first the one that did not fit, then the one that did.
#[derive(Debug)]
pub(super) struct StoredValue {
    /// What queries are told of the column.
    field: FieldRef,
    /// The value, and the column of doubles beside it; a file's table may have only one or none.
    value: Option<Arc<dyn PhysicalExpr>>,
    double: Option<Arc<dyn PhysicalExpr>>,
}

impl StoredValue {
    pub(super) fn new(
        field: FieldRef,
        value: Option<Arc<dyn PhysicalExpr>>,
        double: Option<Arc<dyn PhysicalExpr>>,
    ) -> Self {
        Self {
            field,
            value,
            double,
        }
    }
}

impl PartialEq for StoredValue {
    fn eq(&self, other: &Self) -> bool {
        (&self.field, &self.value, &self.double) == (&other.field, &other.value, &other.double)
    }
}

impl Eq for StoredValue {}

impl Hash for StoredValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.field.hash(state);
        self.value.hash(state);
        self.double.hash(state);
    }
}

impl fmt::Display for StoredValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field.name())
    }
}

impl PhysicalExpr for StoredValue {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(self.field.is_nullable())
    }

    fn return_field(&self, _: &Schema) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let array = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
        let value: Option<ArrayRef> = self.value.as_ref().map(array).transpose()?;
        let double = self.double.as_ref().map(array).transpose()?;
        let joined = join_stored(value.as_ref(), double.as_ref(), self.field.data_type())?;
        let joined = joined.unwrap_or_else(|| new_null_array(self.field.data_type(), rows));
        Ok(ColumnarValue::Array(joined))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        [&self.value, &self.double].into_iter().flatten().collect()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let mut children = children.into_iter();
        let mut next = |old: &Option<Arc<dyn PhysicalExpr>>| old.as_ref().and(children.next());
        let (value, double) = (next(&self.value), next(&self.double));
        Ok(Arc::new(Self::new(Arc::clone(&self.field), value, double)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field.name())
    }
}
