//! Runs of rows of one asset in a sorted row group, and which rows of them a query wants.

use std::ops::Range;

use arrow::array::{Array, AsArray, BooleanArray, StringArray};
use arrow::compute::partition;
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;

/// Where each asset's rows end.
#[derive(Debug)]
pub(in crate::sql) struct Runs {
    /// One asset per run.
    assets: StringArray,
    ends: Vec<u32>,
}

/// Instants between which rows are wanted, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Between {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Between {
    pub(super) const ALWAYS: Self = Self {
        from: i64::MIN,
        to: i64::MAX,
    };
}

impl Runs {
    /// The runs of a column of assets.
    pub(super) fn of(assets: &dyn Array) -> Result<Self> {
        let assets = assets
            .as_string_opt::<i32>()
            .ok_or_else(|| exec_datafusion_err!("asset must be Utf8"))?;
        let runs = partition(&[std::sync::Arc::new(assets.clone()) as _])?.ranges();
        let firsts = runs.iter().map(|run| assets.value(run.start));
        Ok(Self {
            assets: StringArray::from_iter_values(firsts),
            ends: runs.iter().map(|run| run.end as u32).collect(),
        })
    }

    /// One asset per run.
    pub(super) fn assets(&self) -> &StringArray {
        &self.assets
    }

    /// **Units** bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.assets.get_array_memory_size() + self.ends.len() * size_of::<u32>()
    }

    /// The rows within `rows` whose run is wanted and whose time lies between. Times ascend
    /// within a run.
    pub(super) fn select(
        &self,
        wanted: Option<&BooleanArray>,
        times: Option<(&[i64], Between)>,
        rows: &Range<usize>,
    ) -> Vec<Range<usize>> {
        let mut selected: Vec<Range<usize>> = Vec::new();
        let mut begin = 0;
        for (run, end) in self.ends.iter().enumerate() {
            let of_run = begin.max(rows.start)..(*end as usize).min(rows.end);
            begin = *end as usize;
            if of_run.is_empty() || wanted.is_some_and(|w| !(w.is_valid(run) && w.value(run))) {
                continue;
            }
            let found = match times {
                None => of_run,
                Some((times, between)) => {
                    let of_times = &times[of_run.clone()];
                    let from = of_times.partition_point(|time| *time < between.from);
                    let to = of_times.partition_point(|time| *time <= between.to);
                    of_run.start + from..of_run.start + to.max(from)
                }
            };
            match selected.last_mut() {
                _ if found.is_empty() => {}
                Some(last) if last.end == found.start => last.end = found.end,
                _ => selected.push(found),
            }
        }
        selected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        wanted: Option<[bool; 3]>,
        between: Option<(i64, i64)>,
        rows: Range<usize>,
        expected: &[Range<usize>],
    ) {
        let assets = StringArray::from(vec!["a", "a", "a", "b", "c", "c"]);
        let times = [1, 2, 3, 2, 1, 4];
        let runs = Runs::of(&assets).unwrap();
        let wanted = wanted.map(|wanted| BooleanArray::from(wanted.to_vec()));
        let between = between.map(|(from, to)| (&times[..], Between { from, to }));
        assert_eq!(runs.select(wanted.as_ref(), between, &rows), expected);
    }

    #[test]
    fn runs_are_chosen_by_asset_and_time() {
        check(None, None, 0..6, &[0..6]);
        check(None, None, 2..5, &[2..5]);
        check(Some([true, false, true]), None, 0..6, &[0..3, 4..6]);
        check(Some([true, false, true]), None, 1..5, &[1..3, 4..5]);
        check(None, Some((2, 3)), 0..6, &[1..4]);
        check(None, Some((3, 9)), 0..6, &[2..3, 5..6]);
        check(Some([false, true, true]), Some((2, 2)), 0..6, &[3..4]);
        check(None, Some((5, 4)), 0..6, &[]);
        check(None, Some((4, 3)), 0..6, &[]);
        check(Some([false; 3]), None, 0..6, &[]);
    }
}
