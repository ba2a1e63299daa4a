//! Which files a compaction takes, and into which spans of time it cuts them.

use std::sync::Arc;

use crate::snapshot::ColdFile;

/// When a table is compacted, and into what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CompactionLimits {
    /// Rows of a compacted file.
    pub rows: u64,
    /// Flushed files, or files of late rows, at which a table is compacted.
    pub files: usize,
    /// Rows that one compaction takes from flushed files, and from files of late rows; more where
    /// late rows take flushed files along.
    pub input_rows: u64,
    /// Whether roll-ups are made.
    pub rollups: bool,
}

/// What one compaction does.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Files of in-order rows that are written anew.
    pub sources: Vec<Arc<ColdFile>>,
    /// Files of late rows that are merged into them.
    pub late: Vec<Arc<ColdFile>>,
    /// Compacted files that stay, by time: no new file may reach over one.
    walls: Vec<(i64, i64)>,
}

/// The files with which a compaction begins; none when there is nothing to do.
///
/// `force` takes what is there, however little.
pub(super) fn begin(
    files: &[Arc<ColdFile>],
    limits: CompactionLimits,
    force: bool,
) -> Option<Plan> {
    let flushed = files.iter().filter(|file| !file.late && file.level == 0);
    let late = files.iter().filter(|file| file.late);
    let (flushed, late): (Vec<_>, Vec<_>) = (flushed.collect(), late.collect());
    let least = if force { 1 } else { limits.files.max(1) };
    if flushed.len() < least && late.len() < least {
        return None;
    }
    Some(Plan {
        sources: oldest(flushed, limits.input_rows),
        late: oldest(late, limits.input_rows),
        walls: Vec::new(),
    })
}

/// The files written first, up to a number of rows and at least one; those of one flush together.
fn oldest(mut files: Vec<&Arc<ColdFile>>, rows: u64) -> Vec<Arc<ColdFile>> {
    files.sort_by_key(|file| file.through);
    let (mut sum, mut last) = (0, None);
    let taken = files.into_iter().take_while(|file| {
        if sum >= rows && last != Some(file.through) {
            return false;
        }
        sum += file.rows;
        last = Some(file.through);
        true
    });
    taken.cloned().collect()
}

impl Plan {
    /// Takes the files that have to come along.
    ///
    /// Every in-order file that may have a key of a late row, because a key stands in one in-order
    /// row only; every compacted file that one of these overlaps, because compacted files do not
    /// overlap; and small compacted files that lie side by side or before the flushed ones. Of the
    /// flushed ones none stays that was written before one that is taken, or that begins before a
    /// late row: so what stays flushed comes, for each asset, after all that is compacted, and
    /// [`TableSnapshot::in_order`] can say in which order to read.
    ///
    /// [`TableSnapshot::in_order`]: crate::snapshot::TableSnapshot::in_order
    pub(super) fn complete(&mut self, files: &[Arc<ColdFile>], late_times: &[i64], rows: u64) {
        let mut left: Vec<Arc<ColdFile>> = files
            .iter()
            .filter(|file| !file.late && !self.sources.iter().any(|own| own.path == file.path))
            .cloned()
            .collect();
        self.take(&mut left, |_, file| {
            let from = late_times.partition_point(|time| *time < file.min_time);
            late_times
                .get(from)
                .is_some_and(|time| *time <= file.max_time)
        });
        if let Some(newest) = late_times.last() {
            self.take(&mut left, |_, file| {
                file.level == 0 && file.min_time <= *newest
            });
        }
        let flushed = self.sources.iter().filter(|file| file.level == 0);
        let through = flushed.map(|file| file.through).max().unwrap_or(0);
        self.take(&mut left, |_, file| {
            file.level == 0 && file.through <= through
        });
        let mut whole: Vec<_> = left.iter().filter(|file| file.level > 0).cloned().collect();
        whole.sort_by_key(|file| file.min_time);
        let small = |file: &Arc<ColdFile>| file.rows < rows / 2;
        let newest = whole.last().filter(|file| small(file)).into_iter();
        let pairs = whole.windows(2).filter(|pair| pair.iter().all(small));
        let small: Vec<_> = pairs
            .flatten()
            .chain(newest)
            .map(|file| file.path.clone())
            .collect();
        self.take(&mut left, |_, file| small.contains(&file.path));
        loop {
            let before = left.len();
            self.take(&mut left, |taken, file| {
                let meets = |own: &Arc<ColdFile>| {
                    own.min_time <= file.max_time && file.min_time <= own.max_time
                };
                file.level > 0 && taken.iter().any(meets)
            });
            if left.len() == before {
                break;
            }
        }
        let walls = left.iter().filter(|file| file.level > 0);
        self.walls = walls.map(|file| (file.min_time, file.max_time)).collect();
        self.walls.sort_unstable();
    }

    fn take(
        &mut self,
        left: &mut Vec<Arc<ColdFile>>,
        wanted: impl Fn(&[Arc<ColdFile>], &Arc<ColdFile>) -> bool,
    ) {
        let (taken, stays) = left.drain(..).partition(|file| wanted(&self.sources, file));
        *left = stays;
        let mut taken: Vec<Arc<ColdFile>> = taken;
        self.sources.append(&mut taken);
    }

    /// Whether a file is written anew.
    pub(super) fn takes(&self, file: &ColdFile) -> bool {
        let mut taken = self.sources.iter().chain(&self.late);
        taken.any(|own| own.path == file.path)
    }

    /// Between which walls an instant lies.
    pub(super) fn segment(&self, time: i64) -> usize {
        self.walls.partition_point(|(_, max)| *max < time)
    }

    /// Number of the last journal record in the new files.
    pub(super) fn through(&self) -> u64 {
        let files = self.sources.iter().chain(&self.late);
        files.map(|file| file.through).max().unwrap_or(0)
    }
}

/// Where to cut sorted sample times, each of which stands for `each` rows, so that a span has
/// `rows` rows: the first instants of all spans but the first.
pub(super) fn cuts(times: &[i64], each: u64, rows: u64) -> Vec<i64> {
    let step = usize::try_from((rows / each.max(1)).max(1)).unwrap_or(usize::MAX);
    let mut cuts: Vec<i64> = times.iter().copied().skip(step).step_by(step).collect();
    cuts.dedup();
    // Rows before the first cut there must be.
    cuts.retain(|cut| times.first().is_some_and(|first| cut > first));
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CompactionLimits = CompactionLimits {
        rows: 100,
        files: 2,
        input_rows: 1000,
        rollups: false,
    };

    fn file(name: &str, level: u8, span: (i64, i64), rows: u64) -> Arc<ColdFile> {
        Arc::new(ColdFile {
            path: name.into(),
            rows,
            bytes: 1,
            min_time: span.0,
            max_time: span.1,
            min_asset: "a".into(),
            max_asset: "b".into(),
            level,
            late: name.starts_with("late"),
            sorted: true,
            through: 7,
        })
    }

    /// The files that a plan takes, by name, and the segments of some instants.
    fn check(files: &[Arc<ColdFile>], late_times: &[i64], expected: &[&str], segments: &[usize]) {
        let mut plan = begin(files, LIMITS, true).unwrap();
        plan.complete(files, late_times, LIMITS.rows);
        let taken = plan.sources.iter().chain(&plan.late);
        let mut taken: Vec<&str> = taken.map(|file| file.path.as_ref()).collect();
        taken.sort_unstable();
        assert_eq!(taken, expected);
        let found: Vec<usize> = (0..segments.len())
            .map(|place| plan.segment(place as i64 * 100))
            .collect();
        assert_eq!(found, segments);
    }

    #[test]
    fn what_has_to_come_along_comes_along() {
        let old = [
            file("old1", 1, (0, 90), 100),
            file("old2", 1, (110, 190), 100),
            file("old3", 1, (210, 290), 100),
        ];
        let with = |more: &[Arc<ColdFile>]| [&old[..], more].concat();
        // Newer rows alone leave what is compacted.
        let new = |from| [file("new", 0, (from, 400), 10)];
        check(&with(&new(300)), &[], &["new"], &[0, 1, 2, 3]);
        // Rows that reach into a compacted file take it along, and only it.
        check(&with(&new(280)), &[], &["new", "old3"], &[0, 1, 2, 2]);
        // A late row takes the file that may have its key; one in a gap takes none.
        let late = |from, to| [file("late", 0, (from, to), 2)];
        let times = [5, 350];
        check(
            &with(&late(5, 350)),
            &times,
            &["late", "old1"],
            &[0, 0, 1, 2],
        );
        check(&with(&late(100, 100)), &[100], &["late"], &[0, 1, 2, 3]);
        // A flushed file between whose rows a compacted one lies takes that along, too.
        let wide = [file("wide", 0, (95, 205), 10)];
        check(&with(&wide), &[], &["old2", "wide"], &[0, 1, 1, 2]);
        // A small file before the flushed ones comes along.
        let small = [
            file("new", 0, (500, 600), 10),
            file("old4", 1, (300, 400), 10),
        ];
        check(&with(&small), &[], &["new", "old4"], &[0, 1, 2, 3]);
    }

    #[test]
    fn nothing_happens_before_it_is_time() {
        let one = [file("new", 0, (0, 1), 1), file("old", 1, (5, 6), 1)];
        assert!(begin(&one, LIMITS, false).is_none());
        assert!(begin(&one[1..], LIMITS, true).is_none());
        assert_eq!(begin(&one, LIMITS, true).unwrap().sources.len(), 1);
    }

    #[test]
    fn spans_have_their_rows() {
        let times: Vec<i64> = (0..100).collect();
        assert_eq!(cuts(&times, 10, 400), [40, 80]);
        assert_eq!(cuts(&times, 10, 4000), Vec::<i64>::new());
        assert_eq!(cuts(&[5; 100], 10, 100), Vec::<i64>::new());
        assert_eq!(cuts(&[], 10, 100), Vec::<i64>::new());
    }
}
