//! Messages on their way into one journal record, and the rows that they decode to.

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::SchemaRef;

use crate::catalog::Catalog;
use crate::decode::{Decoder, Order};
use crate::rows::{RowHead, Rows};
use crate::snapshot::HotBatch;
use crate::source::{Envelope, Receipt};
use crate::validate::Rejection;

/// Bits of an arrival number that count within the batch.
const PLACE_BITS: u32 = 20;
/// Most messages in one batch, whatever the configuration says.
pub(crate) const MAX_MESSAGES: usize = 1 << PLACE_BITS;
/// Bytes of topics and payloads at which a batch closes.
pub(crate) const FULL_BYTES: usize = 8 << 20;

/// A batch that takes messages.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    sequence: u64,
    opened: Option<Instant>,
    bytes: usize,
    envelopes: Vec<Envelope>,
    receipts: Vec<Receipt>,
    rejects: Vec<(u32, Rejection)>,
    tables: Vec<TableRows>,
    counts: Counts,
}

/// A closed batch: what the journal stores and what queries will see.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Number of the journal record.
    pub sequence: u64,
    /// When its first message was taken, process clock.
    pub opened: Option<Instant>,
    /// The messages as they came.
    pub envelopes: Vec<Envelope>,
    /// The promises that end in this batch.
    pub receipts: Vec<Receipt>,
    /// Place of each refused message, and why.
    pub rejects: Vec<(u32, Rejection)>,
    /// The accepted rows.
    pub parts: Vec<Part>,
    /// How many.
    pub counts: Counts,
}

/// Rows of one table.
#[derive(Debug)]
pub(crate) struct Part {
    pub class: Arc<str>,
    pub late: bool,
    pub rows: Arc<HotBatch>,
    /// The table's whole schema after these rows.
    pub schema: SchemaRef,
}

/// What a batch adds to the figures.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub messages: u64,
    pub samples: u64,
    pub late: u64,
    pub repeated: u64,
}

#[derive(Debug, Default)]
struct TableRows {
    in_order: Rows,
    late: Rows,
}

impl OpenBatch {
    pub(crate) fn new(sequence: u64) -> Self {
        Self {
            sequence,
            opened: None,
            bytes: 0,
            envelopes: Vec::new(),
            receipts: Vec::new(),
            rejects: Vec::new(),
            tables: Vec::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn messages(&self) -> usize {
        self.envelopes.len()
    }

    pub(crate) fn opened(&self) -> Option<Instant> {
        self.opened
    }

    /// So large that it should close.
    pub(crate) fn is_full(&self, rows: usize) -> bool {
        self.messages() >= rows.min(MAX_MESSAGES) || self.bytes >= FULL_BYTES
    }

    /// Takes a message; one that is refused is noted with its reason.
    pub(crate) fn push(
        &mut self,
        decoder: &mut Decoder,
        catalog: &mut Catalog,
        envelope: Envelope,
    ) {
        if let Err(refusal) = self.decode(decoder, catalog, &envelope) {
            self.rejects.push((self.envelopes.len() as u32, refusal));
        }
        self.keep(envelope);
    }

    /// Takes a message only if it is accepted.
    ///
    /// **Errors**: why it was not; the batch is unchanged.
    pub(crate) fn push_accepted(
        &mut self,
        decoder: &mut Decoder,
        catalog: &mut Catalog,
        envelope: Envelope,
    ) -> Result<(), Rejection> {
        self.decode(decoder, catalog, &envelope)?;
        self.keep(envelope);
        Ok(())
    }

    /// Adds a promise that is kept when this batch is durable.
    pub(crate) fn promise(&mut self, receipt: Receipt) {
        self.receipts.push(receipt);
    }

    /// Notes when the first message was taken.
    pub(crate) fn open_at(&mut self, now: Instant) {
        self.opened.get_or_insert(now);
    }

    /// Closes the batch.
    pub(crate) fn close(self, catalog: &Catalog) -> Batch {
        let mut parts = Vec::new();
        for (id, table) in self.tables.into_iter().enumerate() {
            for (late, rows) in [(false, table.in_order), (true, table.late)] {
                let class = catalog.class(id);
                parts.extend(rows.finish(class).into_iter().map(|rows| Part {
                    class: class.name.clone(),
                    late,
                    rows,
                    schema: class.schema.clone(),
                }));
            }
        }
        Batch {
            sequence: self.sequence,
            opened: self.opened,
            envelopes: self.envelopes,
            receipts: self.receipts,
            rejects: self.rejects,
            parts,
            counts: self.counts,
        }
    }

    fn decode(
        &mut self,
        decoder: &mut Decoder,
        catalog: &mut Catalog,
        envelope: &Envelope,
    ) -> Result<(), Rejection> {
        let place = self.envelopes.len() as u64;
        let row = decoder.decode(catalog, envelope)?;
        if row.class >= self.tables.len() {
            self.tables.resize_with(row.class + 1, TableRows::default);
        }
        let late = row.order != Order::Newer;
        let table = &mut self.tables[row.class];
        let rows = if late {
            &mut table.late
        } else {
            &mut table.in_order
        };
        let head = RowHead {
            asset: &row.asset,
            time: row.time,
            received_at: row.received_at,
            sequence: late.then_some((self.sequence << PLACE_BITS) | place),
        };
        rows.push(head, row.values);
        self.counts.messages += 1;
        self.counts.samples += row.values.len() as u64;
        self.counts.late += u64::from(late);
        self.counts.repeated += u64::from(row.order == Order::Same);
        Ok(())
    }

    fn keep(&mut self, envelope: Envelope) {
        self.bytes += envelope.topic.len() + envelope.payload.len();
        self.envelopes.push(envelope);
    }
}

impl Batch {
    /// It has a journal record. One without messages has none, and its number goes to the next.
    pub(crate) fn is_recorded(&self) -> bool {
        !self.envelopes.is_empty()
    }

    /// Accepted rows.
    pub(crate) fn rows(&self) -> usize {
        self.counts.messages as usize
    }

    /// **Units** bytes of memory of the accepted rows.
    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.rows.memory_bytes()).sum()
    }
}
