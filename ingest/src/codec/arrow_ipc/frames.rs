//! The frames of a stream, looked at before the library reads them: it trusts lengths that a
//! stranger wrote, and would allocate or stumble.
//!
//! **Source**: the Arrow columnar format, "IPC streaming format".

use arrow::ipc::{MessageHeader, root_as_message};

use crate::codec::malformed;
use crate::validate::Rejection;

/// Stands before the length of every message's head.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// **Errors**: a frame that is not whole, says more than it holds, or is compressed.
pub(super) fn check(payload: &[u8], most_rows: usize) -> Result<(), Rejection> {
    let mut rest = payload;
    while let Some(head) = next_head(&mut rest)? {
        let message = root_as_message(head).map_err(|error| malformed(error.to_string()))?;
        let body = usize::try_from(message.bodyLength()).ok();
        let body = body.filter(|body| *body <= rest.len());
        let body = body.ok_or_else(|| malformed("a message says more than follows"))?;
        let rows = match message.header_type() {
            MessageHeader::RecordBatch => message.header_as_record_batch(),
            MessageHeader::DictionaryBatch => message
                .header_as_dictionary_batch()
                .and_then(|dictionary| dictionary.data()),
            MessageHeader::Schema => None,
            _ => return Err(malformed("a message that is neither schema nor rows")),
        };
        if let Some(rows) = rows {
            if rows.compression().is_some() {
                return Err(malformed(
                    "compressed Arrow streams are not read; send them plain",
                ));
            }
            let inside = |offset: i64, length: i64| {
                let end = offset.checked_add(length);
                offset >= 0 && length >= 0 && end.is_some_and(|end| end <= body as i64)
            };
            let mut buffers = rows.buffers().into_iter().flatten();
            if !buffers.all(|buffer| inside(buffer.offset(), buffer.length())) {
                return Err(malformed("a column says more than its message holds"));
            }
            let too_many = |length: i64| length < 0 || length as u64 > most_rows as u64;
            let mut nodes = rows.nodes().into_iter().flatten();
            if too_many(rows.length()) || nodes.any(|node| too_many(node.length())) {
                return Err(Rejection::TooManyRows { most: most_rows });
            }
        }
        rest = &rest[body..];
    }
    Ok(())
}

/// The head of the next message; none at the end of the stream.
fn next_head<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Rejection> {
    if rest.is_empty() {
        return Ok(None);
    }
    if rest.starts_with(&CONTINUATION) {
        *rest = &rest[CONTINUATION.len()..];
    }
    let cut = || malformed("the stream is cut short");
    let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
    let length = usize::try_from(i32::from_le_bytes(*length)).map_err(|_| cut())?;
    if length == 0 {
        return Ok(None);
    }
    let head = behind.get(..length).ok_or_else(cut)?;
    *rest = &behind[length..];
    Ok(Some(head))
}
