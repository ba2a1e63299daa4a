//! Rows of one table on their way into record batches.

mod segment;
mod tagged;

use arrow::array::{ArrayRef, Float64Builder, StringBuilder, StringDictionaryBuilder};
use arrow::datatypes::Int32Type;
use std::sync::Arc;

use self::segment::Segment;
pub(crate) use self::tagged::TagSet;
use self::tagged::TaggedRows;
use crate::catalog::Class;
use crate::snapshot::HotBatch;

/// Cells (rows × metric columns) that a batch may have however few of them hold a value.
pub(crate) const SPARSE_CELLS: usize = 32 * 1024;
/// Cells per value beyond which a batch is cut: an absent value takes as much as a present one.
const CELLS_PER_VALUE: usize = 8;
/// Places that a new column has at first; most commits are small.
const FIRST_PLACES: usize = 16;

/// Columns under construction; only the metrics that occur have one.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Earlier rows, cut off because the columns of later ones would have been mostly absent.
    cut: Vec<Segment>,
    assets: StringBuilder,
    time: Vec<i64>,
    received_at: Vec<i64>,
    /// Filled for late rows only.
    sequence: Vec<u64>,
    columns: Vec<Option<Column>>,
    tagged: TaggedRows,
    /// Columns that occur.
    occurring: usize,
    values: usize,
}

/// The fixed columns of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowHead<'a> {
    pub asset: &'a str,
    pub time: i64,
    pub received_at: i64,
    /// The arrival number of a late row.
    pub sequence: Option<u64>,
}

/// What one row says of its metrics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells<'a> {
    /// Column and value.
    pub numbers: &'a [(u32, f64)],
    /// Column, and where in `letters` its text stands.
    pub texts: &'a [(u32, Span)],
    pub letters: &'a str,
    /// Texts that every row of its series has.
    pub tags: Option<&'a Arc<TagSet>>,
}

/// A piece of a text: first and one past the last byte.
pub(crate) type Span = (u32, u32);

enum Column {
    Number(Float64Builder),
    Text(StringDictionaryBuilder<Int32Type>),
}

impl std::fmt::Debug for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Number(_) => "Number",
            Self::Text(_) => "Text",
        })
    }
}

impl Rows {
    pub(crate) fn push(&mut self, head: RowHead<'_>, cells: Cells<'_>) {
        let tags = cells.tags.map_or(0, |tags| tags.texts().len());
        let values = cells.numbers.len() + cells.texts.len() + tags;
        let new = self.new_columns(cells);
        if new > 0 && self.would_be_sparse(new, values) {
            let segment = self.cut_off();
            self.cut.push(segment);
        }
        if self.time.is_empty() {
            self.assets = StringBuilder::with_capacity(FIRST_PLACES, FIRST_PLACES * 8);
        }
        let row = self.time.len();
        self.assets.append_value(head.asset);
        self.time.push(head.time);
        self.received_at.push(head.received_at);
        self.sequence.extend(head.sequence);
        self.values += values;
        for (column, value) in cells.numbers {
            self.number(row, *column, *value);
        }
        for (column, (from, to)) in cells.texts {
            let text = &cells.letters[*from as usize..*to as usize];
            self.text(row, *column, text);
        }
        if let Some(tags) = cells.tags {
            self.occurring += self.tagged.push(row, tags, &self.columns);
        }
    }

    /// The rows as batches in order, each with the table's fields in order and without the
    /// metrics that do not occur in it: mostly one.
    pub(crate) fn finish(mut self, class: &Class) -> Vec<Arc<HotBatch>> {
        let last = self.cut_off();
        self.cut.push(last);
        self.cut
            .into_iter()
            .filter_map(|segment| segment.finish(class))
            .collect()
    }

    fn number(&mut self, row: usize, column: u32, value: f64) {
        if let Some(Some(Column::Number(builder))) = self.columns.get_mut(column as usize) {
            // A metric may have been absent from the rows before this one.
            let missing = row - builder.values_slice().len();
            if missing > 0 {
                builder.append_nulls(missing);
            }
            return builder.append_value(value);
        }
        let mut builder = Float64Builder::with_capacity(FIRST_PLACES.max(row + 1));
        builder.append_nulls(row);
        builder.append_value(value);
        self.add(column, Column::Number(builder));
    }

    fn text(&mut self, row: usize, column: u32, value: &str) {
        if let Some(Some(Column::Text(builder))) = self.columns.get_mut(column as usize) {
            fill(builder, row);
            return builder.append_value(value);
        }
        let mut builder = StringDictionaryBuilder::new();
        fill(&mut builder, row);
        builder.append_value(value);
        self.add(column, Column::Text(builder));
    }

    fn add(&mut self, column: u32, new: Column) {
        let column = column as usize;
        if column >= self.columns.len() {
            self.columns.resize_with(column + 1, || None);
        }
        // A column has one type for good, so what stands here is none.
        self.columns[column] = Some(new);
        self.occurring += usize::from(!self.tagged.has(column));
    }

    fn has(&self, column: u32) -> bool {
        matches!(self.columns.get(column as usize), Some(Some(_)))
            || self.tagged.has(column as usize)
    }

    fn new_columns(&self, cells: Cells<'_>) -> usize {
        let numbers = cells.numbers.iter().map(|(column, _)| *column);
        let texts = cells.texts.iter().map(|(column, _)| *column);
        let fields = numbers.chain(texts).filter(|column| !self.has(*column));
        let mut new = fields.count();
        if let Some(tags) = cells.tags
            && !self.tagged.knows(tags)
        {
            let tags = tags.texts().iter();
            new += tags.filter(|(column, _)| !self.has(*column)).count();
        }
        new
    }

    /// Whether the batch with one more row would be mostly absent values.
    fn would_be_sparse(&self, new: usize, values: usize) -> bool {
        let cells = (self.time.len() + 1) * (self.occurring + new);
        let most = CELLS_PER_VALUE * (self.values + values);
        !self.time.is_empty() && cells > SPARSE_CELLS.max(most)
    }

    /// Takes all rows since the last cut.
    fn cut_off(&mut self) -> Segment {
        let rows = self.time.len();
        (self.occurring, self.values) = (0, 0);
        let mut columns: Vec<(usize, ArrayRef)> = Vec::new();
        let mut tagged = std::mem::take(&mut self.tagged).finish(rows);
        for (place, column) in self.columns.iter_mut().enumerate() {
            let tags = tagged.remove(&place);
            let array: ArrayRef = match (column.take(), tags) {
                (None, None) => continue,
                (None, Some(tags)) => tags.finish(),
                (Some(Column::Number(mut builder)), _) => {
                    builder.append_nulls(rows - builder.values_slice().len());
                    let mut values = builder.finish();
                    arrow::array::Array::shrink_to_fit(&mut values);
                    Arc::new(values)
                }
                (Some(Column::Text(mut builder)), tags) => {
                    fill(&mut builder, rows);
                    let texts = builder.finish();
                    match tags {
                        Some(tags) => tags.under(&texts),
                        None => Arc::new(texts),
                    }
                }
            };
            columns.push((place, array));
        }
        columns.extend(
            tagged
                .into_iter()
                .map(|(place, tags)| (place, tags.finish())),
        );
        columns.sort_unstable_by_key(|(place, _)| *place);
        let mut assets = self.assets.finish();
        arrow::array::Array::shrink_to_fit(&mut assets);
        Segment {
            assets,
            time: std::mem::take(&mut self.time),
            received_at: std::mem::take(&mut self.received_at),
            sequence: std::mem::take(&mut self.sequence),
            columns,
        }
    }
}

/// Makes a text column `rows` long.
fn fill(builder: &mut StringDictionaryBuilder<Int32Type>, rows: usize) {
    use arrow::array::ArrayBuilder;
    let missing = rows - builder.len();
    if missing > 0 {
        builder.append_nulls(missing);
    }
}
