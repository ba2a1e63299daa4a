//! The last value of every metric of every asset, in memory.
//!
//! It is fed with the rows of each commit, in the same step that makes them visible, so one query
//! sees rows and last values of one instant ([`crate::Snapshots::load_with_last`]). A picture is
//! immutable: the writer copies a chunk of assets only while a reader holds it.
//!
//! A late sample counts only if its metric has none that is newer; at one instant the later
//! receipt wins. A flush writes all of it as a checkpoint (`checkpoint`), from which a start goes
//! on with the journal; only without one are the files read (`rebuild`).

mod arrays;
mod assets;
mod cells;
pub(crate) mod checkpoint;
mod columns;
pub(crate) mod rebuild;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

pub use self::arrays::long_schema;
pub(crate) use self::assets::Assets;
pub(crate) use self::cells::Repeats;
use self::cells::{AssetCells, Value};
pub(crate) use self::writer::Writer;
use crate::snapshot::UNIT;

/// Assets that are copied together when a reader holds them while they change.
const CHUNK: usize = 64;

/// How far a sample is to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// It is what was measured.
    Good = 0,
    /// Take it with care.
    Uncertain = 1,
    /// Do not use it.
    Bad = 2,
}

/// All last values at one instant.
#[derive(Debug, Clone, Default)]
pub struct LastValues {
    classes: BTreeMap<Arc<str>, Arc<ClassLastValues>>,
}

/// The last values of one class.
#[derive(Debug, Clone)]
pub struct ClassLastValues {
    class: Arc<str>,
    schema: SchemaRef,
    assets: Arc<Assets>,
    /// Metrics by number; numbers are given at first sight.
    metrics: Arc<Vec<Arc<str>>>,
    chunks: Vec<Arc<Vec<AssetCells>>>,
}

/// The last value of one metric of one asset.
#[derive(Debug, Clone, PartialEq)]
pub struct LastValue {
    /// The metric.
    pub metric: Arc<str>,
    /// The value where it is a number.
    pub value: Option<f64>,
    /// The value where it is text.
    pub text: Option<Arc<str>>,
    /// How far it is to be trusted.
    pub quality: Quality,
    /// The stored unit, where one is known.
    pub unit: Option<String>,
    /// Event time. **Units** microseconds since 1970.
    pub time: i64,
    /// Receipt. **Units** microseconds since 1970.
    pub received_at: i64,
}

impl Quality {
    /// The word that tables and answers use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Uncertain => "uncertain",
            Self::Bad => "bad",
        }
    }

    fn of_number(number: u32) -> Self {
        match number {
            0 => Self::Good,
            1 => Self::Uncertain,
            _ => Self::Bad,
        }
    }

    /// A word that is none of ours is no reason to trust the sample.
    fn of_name(name: &str) -> Self {
        match name {
            "good" => Self::Good,
            "bad" => Self::Bad,
            _ => Self::Uncertain,
        }
    }
}

impl LastValues {
    /// The classes by name.
    pub fn classes(&self) -> impl Iterator<Item = &Arc<ClassLastValues>> {
        self.classes.values()
    }

    /// Says what columns the table of a class has.
    pub(crate) fn describe(&mut self, class: &str, schema: &SchemaRef) {
        if let Some(last) = self.classes.get_mut(class) {
            Arc::make_mut(last).schema = schema.clone();
        }
    }

    /// One class, lower case.
    pub fn class(&self, name: &str) -> Option<&Arc<ClassLastValues>> {
        self.classes.get(name)
    }

    /// The classes that know a tag: one look-up a class.
    pub fn find<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = (&'a ClassLastValues, u32)> {
        let classes = self.classes.values();
        classes.filter_map(move |class| Some((&**class, class.find(tag)?)))
    }
}

impl ClassLastValues {
    /// The class, lower case.
    pub fn class(&self) -> &Arc<str> {
        &self.class
    }

    /// The schema of the class's table; the wide table of last values has the same.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Assets, numbered from 0 in order of first sight.
    pub fn assets(&self) -> usize {
        self.assets.len()
    }

    /// The number of an asset.
    pub fn find(&self, tag: &str) -> Option<u32> {
        self.assets.find(tag)
    }

    /// The tag of an asset that [`Self::find`] or a number below [`Self::assets`] names.
    pub fn tag(&self, asset: u32) -> &Arc<str> {
        self.assets.tag(asset)
    }

    /// The last value of each metric of one asset, in order of the metrics of its class.
    pub fn values(&self, asset: u32) -> Vec<LastValue> {
        let values = self.cells(asset).samples().map(|(instant, sample)| {
            let metric = self.metrics[sample.metric as usize].clone();
            let (value, text) = match sample.value {
                Value::Number(number) => (Some(number), None),
                Value::Text(text) => (None, Some(text.into())),
                Value::Absent => (None, None),
            };
            LastValue {
                unit: self.unit(&metric).map(str::to_owned),
                metric,
                value,
                text,
                quality: sample.quality,
                time: instant.time,
                received_at: instant.received_at,
            }
        });
        values.collect()
    }

    /// The newest event time of an asset; none before its first sample.
    ///
    /// **Units** microseconds since 1970.
    pub fn newest(&self, asset: u32) -> Option<i64> {
        Some(self.cells(asset).newest()?.time)
    }

    fn unit(&self, metric: &str) -> Option<&str> {
        let field = self.schema.field_with_name(metric).ok()?;
        field.metadata().get(UNIT).map(String::as_str)
    }

    fn cells(&self, asset: u32) -> &AssetCells {
        let asset = asset as usize;
        &self.chunks[asset / CHUNK][asset % CHUNK]
    }

    fn cells_mut(&mut self, asset: u32) -> &mut AssetCells {
        let asset = asset as usize;
        while self.chunks.len() <= asset / CHUNK {
            self.chunks.push(Arc::new(Vec::new()));
        }
        let chunk = Arc::make_mut(&mut self.chunks[asset / CHUNK]);
        if chunk.len() <= asset % CHUNK {
            if chunk.capacity() == 0 {
                // Most classes have few assets; the first chunk grows, later ones are full soon.
                let room = if asset < CHUNK { 1 } else { CHUNK };
                chunk.reserve_exact(room);
            }
            chunk.resize_with(asset % CHUNK + 1, AssetCells::default);
        }
        &mut chunk[asset % CHUNK]
    }
}
