//! What a payload decodes to, as text: the oracle of the tests of codecs.

use chrono::{DateTime, Utc};

use crate::catalog::{Catalog, FIXED_COLUMNS};
use crate::config::{IngestConfig, MappingRule};
use crate::decode::Decoder;
use crate::snapshot::KIND;
use crate::source::Envelope;
use crate::validate::Rejection;

/// 2026-03-02T07:00:00Z, when everything is received. **Units**: microseconds since 1970.
pub(crate) const T: i64 = 1_772_434_800_000_000;

/// A decoder of one rule and the tables that it fills.
#[derive(Debug)]
pub(crate) struct World {
    pub decoder: Decoder,
    pub catalog: Catalog,
}

impl World {
    /// One rule, written in TOML; none is the default configuration.
    pub(crate) fn of(rule: &str) -> Self {
        let mut config = IngestConfig::default();
        if !rule.is_empty() {
            config.rules = vec![toml::from_str::<MappingRule>(rule).unwrap()];
        }
        assert_eq!(config.validate(), Vec::new(), "{rule}");
        Self::with(&config)
    }

    pub(crate) fn with(config: &IngestConfig) -> Self {
        Self {
            decoder: Decoder::new(config.decode_rules()).unwrap(),
            catalog: Catalog::default(),
        }
    }

    pub(crate) fn refusal(&mut self, topic: &str, payload: &[u8]) -> Option<Rejection> {
        let envelope = envelope(topic, payload);
        self.decoder.decode(&mut self.catalog, &envelope).err()
    }

    /// `class asset microseconds-after-T metric=value …` of each row, tags as `metric:text`,
    /// or the name of the refusal.
    pub(crate) fn said(&mut self, topic: &str, payload: &[u8]) -> Vec<String> {
        let envelope = envelope(topic, payload);
        let accepted = match self.decoder.decode(&mut self.catalog, &envelope) {
            Ok(accepted) => accepted,
            Err(refusal) => return vec![refusal.name().to_owned()],
        };
        let mut lines = Vec::new();
        for row in accepted.rows() {
            let class = self.catalog.class(row.class);
            let field = |column: u32| {
                let field = class.schema.field(FIXED_COLUMNS + column as usize);
                let side = field.metadata().get(KIND);
                let unit = class
                    .metric(field.name())
                    .and_then(|metric| class.unit(metric));
                let unit = unit.map(|unit| format!("[{unit}]")).unwrap_or_default();
                assert!(side.is_none() || field.name().contains("__"));
                format!("{}{unit}", field.name())
            };
            let mut cells: Vec<(u32, String)> = Vec::new();
            for (column, value) in row.cells.numbers {
                cells.push((*column, format!("{}={value:?}", field(*column))));
            }
            for (column, (from, to)) in row.cells.texts {
                let text = &row.cells.letters[*from as usize..*to as usize];
                cells.push((*column, format!("{}={text}", field(*column))));
            }
            for (column, text) in row.cells.tags.iter().flat_map(|tags| tags.texts()) {
                cells.push((*column, format!("{}:{text}", field(*column))));
            }
            cells.sort();
            let asset = class.tag(row.asset);
            let mut line = format!("{} {asset} {}", class.name, row.time - T);
            cells
                .iter()
                .for_each(|(_, cell)| line = format!("{line} {cell}"));
            lines.push(line);
        }
        lines
    }
}

fn envelope(topic: &str, payload: &[u8]) -> Envelope {
    Envelope {
        topic: topic.to_owned().into(),
        payload: payload.to_vec().into(),
        received_at: DateTime::<Utc>::from_timestamp_micros(T).unwrap(),
    }
}
