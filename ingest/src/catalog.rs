//! What the writer knows of every class: its columns in order of first sight, its assets and how
//! far each has come.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::snapshot::{ASSET, RECEIVED_AT, SEQUENCE, TIME};

/// Columns before the first metric.
pub(crate) const FIXED_COLUMNS: usize = 3;
/// Key of a field's metadata that carries the unit.
pub(crate) const UNIT: &str = "unit";

/// The newest event time of every asset, by class: microseconds since 1970.
pub(crate) type Watermarks = BTreeMap<Arc<str>, BTreeMap<Arc<str>, i64>>;

/// All classes.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    classes: Vec<Class>,
    by_name: HashMap<Arc<str>, usize>,
    assets: usize,
    /// The class under which each tag was first seen; the names are shared with the classes.
    first_class: HashMap<Arc<str>, u32>,
}

/// One class.
#[derive(Debug)]
pub(crate) struct Class {
    /// Lower case.
    pub name: Arc<str>,
    /// The fixed columns, then one per metric.
    pub schema: SchemaRef,
    columns: HashMap<Arc<str>, u32>,
    assets: Vec<Asset>,
    asset_ids: HashMap<Arc<str>, u32>,
}

/// One asset.
#[derive(Debug)]
pub(crate) struct Asset {
    /// Its tag.
    pub tag: Arc<str>,
    /// Its newest event time.
    pub newest: i64,
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
            columns: HashMap::new(),
            assets: Vec::new(),
            asset_ids: HashMap::new(),
        });
        id
    }

    /// The class under which a tag was first seen.
    pub(crate) fn class_of_asset(&self, tag: &str) -> Option<usize> {
        self.first_class.get(tag).map(|class| *class as usize)
    }

    /// Adds an asset that has no reading yet.
    pub(crate) fn add_asset(&mut self, class: usize, tag: &str) -> u32 {
        self.assets += 1;
        let (id, tag) = self.classes[class].add_asset(tag);
        self.first_class.entry(tag).or_insert(class as u32);
        id
    }

    /// How far every asset has come.
    pub(crate) fn watermarks(&self) -> Watermarks {
        let of = |class: &Class| {
            class
                .assets
                .iter()
                .map(|asset| (asset.tag.clone(), asset.newest))
                .collect()
        };
        self.classes
            .iter()
            .map(|class| (class.name.clone(), of(class)))
            .collect()
    }
}

impl Class {
    pub(crate) fn column(&self, metric: &str) -> Option<u32> {
        self.columns.get(metric).copied()
    }

    pub(crate) fn metrics(&self) -> usize {
        self.columns.len()
    }

    pub(crate) fn asset_id(&self, tag: &str) -> Option<u32> {
        self.asset_ids.get(tag).copied()
    }

    pub(crate) fn asset_mut(&mut self, id: u32) -> &mut Asset {
        &mut self.assets[id as usize]
    }

    /// Adds a metric column, or gives an existing one its unit.
    pub(crate) fn add_metric(&mut self, metric: &str, unit: Option<&str>) -> u32 {
        let known = self.column(metric);
        if let (Some(column), None) = (known, unit) {
            return column;
        }
        let mut fields: Vec<_> = self.schema.fields().iter().cloned().collect();
        let column = known.unwrap_or(self.metrics() as u32);
        let place = FIXED_COLUMNS + column as usize;
        let field = Arc::new(metric_field(metric, unit));
        if known.is_some() {
            if fields[place] == field {
                return column;
            }
            fields[place] = field;
        } else {
            fields.push(field);
            self.columns.insert(metric.into(), column);
        }
        self.schema = Arc::new(Schema::new(fields));
        column
    }

    /// Goes on with the columns that stand in files.
    pub(crate) fn restore(&mut self, schema: &SchemaRef) {
        let metrics = schema.fields().iter().skip(FIXED_COLUMNS);
        self.columns = metrics
            .zip(0..)
            .map(|(field, column)| (field.name().as_str().into(), column))
            .collect();
        self.schema = schema.clone();
    }

    fn add_asset(&mut self, tag: &str) -> (u32, Arc<str>) {
        let tag: Arc<str> = tag.into();
        let id = self.assets.len() as u32;
        self.asset_ids.insert(tag.clone(), id);
        self.assets.push(Asset {
            tag: tag.clone(),
            newest: i64::MIN,
        });
        (id, tag)
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

/// The field of a metric.
pub(crate) fn metric_field(name: &str, unit: Option<&str>) -> Field {
    let field = Field::new(name, DataType::Float64, true);
    match unit {
        Some(unit) => field.with_metadata([(UNIT.to_owned(), unit.to_owned())].into()),
        None => field,
    }
}

pub(crate) fn fixed_fields() -> Vec<Field> {
    vec![
        Field::new(ASSET, DataType::Utf8, false),
        Field::new(TIME, instant_type(), false),
        Field::new(RECEIVED_AT, instant_type(), false),
    ]
}
