//! What the writer knows of every class: its columns in order of first sight, its assets and how
//! far each has come.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};

use crate::last_values::Assets;
use crate::snapshot::{ASSET, KIND, RECEIVED_AT, SEQUENCE, SIDE_OF, TIME, UNIT};

/// Key of a field's metadata: the name under which its metric is published, where that is not the
/// column's.
const PUBLISHED: &str = "published";

/// Columns before the first metric.
pub(crate) const FIXED_COLUMNS: usize = 3;

/// The newest event time of every asset, by class: microseconds since 1970.
pub(crate) type Watermarks = BTreeMap<Arc<str>, BTreeMap<Arc<str>, i64>>;

/// All classes.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    classes: Vec<Class>,
    by_name: HashMap<Arc<str>, usize>,
    assets: usize,
}

/// One class.
#[derive(Debug)]
pub(crate) struct Class {
    /// Lower case.
    pub name: Arc<str>,
    /// The fixed columns, then metrics and side columns in order of first sight.
    pub schema: SchemaRef,
    metrics: HashMap<Arc<str>, Metric>,
    /// Columns of values whose type is not their metric's, in order.
    mistyped: Vec<u32>,
    assets: Assets,
    /// The newest event time of each asset.
    newest: Vec<i64>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    Number,
    Text,
    Quality,
}

/// The columns of one metric, counted from the first metric of the table.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Metric {
    /// The metric's own column and what it holds, decided by its first value. None while only the
    /// quality of absent values was published.
    pub own: Option<(u32, Slot)>,
    /// Values of the other type.
    side: Option<u32>,
    quality: Option<u32>,
}

impl Catalog {
    pub(crate) fn tables(&self) -> usize {
        self.classes.len()
    }

    pub(crate) fn assets(&self) -> usize {
        self.assets
    }

    pub(crate) fn class_id(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn class(&self, id: usize) -> &Class {
        &self.classes[id]
    }

    pub(crate) fn class_mut(&mut self, id: usize) -> &mut Class {
        &mut self.classes[id]
    }

    /// Adds a class with no metric yet.
    pub(crate) fn add_class(&mut self, name: &str) -> usize {
        let name: Arc<str> = name.into();
        let id = self.classes.len();
        self.by_name.insert(name.clone(), id);
        self.classes.push(Class {
            name,
            schema: Arc::new(Schema::new(fixed_fields())),
            metrics: HashMap::new(),
            mistyped: Vec::new(),
            assets: Assets::default(),
            newest: Vec::new(),
        });
        id
    }

    /// The first class that has a tag. Looked up class by class, and only for a tag that is new.
    pub(crate) fn class_of_asset(&self, tag: &str) -> Option<usize> {
        let mut classes = self.classes.iter();
        classes.position(|class| class.asset_id(tag).is_some())
    }

    /// The column that takes what is published for a metric; says so where its type is not that
    /// of the metric.
    pub(crate) fn add_published(&mut self, class: usize, metric: &str, slot: Slot) -> u32 {
        let class = &mut self.classes[class];
        let (known, columns) = (class.metric(metric), class.columns());
        let column = class.add_column(metric, slot);
        if let Some((_, own)) = known.and_then(|known| known.own)
            && slot != Slot::Quality
            && class.columns() > columns
        {
            let name = class.schema.field(FIXED_COLUMNS + column as usize).name();
            tracing::warn!(class = %class.name, metric, column = name,
                "a metric of {}s was published as {}; such values are kept in a column beside it",
                own.kind(), slot.kind());
        }
        column
    }

    /// Adds an asset that has no reading yet.
    pub(crate) fn add_asset(&mut self, class: usize, tag: &str) -> u32 {
        self.assets += 1;
        let class = &mut self.classes[class];
        class.newest.push(i64::MIN);
        class.assets.add(tag.into())
    }

    /// How far every asset has come.
    pub(crate) fn watermarks(&self) -> Watermarks {
        let of = |class: &Class| {
            let tags = class.assets.tags().iter().cloned();
            tags.zip(class.newest.iter().copied()).collect()
        };
        self.classes
            .iter()
            .map(|class| (class.name.clone(), of(class)))
            .collect()
    }
}

impl Class {
    pub(crate) fn metric(&self, metric: &str) -> Option<Metric> {
        self.metrics.get(metric).copied()
    }

    /// The column that takes what is published for a metric, if there is one yet.
    pub(crate) fn column(&self, metric: &str, slot: Slot) -> Option<u32> {
        self.metric(metric).and_then(|metric| metric.column(slot))
    }

    /// Metric and side columns.
    pub(crate) fn columns(&self) -> usize {
        self.schema.fields().len() - FIXED_COLUMNS
    }

    /// Whether some metric has values of two types.
    pub(crate) fn has_sides(&self) -> bool {
        !self.mistyped.is_empty()
    }

    /// Whether a column holds values whose type is not their metric's.
    pub(crate) fn is_mistyped(&self, column: u32) -> bool {
        self.mistyped.binary_search(&column).is_ok()
    }

    /// The unit of a metric's own column.
    pub(crate) fn unit(&self, metric: Metric) -> Option<&str> {
        let (column, _) = metric.own?;
        let field = self.schema.field(FIXED_COLUMNS + column as usize);
        field.metadata().get(UNIT).map(String::as_str)
    }

    pub(crate) fn asset_id(&self, tag: &str) -> Option<u32> {
        self.assets.find(tag)
    }

    pub(crate) fn tag(&self, asset: u32) -> &Arc<str> {
        self.assets.tag(asset)
    }

    /// The newest event time of an asset; the least there is before its first reading.
    pub(crate) fn newest_mut(&mut self, asset: u32) -> &mut i64 {
        &mut self.newest[asset as usize]
    }

    /// Adds a number metric, or gives an existing one its unit.
    #[cfg(test)]
    pub(crate) fn add_metric(&mut self, metric: &str, unit: Option<&str>) -> u32 {
        let column = self.add_column(metric, Slot::Number);
        if let (Some(metric), Some(unit)) = (self.metric(metric), unit) {
            self.set_unit(metric, unit);
        }
        column
    }

    /// The column that takes what is published for a metric. The first value of a new metric
    /// decides its type; a value of the other type makes a side column.
    pub(crate) fn add_column(&mut self, metric: &str, slot: Slot) -> u32 {
        if let Some(column) = self.column(metric, slot) {
            return column;
        }
        let next = self.columns() as u32;
        let known = self.metric(metric).unwrap_or_default();
        let own = known.own.map(|(column, _)| {
            self.schema
                .field(FIXED_COLUMNS + column as usize)
                .name()
                .clone()
        });
        let stored = own.as_deref().unwrap_or(metric);
        let mut grown = known;
        let field = match (slot, known.own) {
            (Slot::Quality, _) => {
                grown.quality = Some(next);
                self.side_field(stored, slot)
            }
            (_, None) => {
                grown.own = Some((next, slot));
                self.own_field(metric, slot)
            }
            (_, Some(_)) => {
                grown.side = Some(next);
                self.mistyped.push(next);
                self.side_field(stored, slot)
            }
        };
        self.metrics.insert(metric.into(), grown);
        self.push_field(field);
        next
    }

    /// Says in which unit a metric is stored.
    pub(crate) fn set_unit(&mut self, metric: Metric, unit: &str) {
        let Some((column, _)) = metric.own else {
            return;
        };
        if self.unit(metric) == Some(unit) {
            return;
        }
        let mut fields: Vec<_> = self.schema.fields().iter().cloned().collect();
        let place = FIXED_COLUMNS + column as usize;
        let field = fields[place].as_ref().clone();
        let mut metadata = field.metadata().clone();
        metadata.insert(UNIT.to_owned(), unit.to_owned());
        fields[place] = Arc::new(field.with_metadata(metadata));
        self.schema = Arc::new(Schema::new(fields));
    }

    /// Goes on with the columns that stand in files: names, types, and what their metadata says.
    pub(crate) fn restore(&mut self, schema: &SchemaRef) {
        self.schema = schema.clone();
        let columns = schema.fields().iter().skip(FIXED_COLUMNS).zip(0..);
        let (sides, own): (Vec<_>, Vec<_>) =
            columns.partition(|(field, _)| field.metadata().contains_key(SIDE_OF));
        let mut published: HashMap<&str, &str> = HashMap::new();
        for (field, column) in own {
            let name = field.metadata().get(PUBLISHED).unwrap_or(field.name());
            published.insert(field.name(), name);
            let slot = match field.data_type() {
                DataType::Utf8 => Slot::Text,
                _ => Slot::Number,
            };
            let metric = Metric {
                own: Some((column, slot)),
                ..Metric::default()
            };
            self.metrics.insert(name.as_str().into(), metric);
        }
        for (field, column) in sides {
            // A metric of which only qualities are stored has no column of its own.
            let stored = field.metadata()[SIDE_OF].as_str();
            let metric = published.get(stored).copied().unwrap_or(stored);
            let metric = self.metrics.entry(metric.into()).or_default();
            match field.metadata().get(KIND).map(String::as_str) {
                Some("quality") => metric.quality = Some(column),
                Some("text" | "number") => {
                    metric.side = Some(column);
                    self.mistyped.push(column);
                }
                _ => {}
            }
        }
        self.mistyped.sort_unstable();
    }

    fn push_field(&mut self, field: Field) {
        let mut fields: Vec<_> = self.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(field));
        self.schema = Arc::new(Schema::new(fields));
    }

    /// Whether there is a column of a name, in any case: other readers of the files do not tell
    /// `Temp` from `temp`.
    fn has_column(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let mut fields = self.schema.fields().iter();
        name == SEQUENCE || fields.any(|field| field.name().to_lowercase() == name)
    }

    /// A metric's own column. A name that differs from another only in case gets a number.
    fn own_field(&self, metric: &str, slot: Slot) -> Field {
        if !self.has_column(metric) {
            return metric_field(metric, slot);
        }
        let mut names = (2..).map(|number| format!("{metric}~{number}"));
        let name = names.find(|name| !self.has_column(name));
        let name = name.expect("numbers do not end");
        tracing::warn!(class = %self.name, metric, column = name,
            "a metric's name differs from another column's only in case; it is stored under another");
        let metadata = [(PUBLISHED.to_owned(), metric.to_owned())];
        metric_field(&name, slot).with_metadata(metadata.into())
    }

    fn side_field(&self, metric: &str, slot: Slot) -> Field {
        let kind = slot.kind();
        let mut name = format!("{metric}__{kind}");
        // A version that knew no side columns may have stored a metric of that name.
        while self.has_column(&name) {
            name.push('_');
        }
        let metadata = [(SIDE_OF, metric), (KIND, kind)];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Field::new(name, slot.stored_type(), true).with_metadata(metadata.into())
    }
}

/// The type of `time` and `received_at`.
pub(crate) fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The field of `_sequence`.
pub(crate) fn sequence_field() -> Field {
    Field::new(SEQUENCE, DataType::UInt64, false)
}

impl Metric {
    /// The column that takes what is published, if there is one yet.
    pub(crate) fn column(self, slot: Slot) -> Option<u32> {
        match slot {
            Slot::Quality => self.quality,
            _ => match self.own? {
                (column, own) if own == slot => Some(column),
                _ => self.side,
            },
        }
    }
}

impl Slot {
    /// The type of its column in a table.
    pub(crate) fn stored_type(self) -> DataType {
        match self {
            Self::Number => DataType::Float64,
            Self::Text | Self::Quality => DataType::Utf8,
        }
    }

    /// What side columns say about themselves.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Text => "text",
            Self::Quality => "quality",
        }
    }
}

/// The field of a metric's own column.
pub(crate) fn metric_field(name: &str, slot: Slot) -> Field {
    Field::new(name, slot.stored_type(), true)
}

/// The field of a stored column in hot rows, where texts share a dictionary.
pub(crate) fn hot_field(stored: &FieldRef) -> FieldRef {
    match stored.data_type() {
        DataType::Utf8 if stored.name() != ASSET => {
            Arc::new(stored.as_ref().clone().with_data_type(hot_text_type()))
        }
        _ => stored.clone(),
    }
}

/// The type of texts in hot rows.
pub(crate) fn hot_text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

pub(crate) fn fixed_fields() -> Vec<Field> {
    vec![
        Field::new(ASSET, DataType::Utf8, false),
        Field::new(TIME, instant_type(), false),
        Field::new(RECEIVED_AT, instant_type(), false),
    ]
}
