//! The frames of a stream, looked at before the library reads them: it trusts what a stranger
//! wrote about types, lengths and nulls, and would allocate or stumble.
//!
//! **Source**: the Arrow columnar format, "IPC streaming format", and its `Schema.fbs` and
//! `Message.fbs`.

use std::collections::HashMap;

use arrow::ipc::{
    Endianness, Field, Int, KeyValue, MessageHeader, Precision, RecordBatch, Schema, TimeUnit,
    Type, root_as_message,
};

use crate::codec::malformed;
use crate::validate::Rejection;

/// Stands before the length of every message's head.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Columns of one stream.
const MOST_COLUMNS: usize = 4_096;

/// How a column lies in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// No buffer at all.
    Null,
    /// Validity, then one bit a row.
    Bits,
    /// Validity, then so many bytes a row.
    Fixed(i64),
    /// Validity, offsets of so many bytes, letters.
    Texts(i64),
    /// Validity, views, and a number of letters that the batch says.
    Views,
}

/// What the schema has said.
#[derive(Debug, Default)]
struct Known {
    columns: Vec<Shape>,
    /// Shape of the words of each dictionary.
    dictionaries: HashMap<i64, Shape>,
}

/// **Errors**: a frame that is not whole, says more than it holds, is compressed, or has a column
/// that could be neither a number nor a text.
pub(super) fn check(payload: &[u8], most_rows: usize) -> Result<(), Rejection> {
    let mut rest = payload;
    let mut known: Option<Known> = None;
    while let Some(head) = next_head(&mut rest)? {
        let message = root_as_message(head).map_err(|error| malformed(error.to_string()))?;
        let body = usize::try_from(message.bodyLength()).ok();
        let body = body.filter(|body| *body <= rest.len());
        let body = body.ok_or_else(|| malformed("a message says more than follows"))?;
        match (message.header_type(), &known) {
            (MessageHeader::Schema, None) => {
                let schema = message.header_as_schema();
                known = Some(read_schema(schema.ok_or_else(empty)?)?);
            }
            (MessageHeader::RecordBatch, Some(known)) => {
                let rows = message.header_as_record_batch().ok_or_else(empty)?;
                check_rows(&rows, &known.columns, body, most_rows)?;
            }
            (MessageHeader::DictionaryBatch, Some(known)) => {
                let dictionary = message.header_as_dictionary_batch().ok_or_else(empty)?;
                let shape = known.dictionaries.get(&dictionary.id());
                let shape = shape.ok_or_else(|| malformed("a dictionary of no column"))?;
                let words = dictionary.data().ok_or_else(empty)?;
                check_rows(&words, &[*shape], body, most_rows)?;
            }
            _ => {
                return Err(malformed(
                    "messages that are no stream of one schema and rows",
                ));
            }
        }
        rest = &rest[body..];
    }
    Ok(())
}

fn read_schema(schema: Schema<'_>) -> Result<Known, Rejection> {
    let mut known = Known::default();
    if schema.endianness() != Endianness::Little {
        return Err(malformed("only little-endian streams are read"));
    }
    check_words(schema.custom_metadata())?;
    let fields = schema.fields().ok_or_else(empty)?;
    if fields.len() > MOST_COLUMNS {
        return Err(malformed(format!("more than {MOST_COLUMNS} columns")));
    }
    for field in fields {
        let name = field.name().ok_or_else(empty)?;
        check_words(field.custom_metadata())?;
        let shape = shape(&field).ok_or_else(|| {
            let name: String = name.chars().take(128).collect();
            malformed(format!(
                "the column \"{name}\" is neither of numbers nor of texts nor of times"
            ))
        })?;
        let Some(dictionary) = field.dictionary() else {
            known.columns.push(shape);
            continue;
        };
        let index = match dictionary.indexType() {
            // The format allows it and means 32 bits; the library insists on it.
            None => None,
            Some(index) => integer(index),
        };
        known.columns.push(index.ok_or_else(empty)?);
        if known.dictionaries.insert(dictionary.id(), shape).is_some() {
            return Err(malformed("two columns of one dictionary"));
        }
    }
    Ok(known)
}

fn shape(field: &Field<'_>) -> Option<Shape> {
    if field
        .children()
        .is_some_and(|children| !children.is_empty())
    {
        return None;
    }
    match field.type_type() {
        Type::Null => field.type_as_null().map(|_| Shape::Null),
        Type::Bool => field.type_as_bool().map(|_| Shape::Bits),
        Type::Int => integer(field.type_as_int()?),
        Type::FloatingPoint => match field.type_as_floating_point()?.precision() {
            Precision::HALF => Some(Shape::Fixed(2)),
            Precision::SINGLE => Some(Shape::Fixed(4)),
            Precision::DOUBLE => Some(Shape::Fixed(8)),
            _ => None,
        },
        Type::Timestamp => {
            let unit = field.type_as_timestamp()?.unit();
            (TimeUnit::SECOND <= unit && unit <= TimeUnit::NANOSECOND).then_some(Shape::Fixed(8))
        }
        Type::Utf8 => field.type_as_utf_8().map(|_| Shape::Texts(4)),
        Type::LargeUtf8 => field.type_as_large_utf_8().map(|_| Shape::Texts(8)),
        Type::Utf8View => field.type_as_utf_8_view().map(|_| Shape::Views),
        _ => None,
    }
}

fn integer(kind: Int<'_>) -> Option<Shape> {
    matches!(kind.bitWidth(), 8 | 16 | 32 | 64)
        .then(|| Shape::Fixed(i64::from(kind.bitWidth() / 8)))
}

fn check_rows(
    rows: &RecordBatch<'_>,
    columns: &[Shape],
    body: usize,
    most_rows: usize,
) -> Result<(), Rejection> {
    if rows.compression().is_some() {
        return Err(malformed(
            "compressed Arrow streams are not read; send them plain",
        ));
    }
    let count = rows.length();
    if count < 0 || count as u64 > most_rows as u64 {
        return Err(Rejection::TooManyRows { most: most_rows });
    }
    let contradiction = || malformed("a column and its message contradict each other");
    let nodes = rows.nodes().ok_or_else(empty)?;
    let buffers = rows.buffers().ok_or_else(empty)?;
    let mut variadic = rows.variadicBufferCounts().into_iter().flatten();
    if nodes.len() != columns.len() {
        return Err(contradiction());
    }
    let mut place = 0;
    let mut next = || -> Option<i64> {
        let buffer = (place < buffers.len()).then(|| buffers.get(place))?;
        place += 1;
        let end = buffer.offset().checked_add(buffer.length())?;
        let inside = buffer.offset() >= 0 && buffer.length() >= 0 && end <= body as i64;
        // The library wants every buffer to begin at a multiple of 8.
        (inside && buffer.offset() % 8 == 0).then(|| buffer.length())
    };
    let bits = |bytes: i64| bytes.saturating_mul(8);
    for (node, shape) in nodes.iter().zip(columns) {
        if node.length() != count || !(0..=count).contains(&node.null_count()) {
            return Err(contradiction());
        }
        if *shape == Shape::Null {
            continue;
        }
        let validity = next().ok_or_else(contradiction)?;
        let data = next().ok_or_else(contradiction)?;
        let enough = match shape {
            Shape::Null => true,
            Shape::Bits => bits(data) >= count,
            Shape::Fixed(width) => data >= count * width && data % width == 0,
            Shape::Texts(width) => {
                next().ok_or_else(contradiction)?;
                // One offset more than rows; without rows there may be none.
                data % width == 0 && (data >= (count + 1) * width || (count == 0 && data == 0))
            }
            Shape::Views => {
                let more = variadic
                    .next()
                    .filter(|more| (0..=buffers.len() as i64).contains(more));
                for _ in 0..more.ok_or_else(contradiction)? {
                    next().ok_or_else(contradiction)?;
                }
                data >= count * 16 && data % 16 == 0
            }
        };
        if !enough || (node.null_count() > 0 && bits(validity) < count) {
            return Err(contradiction());
        }
    }
    Ok(())
}

/// The library wants every word of a metadata list to be there.
fn check_words<'a>(words: Option<impl IntoIterator<Item = KeyValue<'a>>>) -> Result<(), Rejection> {
    let mut words = words.into_iter().flatten();
    match words.all(|word| word.key().is_some() && word.value().is_some()) {
        true => Ok(()),
        false => Err(empty()),
    }
}

fn empty() -> Rejection {
    malformed("a message lacks a part of its head")
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
