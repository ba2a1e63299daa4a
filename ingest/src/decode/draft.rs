//! A message as far as it has been read: nothing of it has changed anything yet.

use std::collections::HashMap;

use crate::catalog::{Catalog, Slot};
use crate::rows::Span;
use crate::validate::Rejection;

/// Marks the number of something that a message brings: a class, a series, a column.
pub(super) const NEW: u32 = 1 << 31;

/// Everything that a message says; its buffers are used again for the next.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub rows: Vec<DraftRow>,
    /// Where each row stands, once the message is accepted; none where it went into an earlier.
    pub orders: Vec<Option<super::Order>>,
    /// Column and value.
    pub numbers: Vec<(u32, f64)>,
    /// Column, and where in `letters` its text stands.
    pub texts: Vec<(u32, Span)>,
    pub letters: String,
    /// Names of new classes.
    pub classes: Vec<String>,
    pub series: Vec<NewSeries>,
    pub columns: Vec<NewColumn>,
    column_ids: HashMap<(u32, String), NewMetric>,
    pub series_ids: HashMap<Box<[u8]>, u32>,
    /// New assets: class and tag → whether they are counted.
    assets: HashMap<(u32, String), ()>,
    /// Number of the row that last used a column: finds a metric that stands twice.
    used: Vec<u64>,
    row: u64,
}

/// One row.
#[derive(Debug, Clone)]
pub(super) struct DraftRow {
    pub series: u32,
    pub time: i64,
    /// First and one past the last in `numbers`, and in `texts`.
    pub numbers: Span,
    pub texts: Span,
}

/// A series that the decoder does not know.
#[derive(Debug)]
pub(super) struct NewSeries {
    /// What it is known by from now on; none where it is the topic's.
    pub key: Option<Box<[u8]>>,
    pub class: u32,
    pub asset: String,
    /// Column and text.
    pub tags: Vec<(u32, String)>,
}

/// A column that the class does not have.
#[derive(Debug)]
pub(super) struct NewColumn {
    pub class: u32,
    pub stored: String,
    pub slot: Slot,
}

/// The new columns of a metric.
#[derive(Debug, Default, Clone, Copy)]
struct NewMetric {
    columns: [Option<u32>; 3],
    /// The row in which it last stood.
    row: u64,
}

impl Draft {
    pub(super) fn begin(&mut self) {
        self.rows.clear();
        self.numbers.clear();
        self.texts.clear();
        self.letters.clear();
        if !self.series.is_empty() {
            self.series.clear();
            self.series_ids.clear();
            self.assets.clear();
            self.classes.clear();
        }
        if !self.columns.is_empty() {
            self.columns.clear();
            self.column_ids.clear();
        }
    }

    pub(super) fn begin_row(&mut self) {
        self.row += 1;
    }

    /// Notes that a column has a value in this row; false when it has one already.
    #[inline]
    pub(super) fn use_column(&mut self, column: u32) -> bool {
        let column = column as usize;
        if column >= self.used.len() {
            self.used.resize(column + 1, 0);
        }
        std::mem::replace(&mut self.used[column], self.row) != self.row
    }

    /// The same for a metric that the class does not have.
    pub(super) fn use_new(&mut self, class: u32, stored: &str) -> bool {
        let metric = self.column_ids.entry((class, stored.to_owned()));
        let metric = metric.or_default();
        std::mem::replace(&mut metric.row, self.row) != self.row
    }

    /// The number of a column that the class does not have.
    pub(super) fn new_column(&mut self, class: u32, stored: &str, slot: Slot) -> u32 {
        let metric = self.column_ids.entry((class, stored.to_owned()));
        let place = &mut metric.or_default().columns[slot as usize];
        if let Some(number) = place {
            return *number;
        }
        let number = NEW | self.columns.len() as u32;
        *place = Some(number);
        self.columns.push(NewColumn {
            class,
            stored: stored.to_owned(),
            slot,
        });
        number
    }

    /// Keeps a text.
    pub(super) fn write(&mut self, text: &str) -> Span {
        let from = self.letters.len() as u32;
        self.letters.push_str(text);
        (from, self.letters.len() as u32)
    }

    /// The class of a name that the catalog does not have.
    pub(super) fn new_class(&mut self, name: &str) -> u32 {
        let known = self.classes.iter().position(|known| known == name);
        let place = known.unwrap_or_else(|| {
            self.classes.push(name.to_owned());
            self.classes.len() - 1
        });
        NEW | place as u32
    }

    /// Notes an asset that its class does not have; false when it is noted already.
    pub(super) fn new_asset(&mut self, class: u32, tag: &str) -> bool {
        self.assets.insert((class, tag.to_owned()), ()).is_none()
    }

    /// A class of this message, other than `class`, that has the new asset, too.
    pub(super) fn other_class(&self, class: u32, tag: &str) -> Option<u32> {
        let mut others = self.series.iter();
        let other = others.find(|series| series.class != class && series.asset == tag);
        other.map(|series| series.class)
    }

    /// Whether the new things have room.
    pub(super) fn room(
        &self,
        catalog: &Catalog,
        most_tables: usize,
        most_assets: usize,
        most_columns: usize,
    ) -> Result<(), Rejection> {
        if catalog.tables() + self.classes.len() > most_tables && !self.classes.is_empty() {
            return Err(Rejection::TooManyTables { most: most_tables });
        }
        if catalog.assets() + self.assets.len() > most_assets && !self.assets.is_empty() {
            return Err(Rejection::TooManyAssets { most: most_assets });
        }
        let mut grown: HashMap<u32, usize> = HashMap::new();
        for column in &self.columns {
            *grown.entry(column.class).or_default() += 1;
        }
        let columns = |class: u32| match class & NEW {
            0 => catalog.class(class as usize).columns(),
            _ => 0,
        };
        if grown
            .iter()
            .any(|(class, new)| columns(*class) + new > most_columns)
        {
            return Err(Rejection::TooManyColumns { most: most_columns });
        }
        Ok(())
    }
}
