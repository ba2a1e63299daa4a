//! Many small files become few large ones, in the background.
//!
//! In-order rows are put together, late rows are merged into them ([`super::merging`]), and the new
//! files, disjoint in time, replace the old ones in one entry of the log. Nobody sees a difference
//! but in speed. Rows of one span of time are in memory at once, never a whole table.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, TimestampMicrosecondArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use super::entry::Written;
use super::log::Change;
use super::merging::{self, Met};
use super::plan::{self, CompactionLimits, Plan};
use super::rows::FileRows;
use super::table::{self, Kind};
use super::{FILE_CELLS, Lake, LakeError, locked, physical, rollup};
use crate::catalog::FIXED_COLUMNS;
use crate::clock::wall_now;
use crate::snapshot::{ColdFile, SEQUENCE, TIME};
use crate::tables::Tables;

/// Files that stay get more time than files of a flush.
const ZSTD_LEVEL: i32 = 9;
/// Rows of a file that are read at a time.
const BATCH_ROWS: usize = 32 * 1024;
/// Of so many rows one time is looked at to find where to cut.
const SAMPLE_EACH: usize = 64;

/// What a compaction did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compacted {
    /// Files that it took.
    pub taken: usize,
    /// Files that it wrote.
    pub written: usize,
    /// Rows in them.
    pub rows: u64,
    /// What late rows met.
    pub met: Met,
}

/// Why a compaction ends before it is done.
pub(crate) enum Ended {
    /// It was told to.
    Canceled,
    /// It could not go on; nothing has changed.
    Failed(LakeError),
}

impl From<LakeError> for Ended {
    fn from(error: LakeError) -> Self {
        Self::Failed(error)
    }
}

/// A span of time: from the first instant to before the last.
type Span = (i64, i64);

impl Lake {
    /// Compacts one table once; none when there is nothing to do.
    ///
    /// `exact_from` is the instant (microseconds since 1970) before which raw rows may have been
    /// dropped. `go_on` is asked between two spans of time; it may wait. **Errors**: see [`Ended`]: then
    /// everything is as it was.
    pub(crate) fn compact(
        &self,
        name: &Arc<str>,
        limits: CompactionLimits,
        force: bool,
        exact_from: i64,
        tables: &Tables,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Compacted>, Ended> {
        let shared = self.table(name);
        let (files, mut physical) = {
            let mut table = locked(&shared);
            if table.log.is_flush_in_doubt() {
                return Ok(None);
            }
            if table.settle(&self.place)? {
                tables.rearrange(table.filed());
            }
            (table.log.files.clone(), table.log.physical.clone())
        };
        let Some(mut plan) = plan::begin(&files, limits, force) else {
            return Ok(None);
        };
        let late_times = self.times(&physical, &plan.late, 1)?;
        let columns = physical.fields().len().max(1);
        let rows = limits.rows.min((FILE_CELLS / columns) as u64).max(1);
        plan.complete(&files, &late_times, rows);
        let mut done = Compacted {
            taken: plan.sources.len() + plan.late.len(),
            ..Compacted::default()
        };
        let mut written = Vec::new();
        let rearranged = self.rearranged(
            name,
            &plan,
            &late_times,
            rows,
            &mut physical,
            &mut written,
            &mut done,
            go_on,
        );
        if let Err(ended) = rearranged {
            self.discard(&written);
            return Err(ended);
        }
        if limits.rollups {
            let flushed = plan.sources.iter().filter(|file| file.level == 0);
            let flushed: Vec<_> = flushed.cloned().collect();
            let mut times = self.times(&physical, &flushed, 1)?;
            times.extend(&late_times);
            // Where raw rows were dropped, nothing can be reckoned any more.
            let hours = rollup::hours(times.into_iter().filter(|time| *time >= exact_from));
            let stays = files
                .iter()
                .filter(|file| file.level > 0 && !plan.takes(file));
            let new = written.iter().map(|new| &new.file);
            let mut whole: Vec<_> = stays.chain(new).cloned().collect();
            whole.sort_by_key(|file| file.min_time);
            if let Err(error) = self.roll_up(name, &physical, &whole, &hours, tables) {
                self.discard(&written);
                return Err(error.into());
            }
        }
        let change = Change {
            physical: Some(physical),
            adds: written.clone(),
            removes: plan.sources.iter().chain(&plan.late).cloned().collect(),
            through: None,
            rearranged: true,
        };
        let mut table = locked(&shared);
        if table.log.is_flush_in_doubt() {
            self.discard(&written);
            return Ok(None);
        }
        let settled = table.settle(&self.place);
        let there = |file: &Arc<ColdFile>| table.log.files.iter().any(|own| own.path == file.path);
        if settled.is_err() || !change.removes.iter().all(there) {
            self.discard(&written);
            settled?;
            return Ok(None);
        }
        let removed = change.removes.clone();
        let wall_ms = wall_now().timestamp_millis();
        self.place
            .running()
            .wait(table.log.commit(change, wall_ms))?;
        for file in removed {
            let path = file.path.clone();
            table.graveyard.add(path, Some(file), wall_ms);
        }
        tables.rearrange(table.filed());
        if let Err(error) = self.place.running().wait(table.log.tidy()) {
            tracing::warn!(table = %name, error = &error as &dyn std::error::Error,
                "the log cannot be tidied up; the next compaction tries again");
        }
        done.written = written.len();
        done.rows = written.iter().map(|new| new.file.rows).sum();
        Ok(Some(done))
    }

    /// Writes the new files of a plan.
    #[expect(clippy::too_many_arguments, reason = "one step of one function")]
    fn rearranged(
        &self,
        name: &Arc<str>,
        plan: &Plan,
        late_times: &[i64],
        rows: u64,
        physical: &mut SchemaRef,
        written: &mut Vec<Written>,
        done: &mut Compacted,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), Ended> {
        let kind = Kind {
            level: 1,
            late: false,
            through: plan.through(),
            zstd_level: ZSTD_LEVEL,
        };
        for span in self.spans(plan, late_times, rows, physical)? {
            if !go_on() {
                return Err(Ended::Canceled);
            }
            let all = self.rows_of(plan, span, physical)?;
            if all.num_rows() == 0 {
                continue;
            }
            let failed = LakeError::rows(&(&**name).into());
            let (merged, met) = merging::merged(&all).map_err(failed)?;
            drop(all);
            done.met.duplicates += met.duplicates;
            done.met.conflicts += met.conflicts;
            let number = locked(&self.table(name)).next_number();
            written.push(table::write(
                &self.place,
                name,
                number,
                physical,
                &merged,
                kind,
            )?);
        }
        Ok(())
    }

    /// The spans of time that become a file each.
    fn spans(
        &self,
        plan: &Plan,
        late_times: &[i64],
        rows: u64,
        physical: &SchemaRef,
    ) -> Result<Vec<Span>, LakeError> {
        let mut segments: Vec<usize> = plan
            .sources
            .iter()
            .map(|file| plan.segment(file.min_time))
            .chain(late_times.iter().map(|time| plan.segment(*time)))
            .collect();
        segments.sort_unstable();
        segments.dedup();
        let mut spans = Vec::new();
        for segment in segments {
            let inside = |time: i64| plan.segment(time) == segment;
            let own = plan.sources.iter().filter(|file| inside(file.min_time));
            let own: Vec<Arc<ColdFile>> = own.cloned().collect();
            let late = || late_times.iter().copied().filter(|time| inside(*time));
            let first = own.iter().map(|file| file.min_time).chain(late()).min();
            let last = own.iter().map(|file| file.max_time).chain(late()).max();
            let (Some(first), Some(last)) = (first, last) else {
                continue;
            };
            let total: u64 = own.iter().map(|file| file.rows).sum::<u64>() + late().count() as u64;
            let mut from = first;
            // A little more than a file has is no reason for two.
            if total > rows + rows / 4 {
                let mut sample = self.times(physical, &own, SAMPLE_EACH)?;
                sample.extend(late().step_by(SAMPLE_EACH));
                sample.sort_unstable();
                for cut in plan::cuts(&sample, SAMPLE_EACH as u64, rows) {
                    if cut > from && cut <= last {
                        spans.push((from, cut));
                        from = cut;
                    }
                }
            }
            spans.push((from, last + 1));
        }
        Ok(spans)
    }

    /// Every so many event times of files, sorted.
    fn times(
        &self,
        physical: &SchemaRef,
        files: &[Arc<ColdFile>],
        each: usize,
    ) -> Result<Vec<i64>, LakeError> {
        let mut times = Vec::new();
        for file in files {
            let read = FileRows::open(self.place.root(), physical, file, Some(&[TIME]), BATCH_ROWS);
            for rows in read.map_err(LakeError::open(&file.path))? {
                let rows = rows.map_err(LakeError::rows(&file.path))?;
                let column = rows.column(0).as_primitive::<TimestampMicrosecondType>();
                times.extend(column.values().iter().step_by(each));
            }
        }
        times.sort_unstable();
        times.dedup();
        Ok(times)
    }

    /// All rows of a span: in-order ones without `_sequence`, late ones with it.
    fn rows_of(
        &self,
        plan: &Plan,
        span: Span,
        physical: &SchemaRef,
    ) -> Result<RecordBatch, LakeError> {
        let (from, to) = span;
        let touches = |file: &&Arc<ColdFile>| file.min_time < to && file.max_time >= from;
        let mut batches = Vec::new();
        let files = plan.sources.iter().chain(&plan.late).filter(touches);
        let schema = working(physical);
        for file in files {
            let failed = LakeError::rows(&file.path);
            let read = FileRows::open(self.place.root(), physical, file, None, BATCH_ROWS);
            let inside = file.min_time >= from && file.max_time < to;
            for rows in read.map_err(LakeError::open(&file.path))? {
                let mut rows = rows.map_err(&failed)?;
                if !inside {
                    let times = rows.column_by_name(TIME).map(AsArray::as_primitive_opt);
                    let times = times.flatten().expect("every file has the fixed columns");
                    let chosen = chosen(times, span);
                    rows = filter_record_batch(&rows, &chosen).map_err(&failed)?;
                }
                if rows.num_rows() > 0 {
                    batches.push(physical::align(&schema, &rows).map_err(&failed)?);
                }
            }
        }
        let at = LakeError::rows(&TIME.into());
        concat_batches(&schema, &batches).map_err(at)
    }

    /// Removes files that no entry names; what cannot be removed is removed at the next start.
    fn discard(&self, written: &[Written]) {
        for new in written {
            drop(self.place.remove(&new.file.path));
        }
    }
}

fn chosen(times: &TimestampMicrosecondArray, (from, to): Span) -> BooleanArray {
    let inside = |time: &i64| Some((from..to).contains(time));
    times.values().iter().map(inside).collect()
}

/// The table's columns in their logical form, with the arrival number.
fn working(physical: &SchemaRef) -> SchemaRef {
    let logical = physical::logical(physical);
    let mut fields: Vec<Arc<Field>> = logical.fields().iter().cloned().collect();
    let sequence = Field::new(SEQUENCE, DataType::UInt64, true);
    fields.insert(FIXED_COLUMNS, Arc::new(sequence));
    Arc::new(Schema::new(fields))
}
