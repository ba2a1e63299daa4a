//! Messages on their way into one journal record, and the rows that they decode to.

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::SchemaRef;

use crate::catalog::Catalog;
use crate::codec::sparkplug::sessions::Sessions;
use crate::decode::{AcceptedRow, Decoder, Order};
use crate::rows::{RowHead, Rows};
use crate::snapshot::HotBatch;
use crate::source::{Envelope, Receipt};
use crate::validate::Rejection;

/// What `received_at` is a multiple of, microseconds.
const RECEIPT_UNIT: i64 = 1000;
/// Bits of an arrival number that count within the batch.
const PLACE_BITS: u32 = 20;
/// Most messages, and rows, at which a batch closes, whatever the configuration says: with the
/// rows of one more message the places keep within their bits.
const MOST: usize = 1 << (PLACE_BITS - 1);
/// Bytes of topics and payloads at which a batch closes.
pub(crate) const FULL_BYTES: usize = 8 << 20;

/// A batch that takes messages.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    sequence: u64,
    opened: Option<Instant>,
    /// `received_at` of all its rows: the receipt of the first message that has any.
    received_at: Option<i64>,
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
    /// The Sparkplug sessions after its last message.
    pub sessions: Sessions,
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
    pub rows: u64,
    pub samples: u64,
    pub late: u64,
    pub repeated: u64,
    /// Values kept in side columns because their type is not their metric's.
    pub mistyped: u64,
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
            received_at: None,
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
        let most = rows.min(MOST);
        self.messages() >= most || self.counts.rows >= most as u64 || self.bytes >= FULL_BYTES
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
        // Taken now, it would move the session of its node, and its aliases may mean other metrics.
        if decoder.needs_session(&envelope.topic) {
            return Err(Rejection::SparkplugSession {
                detail: "an old message cannot be taken again; ask the node for a rebirth"
                    .to_owned(),
            });
        }
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

    /// Closes the batch; the caller adds the sessions.
    pub(crate) fn close(self, catalog: &Catalog) -> Batch {
        let mut parts = Vec::new();
        for (id, table) in self.tables.into_iter().enumerate() {
            for (late, rows) in [(false, table.in_order), (true, table.late)] {
                let class = catalog.class(id);
                let part = |rows| Part {
                    class: class.name.clone(),
                    late,
                    rows,
                    schema: class.schema.clone(),
                };
                parts.extend(rows.finish(class).into_iter().map(part));
            }
        }
        Batch {
            sequence: self.sequence,
            opened: self.opened,
            envelopes: self.envelopes,
            receipts: self.receipts,
            rejects: self.rejects,
            sessions: Sessions::default(),
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
        let accepted = decoder.decode(catalog, envelope)?;
        for row in accepted.rows() {
            self.add(catalog, row);
        }
        self.counts.messages += 1;
        Ok(())
    }

    fn add(&mut self, catalog: &Catalog, row: AcceptedRow<'_>) {
        if row.class >= self.tables.len() {
            self.tables.resize_with(row.class + 1, TableRows::default);
        }
        let late = row.order != Order::Newer;
        let class = catalog.class(row.class);
        let table = &mut self.tables[row.class];
        let rows = if late {
            &mut table.late
        } else {
            &mut table.in_order
        };
        // One for all rows of a batch, in whole milliseconds: such columns take next to nothing in
        // files, single receipts to the microsecond would take as much as a metric.
        let floor = row.received_at - row.received_at.rem_euclid(RECEIPT_UNIT);
        let head = RowHead {
            asset: class.tag(row.asset),
            time: row.time,
            received_at: *self.received_at.get_or_insert(floor),
            sequence: late.then_some((self.sequence << PLACE_BITS) | self.counts.rows),
        };
        rows.push(head, row.cells);
        let counts = &mut self.counts;
        counts.rows += 1;
        counts.samples += (row.cells.numbers.len() + row.cells.texts.len()) as u64;
        counts.late += u64::from(late);
        counts.repeated += u64::from(row.order == Order::Same);
        if class.has_sides() {
            let numbers = row.cells.numbers.iter().map(|(column, _)| *column);
            let texts = row.cells.texts.iter().map(|(column, _)| *column);
            let columns = numbers.chain(texts);
            counts.mistyped += columns.filter(|column| class.is_mistyped(*column)).count() as u64;
        }
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
        self.counts.rows as usize
    }

    /// **Units** bytes of memory of the accepted rows.
    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.rows.memory_bytes()).sum()
    }
}
