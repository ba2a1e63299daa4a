//! Decoding without storing: what messages would become under a configuration.

use crate::batch::OpenBatch;
use crate::catalog::Catalog;
use crate::config::IngestConfig;
use crate::decode::Decoder;
use crate::source::Envelope;
use crate::topic::PatternError;
use crate::validate::Rejection;

/// Takes messages as the pipeline's intake does, up to finished columns, and forgets them.
///
/// Assets, tables and columns are remembered within the configuration's limits, so a sequence of
/// messages is judged as it would be.
#[derive(Debug)]
pub struct Trial {
    decoder: Decoder,
    catalog: Catalog,
    sequence: u64,
}

/// What a number of messages would have become.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Rows: one asset at one instant each.
    pub rows: u64,
    /// Values in them.
    pub samples: u64,
    /// Place of each refused message, from 0, and why.
    pub refusals: Vec<(usize, Rejection)>,
}

impl Trial {
    /// **Errors**: a mapping rule's topic is not a pattern.
    pub fn new(config: &IngestConfig) -> Result<Self, PatternError> {
        Ok(Self {
            decoder: Decoder::new(config.decode_rules())?,
            catalog: Catalog::default(),
            sequence: 0,
        })
    }

    /// Takes messages as one batch.
    pub fn take(&mut self, messages: impl IntoIterator<Item = Envelope>) -> Taken {
        self.sequence += 1;
        let mut open = OpenBatch::new(self.sequence);
        for message in messages {
            open.push(&mut self.decoder, &mut self.catalog, message);
        }
        let batch = open.close(&self.catalog);
        let refusals = batch.rejects.into_iter();
        Taken {
            rows: batch.counts.rows,
            samples: batch.counts.samples,
            refusals: refusals
                .map(|(place, refusal)| (place as usize, refusal))
                .collect(),
        }
    }

    /// Assets seen so far.
    pub fn assets(&self) -> usize {
        self.catalog.assets()
    }
}

#[cfg(test)]
mod tests;
