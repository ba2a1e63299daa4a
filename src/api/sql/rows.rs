//! Arrow batches as JSON rows.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};
use serde::Serialize;
use utoipa::ToSchema;

/// One column of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Column {
    /// Its name.
    name: String,
    /// Its Arrow type, such as `Utf8` or `Timestamp(µs, "UTC")`.
    #[serde(rename = "type")]
    kind: String,
}

/// The answer as JSON text: `{"columns":[{name,type}],"rows":[[…]]}`.
///
/// Instants are RFC 3339 texts, decimals are exact numbers, non-finite numbers are null.
///
/// **Errors**: a column whose type has no JSON form, such as an interval.
pub fn answer_json(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let columns: Vec<Column> = schema
        .fields()
        .iter()
        .map(|field| Column {
            name: field.name().clone(),
            kind: field.data_type().to_string(),
        })
        .collect();
    let mut out = b"{\"columns\":".to_vec();
    serde_json::to_writer(&mut out, &columns).map_err(|e| ArrowError::JsonError(e.to_string()))?;
    out.extend_from_slice(b",\"rows\":[");
    let mut first = true;
    for batch in batches {
        write_rows(batch, &mut first, &mut out)?;
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

fn write_rows(batch: &RecordBatch, first: &mut bool, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let schema = batch.schema();
    let mut encoders = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| {
            make_encoder(field, column, &options).map_err(|_| {
                ArrowError::JsonError(format!(
                    "column {} has the type {}, which has no JSON form; cast it to text",
                    field.name(),
                    field.data_type()
                ))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        if !std::mem::take(first) {
            out.push(b',');
        }
        out.push(b'[');
        for (index, encoder) in encoders.iter_mut().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            if encoder.is_null(row) {
                out.extend_from_slice(b"null");
            } else {
                encoder.encode(row, out);
            }
        }
        out.push(b']');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Decimal128Array, Float64Array, IntervalDayTimeArray, StringArray,
        TimestampMicrosecondArray,
    };
    use arrow::datatypes::IntervalDayTime;
    use serde_json::{Value, json};

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(
            columns
                .into_iter()
                .map(|(name, column)| (name, column, true)),
        )
        .unwrap()
    }

    #[test]
    fn rows_keep_their_values_and_equal_names() {
        let at = TimestampMicrosecondArray::from(vec![Some(1_700_000_000_000_000), None]);
        let euros = Decimal128Array::from(vec![Some(12950), Some(-5)]);
        let batch = batch(vec![
            ("a", Arc::new(StringArray::from(vec![Some("x\"y"), None]))),
            ("a", Arc::new(Float64Array::from(vec![1.5, f64::NAN]))),
            ("at", Arc::new(at.with_timezone("UTC"))),
            (
                "euros",
                Arc::new(euros.with_precision_and_scale(18, 2).unwrap()),
            ),
        ]);
        let empty = batch.slice(0, 0);
        let text = answer_json(
            &batch.schema(),
            &[empty, batch.slice(0, 1), batch.slice(1, 1)],
        )
        .unwrap();
        let answer: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            answer["rows"],
            json!([
                ["x\"y", 1.5, "2023-11-14T22:13:20Z", 129.50],
                [null, null, null, -0.05]
            ])
        );
        assert_eq!(answer["columns"][0], json!({"name": "a", "type": "Utf8"}));
        assert!(String::from_utf8(text).unwrap().contains("129.50"));
    }

    #[test]
    fn an_interval_is_text() {
        let pause = IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, 0)]);
        let batch = batch(vec![("pause", Arc::new(pause))]);
        let text = answer_json(&batch.schema(), std::slice::from_ref(&batch)).unwrap();
        let answer: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(answer["rows"], json!([["1 days"]]));
    }
}
