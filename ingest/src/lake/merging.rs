//! Late rows laid into in-order rows, reading by reading.
//!
//! What a query does on the way ([`crate::snapshot`]), done once and for all: the row that arrived
//! last wins for every metric of which it has a reading. A reading is the metric's column and its
//! side columns together, so that a value never keeps the quality of another.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DynComparator, StringArray, TimestampMicrosecondArray, UInt32Array,
    make_comparator,
};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{Schema, UInt64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::sorting;
use crate::catalog::FIXED_COLUMNS;
use crate::snapshot::{SEQUENCE, SIDE_OF};

/// What was met while rows were laid over each other, per reading.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Met {
    /// The same instant with the same value.
    pub duplicates: u64,
    /// The same instant with another value: the later receipt won.
    pub conflicts: u64,
}

/// The columns of one reading, and how to tell two of them apart.
struct Reading {
    columns: Vec<usize>,
    compare: Vec<DynComparator>,
}

/// One row per key, sorted by asset and time.
///
/// `rows` have `_sequence` (null in in-order rows) after the fixed columns; the answer has not.
pub(super) fn merged(rows: &RecordBatch) -> Result<(RecordBatch, Met), ArrowError> {
    let order = arrival_order(rows)?;
    let (assets, times) = sorting::keys(rows)?;
    let runs = runs(&order, &assets, &times);
    let last: UInt32Array = runs.iter().map(|run| order[run.1 - 1]).collect();
    let schema = rows.schema();
    let sequence_at = schema.index_of(SEQUENCE)?;
    let mut met = Met::default();
    let mut picks: BTreeMap<usize, Arc<UInt32Array>> = BTreeMap::new();
    if runs.len() < order.len() {
        for reading in readings(rows)? {
            let picked = Arc::new(reading.pick(rows, &order, &runs, &mut met));
            let columns = reading.columns.iter();
            picks.extend(columns.map(|column| (*column, picked.clone())));
        }
    }
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (place, column) in rows.columns().iter().enumerate() {
        if place == sequence_at {
            continue;
        }
        // The key is the same in all rows of a run, `received_at` is the last one's.
        let pick = picks.get(&place).map_or(&last, |picked| picked);
        columns.push(take(column, pick, None)?);
        fields.push(schema.fields()[place].clone());
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    Ok((batch, met))
}

/// The places of the rows by asset, time and arrival; in-order rows arrived before late ones.
fn arrival_order(rows: &RecordBatch) -> Result<Vec<u32>, ArrowError> {
    let sequence = rows
        .column_by_name(SEQUENCE)
        .map(|column| column.as_primitive::<UInt64Type>().clone());
    let number = |row: u32| {
        let sequence = sequence.as_ref()?;
        sequence
            .is_valid(row as usize)
            .then(|| sequence.value(row as usize))
    };
    let mut order = sorting::order(rows)?;
    let (assets, times) = sorting::keys(rows)?;
    let mut from = 0;
    while from < order.len() {
        let to = end_of_run(&order, from, &assets, &times);
        if to - from > 1 {
            order[from..to].sort_by_key(|row| number(*row));
        }
        from = to;
    }
    Ok(order)
}

/// From where to before where the rows of each key stand.
fn runs(
    order: &[u32],
    assets: &StringArray,
    times: &TimestampMicrosecondArray,
) -> Vec<(usize, usize)> {
    let mut runs = Vec::with_capacity(order.len());
    let mut from = 0;
    while from < order.len() {
        let to = end_of_run(order, from, assets, times);
        runs.push((from, to));
        from = to;
    }
    runs
}

fn end_of_run(
    order: &[u32],
    from: usize,
    assets: &StringArray,
    times: &TimestampMicrosecondArray,
) -> usize {
    let first = order[from] as usize;
    let same = |row: &u32| {
        let row = *row as usize;
        times.value(row) == times.value(first) && assets.value(row) == assets.value(first)
    };
    from + 1 + order[from + 1..].iter().take_while(|row| same(row)).count()
}

/// Metrics with their side columns.
fn readings(rows: &RecordBatch) -> Result<Vec<Reading>, ArrowError> {
    let schema = rows.schema();
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, field) in schema.fields().iter().enumerate().skip(FIXED_COLUMNS) {
        if field.name() == SEQUENCE {
            continue;
        }
        let metric = field.metadata().get(SIDE_OF).unwrap_or(field.name());
        groups.entry(metric).or_default().push(place);
    }
    let groups = groups.into_values().map(|columns| {
        let compare = columns.iter().map(|place| {
            let column: &ArrayRef = rows.column(*place);
            make_comparator(column, column, SortOptions::default())
        });
        let compare = compare.collect::<Result<_, _>>()?;
        Ok(Reading { columns, compare })
    });
    groups.collect()
}

impl Reading {
    /// Per key the row whose reading counts.
    fn pick(
        &self,
        rows: &RecordBatch,
        order: &[u32],
        runs: &[(usize, usize)],
        met: &mut Met,
    ) -> UInt32Array {
        let columns: Vec<&ArrayRef> = self.columns.iter().map(|at| rows.column(*at)).collect();
        let has = |row: u32| columns.iter().any(|column| column.is_valid(row as usize));
        let picked = runs.iter().map(|(from, to)| {
            let run = &order[*from..*to];
            if run.len() == 1 {
                return run[0];
            }
            let mut picked = None;
            for row in run.iter().copied().filter(|row| has(*row)) {
                if let Some(before) = picked {
                    match self.same(before, row) {
                        true => met.duplicates += 1,
                        false => met.conflicts += 1,
                    }
                }
                picked = Some(row);
            }
            picked.unwrap_or(run[0])
        });
        picked.collect()
    }

    fn same(&self, one: u32, other: u32) -> bool {
        let (one, other) = (one as usize, other as usize);
        self.compare
            .iter()
            .all(|compare| compare(one, other).is_eq())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::array::{Float64Array, StringArray, TimestampMicrosecondArray, UInt64Array};
    use arrow::datatypes::{DataType, Field};
    use arrow::util::pretty::pretty_format_batches;

    use super::*;
    use crate::catalog::instant_type;
    use crate::snapshot::{ASSET, KIND, RECEIVED_AT, TIME};

    /// (asset, time, sequence, value, text, quality); received when the sequence says.
    type Row = (
        &'static str,
        i64,
        Option<u64>,
        Option<f64>,
        Option<&'static str>,
        Option<&'static str>,
    );

    fn check(rows: &[Row], expected: &[&str], met: (u64, u64)) {
        let side = |kind: &str| {
            let metadata = [(SIDE_OF, "m"), (KIND, kind)];
            let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
            Field::new(format!("m__{kind}"), DataType::Utf8, true)
                .with_metadata(HashMap::from(metadata))
        };
        let instants = |times: Vec<i64>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
        };
        let received = |row: &Row| row.2.map_or(0, |sequence| sequence as i64);
        let fields = vec![
            Field::new(ASSET, DataType::Utf8, false),
            Field::new(TIME, instant_type(), false),
            Field::new(RECEIVED_AT, instant_type(), false),
            Field::new(SEQUENCE, DataType::UInt64, true),
            Field::new("m", DataType::Float64, true),
            side("text"),
            side("quality"),
        ];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>()),
            instants(rows.iter().map(|row| row.1).collect()),
            instants(rows.iter().map(received).collect()),
            Arc::new(rows.iter().map(|row| row.2).collect::<UInt64Array>()),
            Arc::new(rows.iter().map(|row| row.3).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| row.4).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.5).collect::<StringArray>()),
        ];
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let (merged, found) = merged(&rows).unwrap();
        assert_eq!((found.duplicates, found.conflicts), met);
        let shown = pretty_format_batches(&[merged]).unwrap().to_string();
        let cells = |line: &str| line.split('|').map(str::trim).collect::<Vec<_>>().join(" ");
        let shown: Vec<String> = shown
            .lines()
            .filter(|line| line.contains("1970"))
            .map(|line| cells(line).replace("1970-01-01T00:00:00.", ""))
            .collect();
        let shown: Vec<&str> = shown.iter().map(|line| line.trim()).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_last_reading_counts_as_a_whole() {
        // A good value takes the place of a bad one, quality and all.
        check(
            &[
                ("a", 1, None, Some(1.0), None, Some("bad")),
                ("a", 1, Some(7), Some(2.0), None, None),
            ],
            &["a 000001Z 000007Z 2.0"],
            (0, 1),
        );
        // A bad sample without a value takes the place of a good one.
        check(
            &[
                ("a", 1, Some(7), None, None, Some("bad")),
                ("a", 1, None, Some(1.0), None, None),
            ],
            &["a 000001Z 000007Z   bad"],
            (0, 1),
        );
        // A text beside a number, and then the number again.
        check(
            &[
                ("a", 1, None, Some(1.0), None, None),
                ("a", 1, Some(8), Some(1.0), None, None),
                ("a", 1, Some(7), None, Some("off"), None),
            ],
            &["a 000001Z 000008Z 1.0"],
            (0, 2),
        );
        // A late row that has no reading of the metric changes its receipt only; others stay.
        check(
            &[
                ("b", 1, None, Some(1.0), None, None),
                ("a", 2, None, Some(5.0), None, None),
                ("b", 1, Some(9), None, None, None),
                ("b", 1, Some(10), Some(1.0), None, None),
            ],
            &[
                "a 000002Z 1970-01-01T00:00:00Z 5.0",
                "b 000001Z 000010Z 1.0",
            ],
            (1, 0),
        );
    }
}
