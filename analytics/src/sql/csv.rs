//! Rows as CSV (RFC 4180): a head line, null as nothing, an empty text as `""`.

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use serde_json::Value;

use super::render::value_json;

/// The head line.
pub fn csv_head(schema: &Schema) -> String {
    let mut line = String::new();
    for (place, field) in schema.fields().iter().enumerate() {
        separate(&mut line, place);
        write(&mut line, field.name());
    }
    line.push_str("\r\n");
    line
}

/// A line for each row; values are written as in a JSON answer.
pub fn csv_rows(batch: &RecordBatch) -> String {
    let mut lines = String::new();
    for row in 0..batch.num_rows() {
        for (place, column) in batch.columns().iter().enumerate() {
            separate(&mut lines, place);
            match value_json(column, row) {
                Value::Null => {}
                Value::String(text) if text.is_empty() => lines.push_str("\"\""),
                Value::String(text) => write(&mut lines, &text),
                value => write(&mut lines, &value.to_string()),
            }
        }
        lines.push_str("\r\n");
    }
    lines
}

fn separate(line: &mut String, place: usize) {
    if place > 0 {
        line.push(',');
    }
}

fn write(line: &mut String, text: &str) {
    if text.contains(['"', ',', '\n', '\r']) {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn what_has_a_comma_is_quoted_and_null_is_nothing() {
        let words = StringArray::from(vec![Some("a,b"), Some("say \"x\""), Some(""), None]);
        let numbers = Float64Array::from(vec![Some(1.5), None, Some(f64::NAN), Some(2.0)]);
        let times = TimestampMicrosecondArray::from(vec![Some(1_500_000), None, None, None]);
        let columns: [(&str, ArrayRef); 3] = [
            ("a \"word\"", Arc::new(words)),
            ("n", Arc::new(numbers)),
            ("t", Arc::new(times.with_timezone("UTC"))),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.map(|(name, column)| (name, column, true)),
        )
        .unwrap();
        assert_eq!(csv_head(&batch.schema()), "\"a \"\"word\"\"\",n,t\r\n");
        assert_eq!(
            csv_rows(&batch),
            "\"a,b\",1.5,1970-01-01T00:00:01.500Z\r\n\"say \"\"x\"\"\",,\r\n\"\",,\r\n,2.0,\r\n"
        );
    }
}
