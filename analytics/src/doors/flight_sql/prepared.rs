//! Prepared statements with the values that were bound to them last.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::array::Array as _;
use arrow::datatypes::DataType;
use arrow::ipc::{MessageHeader, root_as_message};
use arrow::record_batch::RecordBatch;
use arrow_flight::FlightData;
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

/// Widest value of a type that says how wide its values are. **Units**: bytes.
const FIXED_BYTES: i32 = 1_024;

/// Lets messages pass that take no more memory than they have bytes: a compressed one says itself
/// how much is to be laid out for it.
///
/// **Errors**: the message is compressed, or its head cannot be read.
pub(super) fn check_plain(message: &FlightData) -> Result<(), Status> {
    if message.data_header.is_empty() {
        return Ok(());
    }
    let head = root_as_message(&message.data_header)
        .map_err(|_| Status::invalid_argument("the head of a message of values cannot be read"))?;
    let rows = match head.header_type() {
        MessageHeader::RecordBatch => head.header_as_record_batch(),
        MessageHeader::DictionaryBatch => head.header_as_dictionary_batch().and_then(|d| d.data()),
        _ => None,
    };
    match rows.is_some_and(|rows| rows.compression().is_some()) {
        true => Err(Status::unimplemented(
            "compressed values are not taken; send them plain",
        )),
        false => Ok(()),
    }
}

/// Whether a value of this type can be bound: one that is as large as its bytes.
fn is_plain(data_type: &DataType) -> bool {
    match data_type {
        DataType::Null
        | DataType::Boolean
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView => true,
        DataType::FixedSizeBinary(bytes) => *bytes <= FIXED_BYTES,
        DataType::Dictionary(_, words) => is_plain(words),
        other => other.is_primitive(),
    }
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
        if !is_plain(column.data_type()) {
            let sentence = format!("a value of type {} cannot be bound", column.data_type());
            return Err(Status::unimplemented(sentence));
        }
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
    fn values_are_as_large_as_their_bytes() {
        let list = DataType::new_list(DataType::Int64, true);
        let item = list.clone();
        for (data_type, expected) in [
            (DataType::Float64, true),
            (DataType::Utf8View, true),
            (DataType::Decimal128(38, 2), true),
            (DataType::FixedSizeBinary(16), true),
            (DataType::FixedSizeBinary(i32::MAX), false),
            (list, false),
            (
                DataType::Dictionary(Box::new(DataType::Int8), Box::new(item)),
                false,
            ),
        ] {
            assert_eq!(is_plain(&data_type), expected, "{data_type}");
        }
    }

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
