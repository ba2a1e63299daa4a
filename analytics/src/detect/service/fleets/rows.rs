//! Stored rows of a class on their way into its training, late ones where they belong.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use arrow::record_batch::RecordBatch;
use fieldwright_condition::Fleet;
use fieldwright_condition::fleet::Part;
use fieldwright_ingest::snapshot::{ColdFile, Snapshot, TableSnapshot};

use super::super::shared::{READ_TRIES, Shared};
use super::super::studies::canceled;
use crate::detect::engine::{Columns, Slice};
use crate::detect::history::{HistoryError, Rows, Span, read_late, read_table};
use crate::detect::jobs::JobCell;

/// Share of a job that is over when all rows are read.
const READ: f64 = 0.7;
/// Batches that a file has, for want of a better guess.
const BATCHES_PER_FILE: usize = 8;
/// Late rows of all assets that are put where they belong; of more, those are left out that would
/// be read last.
const MAX_LATE_ROWS: usize = 500_000;

/// A class that is read.
pub(super) struct Reader {
    pub(super) fleet: Fleet,
    span: Span,
    pub(super) threads: usize,
    /// By number of the asset.
    late: BTreeMap<usize, LateRows>,
}

/// The late rows of one asset, one of an instant, in order of event time.
struct LateRows {
    times: Vec<i64>,
    /// Row by row, a value per number of a metric. Nothing: what is stored in order counts.
    values: Vec<Vec<f64>>,
    /// The next one to come.
    next: usize,
}

/// A reading of one asset: a row of the batch, a late one, or both.
struct Fed {
    asset: usize,
    time: i64,
    in_order: Option<usize>,
    late: Option<usize>,
}

impl Reader {
    /// Nothing is read yet; `threads` take the rows.
    pub(super) fn new(fleet: Fleet, span: Span, threads: usize) -> Self {
        Self {
            fleet,
            span,
            threads,
            late: BTreeMap::new(),
        }
    }

    /// Reads what is stored.
    ///
    /// **Errors** when that cannot be read, or somebody has told the job to stop.
    pub(super) fn read(
        &mut self,
        shared: &Shared,
        cell: &JobCell,
        class: &str,
    ) -> Result<(), String> {
        let mut tries = 0;
        loop {
            tries += 1;
            let snapshot = (shared.snapshots)();
            let table = snapshot.tables.iter().find(|(name, _)| ***name == *class);
            let Some((_, table)) = table else {
                return Err(format!("class {class} has no stored readings"));
            };
            match self.read_snapshot(&snapshot, table, cell) {
                // Files may be put together while they are read; a newer picture knows the new
                // ones, and rows that were taken before change nothing the second time.
                Err(HistoryError::Open { .. }) if tries < READ_TRIES => {}
                Err(error) => return Err(format!("class {class}: {error}")),
                Ok(ControlFlow::Break(())) => return Err(canceled()),
                Ok(ControlFlow::Continue(())) => break,
            }
        }
        self.take_rest();
        Ok(())
    }

    fn read_snapshot(
        &mut self,
        snapshot: &Snapshot,
        table: &TableSnapshot,
        cell: &JobCell,
    ) -> Result<ControlFlow<()>, HistoryError> {
        let late = read_late(&snapshot.lake, table, self.span, MAX_LATE_ROWS)?;
        self.late.clear();
        for (tag, rows) in late {
            self.know_late(&tag, &rows);
        }
        let (from, to) = self.span;
        let wanted = |file: &ColdFile| file.max_time >= from && file.min_time < to;
        let files = table.files.iter().filter(|file| wanted(file)).count();
        let batches = (files * BATCHES_PER_FILE + table.hot.len()).max(1);
        let (mut taken, mut flow) = (0, ControlFlow::Continue(()));
        read_table(&snapshot.lake, table, Rows::InOrder, wanted, |batch| {
            self.take(batch);
            taken += 1;
            if !cell.goes_on(READ * part(taken, batches)) {
                flow = ControlFlow::Break(());
            }
            flow
        })?;
        Ok(flow)
    }

    fn know_late(&mut self, tag: &str, batches: &[RecordBatch]) {
        let Some(asset) = self.fleet.asset(tag) else {
            return;
        };
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for batch in batches {
            let fleet = &mut self.fleet;
            let Some(columns) = Columns::of(batch, |name| fleet.metric(name)) else {
                continue;
            };
            let slices = columns.by_metric(fleet.metrics().len());
            for row in 0..batch.num_rows() {
                let value = |slice: &Option<_>| slice_value(slice.as_ref(), row);
                times.push(columns.time(row));
                values.push(slices.iter().map(value).collect());
            }
        }
        let next = 0;
        self.late.insert(
            asset,
            LateRows {
                times,
                values,
                next,
            },
        );
    }

    fn take(&mut self, batch: &RecordBatch) {
        let fleet = &mut self.fleet;
        let Some(columns) = Columns::of(batch, |name| fleet.metric(name)) else {
            return;
        };
        let in_span = self.span.0..self.span.1;
        let slices = columns.by_metric(fleet.metrics().len());
        let mut fed = Vec::with_capacity(batch.num_rows());
        let mut last: Option<(&str, Option<usize>)> = None;
        for row in 0..batch.num_rows() {
            let tag = columns.asset(row);
            let asset = match last {
                Some((known, asset)) if known == tag => asset,
                _ => fleet.asset(tag),
            };
            last = Some((tag, asset));
            let time = columns.time(row);
            let Some(asset) = asset.filter(|_| in_span.contains(&time)) else {
                continue;
            };
            let late = match self.late.get_mut(&asset) {
                Some(late) => {
                    fed.extend(late.before(time).map(|row| Fed {
                        asset,
                        time: late.times[row],
                        in_order: None,
                        late: Some(row),
                    }));
                    late.at(time)
                }
                None => None,
            };
            let in_order = Some(row);
            fed.push(Fed {
                asset,
                time,
                in_order,
                late,
            });
        }
        let value = |row: usize, metric: usize| slice_value(slices[metric].as_ref(), row);
        self.feed(&fed, value);
    }

    /// Late rows after the last one of their asset that came in order.
    fn take_rest(&mut self) {
        let rest = self.late.iter_mut().flat_map(|(asset, late)| {
            let rows = late.before(i64::MAX);
            let times = &late.times;
            rows.map(|row| Fed {
                asset: *asset,
                time: times[row],
                in_order: None,
                late: Some(row),
            })
        });
        let rest: Vec<Fed> = rest.collect();
        self.feed(&rest, |_, _| f64::NAN);
    }

    fn feed(&mut self, fed: &[Fed], in_order: impl Fn(usize, usize) -> f64 + Sync) {
        let metrics = self.fleet.metrics().len();
        let late = &self.late;
        let value = |one: &Fed, metric: usize| {
            let own = one.late.and_then(|row| {
                let values = late.get(&one.asset)?.values.get(row)?;
                values
                    .get(metric)
                    .copied()
                    .filter(|value| value.is_finite())
            });
            let stored = || one.in_order.map_or(f64::NAN, |row| in_order(row, metric));
            own.unwrap_or_else(stored)
        };
        let take = |part: &mut Part<'_>| {
            for one in fed {
                part.take(one.asset, one.time, metrics, |metric| value(one, metric));
            }
        };
        let mut parts: Vec<_> = self.fleet.parts(self.threads).collect();
        if let [part] = &mut parts[..] {
            return take(part);
        }
        std::thread::scope(|scope| {
            for part in &mut parts {
                scope.spawn(|| take(part));
            }
        });
    }
}

impl LateRows {
    /// The rows before an instant that have not come yet.
    fn before(&mut self, time: i64) -> std::ops::Range<usize> {
        let from = self.next;
        let rest = &self.times[from..];
        self.next += rest.partition_point(|own| *own < time);
        from..self.next
    }

    /// The row of an instant, after those before it.
    fn at(&mut self, time: i64) -> Option<usize> {
        let found = self.times.get(self.next).is_some_and(|own| *own == time);
        self.next += usize::from(found);
        found.then(|| self.next - 1)
    }
}

fn slice_value(slice: Option<&Slice<'_>>, row: usize) -> f64 {
    slice.map_or(f64::NAN, |slice| slice.value(row))
}

#[expect(clippy::cast_precision_loss, reason = "counts of batches are small")]
fn part(done: usize, all: usize) -> f64 {
    (done as f64 / all as f64).min(1.0)
}
