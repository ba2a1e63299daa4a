//! Prepared statements with the values that were bound to them last.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::array::Array as _;
use arrow::record_batch::RecordBatch;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{ParamValues, ScalarValue};
use tonic::Status;

/// The statements of all clients, the oldest first to give way.
#[derive(Debug)]
pub(super) struct PreparedStatements {
    most: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    order: VecDeque<String>,
    statements: HashMap<String, Statement>,
}

/// One prepared statement.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) text: String,
    pub(super) values: Option<ParamValues>,
}

impl PreparedStatements {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            inner: Mutex::default(),
        }
    }

    /// Keeps a statement; gives its handle.
    pub(super) fn keep(&self, text: String) -> String {
        let mut inner = self.locked();
        while inner.statements.len() >= self.most {
            let Some(oldest) = inner.order.pop_front() else {
                break;
            };
            inner.statements.remove(&oldest);
        }
        let handle = format!("ps-{}", inner.next);
        inner.next += 1;
        inner.order.push_back(handle.clone());
        let statement = Statement { text, values: None };
        inner.statements.insert(handle.clone(), statement);
        handle
    }

    /// **Errors**: there is no such statement.
    pub(super) fn get(&self, handle: &[u8]) -> Result<Statement, Status> {
        let inner = self.locked();
        let found = std::str::from_utf8(handle)
            .ok()
            .and_then(|handle| inner.statements.get(handle));
        found.cloned().ok_or_else(gone)
    }

    /// Binds values to a statement; nothing takes them away.
    ///
    /// **Errors**: there is no such statement.
    pub(super) fn bind(&self, handle: &[u8], values: Option<ParamValues>) -> Result<(), Status> {
        let mut inner = self.locked();
        let found = std::str::from_utf8(handle)
            .ok()
            .and_then(|handle| inner.statements.get_mut(handle));
        found.ok_or_else(gone)?.values = values;
        Ok(())
    }

    pub(super) fn close(&self, handle: &[u8]) {
        if let Ok(handle) = std::str::from_utf8(handle) {
            let mut inner = self.locked();
            inner.statements.remove(handle);
            inner.order.retain(|kept| kept != handle);
        }
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone() -> Status {
    Status::not_found("the prepared statement is not there any more; prepare it again")
}

/// The values of `$1`, `$2` and so on from the one row of what a client sent.
///
/// **Errors**: there are several rows, or a value of a type that cannot be one.
pub(super) fn values(batches: &[RecordBatch]) -> Result<Option<ParamValues>, Status> {
    let mut rows = batches.iter().filter(|batch| batch.num_rows() > 0);
    let Some(batch) = rows.next() else {
        return Ok(None);
    };
    if batch.num_rows() > 1 || rows.next().is_some() {
        return Err(Status::unimplemented(
            "one set of values is taken at a time; run the statement once for each",
        ));
    }
    let mut values = Vec::with_capacity(batch.num_columns());
    for column in batch.columns() {
        // A client that has no value may not know the type either.
        let value = match column.is_null(0) {
            true => ScalarValue::try_from(column.data_type()),
            false => ScalarValue::try_from_array(column, 0),
        };
        let value = value.map_err(|error| Status::invalid_argument(error.strip_backtrace()))?;
        values.push(ScalarAndMetadata::from(value));
    }
    Ok(Some(ParamValues::List(values)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_statement_gives_way() {
        let statements = PreparedStatements::new(2);
        let handles = ["a", "b", "c"].map(|text| statements.keep(text.to_owned()));
        let found = handles
            .each_ref()
            .map(|handle| statements.get(handle.as_bytes()).is_ok());
        assert_eq!(found, [false, true, true]);
        statements.close(handles[1].as_bytes());
        assert!(statements.get(handles[1].as_bytes()).is_err());
        assert_eq!(statements.get(handles[2].as_bytes()).unwrap().text, "c");
    }
}
