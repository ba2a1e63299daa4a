//! Codecs: from the bytes of a payload to named values with an event time.

mod json;
#[allow(dead_code)] // until mapping rules can name it
pub(crate) mod sparkplug;

use crate::config::CodecName;
use crate::decode::Row;
use crate::validate::Rejection;

/// Reads one kind of payload.
pub(crate) trait Codec: Send + Sync {
    /// Puts every metric into `row` and returns the event time in microseconds since 1970.
    ///
    /// **Errors**: a payload that cannot be read is refused whole. What is wrong with single
    /// metrics is left to the row, which keeps the gravest.
    fn decode(&self, payload: &[u8], row: &mut Row<'_>) -> Result<i64, Rejection>;
}

/// The codec of a name.
pub(crate) fn codec(name: CodecName) -> &'static dyn Codec {
    match name {
        CodecName::Json => &json::Json,
    }
}
