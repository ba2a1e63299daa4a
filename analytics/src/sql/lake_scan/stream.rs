//! The rows of one partition as they are read.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMicrosecondType};
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder,
};
use fieldwright_ingest::snapshot::{ASSET, TIME};
use futures::{Stream, stream};

use super::LakeSource;
use super::cache::{Held, Part, Place};
use super::columns::{StoredColumn, decode};
use super::gather::Gathering;
use super::keys::KeyTests;
use super::pieces::Piece;
use super::runs::{Between, Runs};

/// How one partition reads its pieces.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) source: LakeSource,
    pub(super) schema: SchemaRef,
    pub(super) columns: Arc<[StoredColumn]>,
    pub(super) conditions: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) batch_rows: usize,
    pub(super) figures: Figures,
}

/// What a scan counts.
#[derive(Debug)]
pub(super) struct Figures {
    output: BaselineMetrics,
    decoded: Count,
    pieces_skipped: Count,
    rows_skipped: Count,
}

impl Figures {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let count = |name: &'static str| MetricBuilder::new(metrics).counter(name, partition);
        Self {
            output: BaselineMetrics::new(metrics, partition),
            decoded: count("columns_decoded"),
            pieces_skipped: count("pieces_skipped"),
            rows_skipped: count("rows_skipped"),
        }
    }
}

impl Reading {
    /// The rows of `pieces` that may be wanted, in order.
    pub(super) fn rows(
        self,
        pieces: Arc<[Piece]>,
    ) -> impl Stream<Item = Result<RecordBatch>> + Send {
        let state = (self, pieces, 0, None::<Gathering>);
        stream::try_unfold(
            state,
            |(reading, pieces, mut next, mut gathering)| async move {
                loop {
                    if let Some(open) = &mut gathering {
                        let timer = reading.figures.output.elapsed_compute().timer();
                        let batch = open.next_batch()?;
                        timer.done();
                        if let Some(batch) = batch {
                            reading.figures.output.record_output(batch.num_rows());
                            return Ok(Some((batch, (reading, pieces, next, gathering))));
                        }
                    }
                    let Some(piece) = pieces.get(next) else {
                        return Ok(None);
                    };
                    next += 1;
                    gathering = reading.open(piece).await?;
                }
            },
        )
    }

    /// The wanted rows of a piece, when there are any.
    async fn open(&self, piece: &Piece) -> Result<Option<Gathering>> {
        let rows = self.select(piece).await?;
        let kept: usize = rows.iter().map(Range::len).sum();
        self.figures.rows_skipped.add(piece.rows.len() - kept);
        if kept == 0 {
            self.figures.pieces_skipped.add(1);
            return Ok(None);
        }
        let wanted: Vec<&StoredColumn> = self.columns.iter().collect();
        let columns = self.load(piece, &wanted).await?;
        Ok(Some(Gathering {
            schema: Arc::clone(&self.schema),
            columns,
            rows: rows.into_iter(),
            rest: 0..0,
            batch_rows: self.batch_rows,
        }))
    }

    /// Rows of the piece that the conditions on the key let pass.
    async fn select(&self, piece: &Piece) -> Result<Vec<Range<usize>>> {
        if self.conditions.is_empty() || !piece.file.sorted {
            return Ok(vec![piece.rows.clone()]);
        }
        let tests = KeyTests::of(&self.conditions)?;
        let between = tests.between()?;
        let (min, max) = (piece.file.min_time, piece.file.max_time);
        if between.from > max || between.to < min {
            return Ok(vec![]);
        }
        let runs = self.runs(piece).await?;
        let wanted = tests.wanted(runs.assets())?;
        if wanted
            .as_ref()
            .is_some_and(|wanted| wanted.true_count() == 0)
        {
            return Ok(vec![]);
        }
        let times = match between {
            Between::ALWAYS => None,
            between if between.from <= min && between.to >= max => None,
            _ => Some(self.load(piece, &[&time_column()]).await?.swap_remove(0)),
        };
        let times = times.as_ref().map(|times| {
            let times = times.as_primitive::<TimestampMicrosecondType>();
            (&times.values()[..], between)
        });
        Ok(runs.select(wanted.as_ref(), times, &piece.rows))
    }

    async fn runs(&self, piece: &Piece) -> Result<Arc<Runs>> {
        let place = piece.place(Part::Runs);
        if let Some(Held::Runs(runs)) = self.source.cache.get(&place) {
            return Ok(runs);
        }
        let assets = self.load(piece, &[&asset_column()]).await?.swap_remove(0);
        let runs = Arc::new(Runs::of(&assets)?);
        self.source.cache.put(place, Held::Runs(Arc::clone(&runs)));
        Ok(runs)
    }

    /// Whole columns of the piece's row group: from the cache, and those that it lacks by one
    /// request.
    async fn load(&self, piece: &Piece, wanted: &[&StoredColumn]) -> Result<Vec<ArrayRef>> {
        let mut found = self.look(piece, wanted);
        if found.iter().any(Option::is_none) {
            let _gate = self
                .source
                .cache
                .gate(piece.file.path.as_ref(), piece.group as u32)
                .lock()
                .await;
            // Somebody else may have loaded them meanwhile.
            found = self.look(piece, wanted);
            let places = || {
                found
                    .iter()
                    .zip(wanted)
                    .filter(|(found, _)| found.is_none())
            };
            let missing: Vec<&StoredColumn> = places().map(|(_, column)| *column).collect();
            let store = &self.source.store;
            let decoded = decode(store, &piece.file, &piece.footer, piece.group, &missing).await?;
            self.figures.decoded.add(decoded.len());
            for (column, values) in missing.iter().zip(&decoded) {
                let place = piece.place(Part::Column(Arc::clone(&column.name)));
                self.source
                    .cache
                    .put(place, Held::Column(Arc::clone(values)));
            }
            let mut decoded = decoded.into_iter();
            for place in found.iter_mut().filter(|found| found.is_none()) {
                *place = decoded.next();
            }
        }
        let found: Option<Vec<ArrayRef>> = found.into_iter().collect();
        found.ok_or_else(|| exec_datafusion_err!("{} lacks a column", piece.file.path))
    }

    fn look(&self, piece: &Piece, wanted: &[&StoredColumn]) -> Vec<Option<ArrayRef>> {
        let rows = piece.footer.rows(piece.group);
        let held = |column: &&StoredColumn| {
            let place = piece.place(Part::Column(Arc::clone(&column.name)));
            match self.source.cache.get(&place) {
                // Another version of a table may have known the column by another type.
                Some(Held::Column(values))
                    if values.len() == rows && *values.data_type() == column.data_type =>
                {
                    Some(values)
                }
                _ => None,
            }
        };
        wanted.iter().map(held).collect()
    }
}

impl Piece {
    fn place(&self, part: Part) -> Place {
        Place {
            file: self.file.path.as_ref().into(),
            group: self.group as u32,
            part,
        }
    }
}

fn asset_column() -> StoredColumn {
    StoredColumn {
        name: ASSET.into(),
        data_type: DataType::Utf8,
        double: None,
    }
}

fn time_column() -> StoredColumn {
    StoredColumn {
        name: TIME.into(),
        data_type: DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        double: None,
    }
}
