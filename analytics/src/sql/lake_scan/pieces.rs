//! Which row groups of which files a scan reads, and who reads them.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column as ColumnExpr;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_optimizer::pruning::PruningPredicate;
use fieldwright_ingest::snapshot::{ASSET, ColdFile, TIME};

use super::LakeSource;
use super::cache::{Held, Part, Place};
use super::columns::StoredColumn;
use super::footer::Footer;

/// Rows below which a scan is not worth a second partition.
const ROWS_PER_PARTITION: usize = if cfg!(test) { 8 } else { 65_536 };

/// Rows of one row group.
#[derive(Debug, Clone)]
pub(in crate::sql) struct Piece {
    pub(super) file: Arc<ColdFile>,
    pub(super) footer: Arc<Footer>,
    pub(super) group: usize,
    pub(super) rows: Range<usize>,
}

/// What a scan has to read, and what it need not.
#[derive(Debug)]
pub(in crate::sql) struct Found {
    /// Pieces of each partition, in the order of the files.
    pub(super) partitions: Vec<Arc<[Piece]>>,
    pub(super) files: usize,
    pub(super) files_before: usize,
    pub(super) groups: usize,
    pub(super) groups_before: usize,
    pub(super) rows: usize,
    /// True when the pieces in their order are sorted by (asset, time).
    sorted: bool,
    /// True when only one asset's rows are wanted and the pieces in their order ascend in time.
    ascending: bool,
}

/// What a scan is asked for.
pub(in crate::sql) struct Wanted<'a> {
    /// Files that may have wanted rows, and how many there are in all.
    pub(in crate::sql) files: Vec<Arc<ColdFile>>,
    pub(in crate::sql) files_before: usize,
    /// Columns that a condition may speak of.
    pub(in crate::sql) columns: &'a [StoredColumn],
    /// What tells row groups without a wanted row.
    pub(in crate::sql) pruning: Option<&'a PruningPredicate>,
    /// True when the conditions let one asset pass only.
    pub(in crate::sql) one_asset: bool,
    pub(in crate::sql) partitions: usize,
}

/// Reads the footers of the files and drops row groups that have no wanted row.
pub(in crate::sql) async fn find(source: &LakeSource, wanted: Wanted<'_>) -> Result<Found> {
    let mut files = wanted.files;
    // In the order of time, so that one asset's rows ascend through the files.
    files.sort_by_key(|file| (file.min_time, file.max_time));
    let (mut pieces, mut groups_before) = (Vec::new(), 0);
    for file in files {
        let footer = source.footer(&file).await?;
        groups_before += footer.groups();
        let keep = match wanted.pruning {
            Some(pruning) => pruning.prune(&Groups {
                footer: &footer,
                columns: wanted.columns,
            })?,
            None => vec![true; footer.groups()],
        };
        for (group, keep) in keep.into_iter().enumerate() {
            let rows = footer.rows(group);
            if keep && rows > 0 {
                pieces.push(Piece {
                    file: Arc::clone(&file),
                    footer: Arc::clone(&footer),
                    group,
                    rows: 0..rows,
                });
            }
        }
    }
    let kept: HashSet<&str> = pieces
        .iter()
        .map(|piece| piece.file.path.as_ref())
        .collect();
    let (files, rows) = (
        kept.len(),
        pieces.iter().map(|piece| piece.rows.len()).sum(),
    );
    let follows = |after: fn(&Piece, &Piece) -> bool| {
        let in_file = |a: &Piece, b: &Piece| a.file.path == b.file.path && a.group < b.group;
        let mut pairs = pieces.windows(2);
        pieces.iter().all(|piece| piece.file.sorted)
            && pairs.all(|pair| in_file(&pair[0], &pair[1]) || after(&pair[0], &pair[1]))
    };
    let sorted = follows(|a, b| a.file.max_asset < b.file.min_asset);
    let ascending = wanted.one_asset && follows(|a, b| a.file.max_time < b.file.min_time);
    Ok(Found {
        files,
        files_before: wanted.files_before,
        groups: pieces.len(),
        groups_before,
        rows,
        sorted,
        ascending,
        partitions: deal(pieces, rows, wanted.partitions),
    })
}

impl Found {
    pub(in crate::sql) fn is_empty(&self) -> bool {
        self.groups == 0
    }

    /// Rows of the row groups that are read.
    pub(in crate::sql) fn rows(&self) -> usize {
        self.rows
    }

    /// Nothing was left out.
    pub(super) fn is_whole(&self) -> bool {
        self.files == self.files_before && self.groups == self.groups_before
    }

    /// The files that are read.
    pub(super) fn files(&self) -> impl Iterator<Item = &Arc<ColdFile>> {
        let pieces = self.partitions.iter().flat_map(|pieces| pieces.iter());
        pieces.map(|piece| &piece.file)
    }

    /// The order of each partition's rows, as far as the pieces prove it.
    pub(super) fn ordering(&self, schema: &SchemaRef) -> Vec<LexOrdering> {
        let by = |name: &str| {
            let at = schema.index_of(name).ok()?;
            let expr = Arc::new(ColumnExpr::new(name, at));
            Some(PhysicalSortExpr::new(expr, SortOptions::new(false, false)))
        };
        let columns: Vec<PhysicalSortExpr> = match (self.sorted, self.ascending) {
            (true, _) => [ASSET, TIME].into_iter().map_while(by).collect(),
            (false, true) => [TIME].into_iter().map_while(by).collect(),
            (false, false) => vec![],
        };
        LexOrdering::new(columns).into_iter().collect()
    }
}

/// Deals the rows out in order, each partition about as many; a row group may be split.
fn deal(pieces: Vec<Piece>, rows: usize, partitions: usize) -> Vec<Arc<[Piece]>> {
    let worth = rows.div_ceil(ROWS_PER_PARTITION).max(1);
    let share = rows.div_ceil(partitions.clamp(1, worth)).max(1);
    let (mut dealt, mut hand, mut room) = (Vec::new(), Vec::new(), share);
    for piece in pieces {
        let mut rest = piece.rows.clone();
        while !rest.is_empty() {
            let taken = rest.start..rest.end.min(rest.start + room);
            rest.start = taken.end;
            room -= taken.len();
            hand.push(Piece {
                rows: taken,
                ..piece.clone()
            });
            if room == 0 {
                dealt.push(std::mem::take(&mut hand).into());
                room = share;
            }
        }
    }
    if !hand.is_empty() || dealt.is_empty() {
        dealt.push(hand.into());
    }
    dealt
}

impl LakeSource {
    async fn footer(&self, file: &ColdFile) -> Result<Arc<Footer>> {
        let place = Place {
            file: file.path.as_ref().into(),
            group: 0,
            part: Part::Footer,
        };
        if let Some(Held::Footer(footer)) = self.cache.get(&place) {
            return Ok(footer);
        }
        let footer = Arc::new(Footer::read(&self.store, file).await?);
        self.cache.put(place, Held::Footer(Arc::clone(&footer)));
        Ok(footer)
    }
}

/// What a file says of its row groups.
struct Groups<'a> {
    footer: &'a Footer,
    columns: &'a [StoredColumn],
}

impl Groups<'_> {
    /// Smallest and largest values of a column that has no second one with other values.
    fn ranges(&self, column: &Column) -> Option<(ArrayRef, ArrayRef)> {
        let found = self.columns.iter().find(|c| *c.name == *column.name)?;
        let beside = found.double.as_deref();
        if beside.is_some_and(|double| !self.footer.is_empty_column(double)) {
            return None;
        }
        self.footer.ranges(&found.name, &found.data_type)
    }
}

impl PruningStatistics for Groups<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.ranges(column).map(|(min, _)| min)
    }
    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.ranges(column).map(|(_, max)| max)
    }
    fn num_containers(&self) -> usize {
        self.footer.groups()
    }
    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        // The key is never null.
        let key = column.name == ASSET || column.name == TIME;
        key.then(|| Arc::new(UInt64Array::from(vec![0; self.footer.groups()])) as ArrayRef)
    }
    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }
    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// What a row of these types takes decoded, on the whole. **Units** bytes.
pub(in crate::sql) fn row_bytes(columns: &[StoredColumn]) -> usize {
    let bytes = |data_type: &DataType| data_type.primitive_width().unwrap_or(24);
    columns.iter().map(|column| bytes(&column.data_type)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(groups: &[usize], partitions: usize, expected: &[&[Range<usize>]]) {
        // A footer is not needed to deal: one of an empty file stands for all.
        let (file, footer) = super::super::testing::empty_file();
        let pieces: Vec<Piece> = groups
            .iter()
            .enumerate()
            .map(|(group, rows)| Piece {
                file: Arc::clone(&file),
                footer: Arc::clone(&footer),
                group,
                rows: 0..*rows,
            })
            .collect();
        let rows = groups.iter().sum();
        let dealt = deal(pieces, rows, partitions);
        let dealt: Vec<Vec<Range<usize>>> = dealt
            .iter()
            .map(|hand| hand.iter().map(|piece| piece.rows.clone()).collect())
            .collect();
        assert_eq!(dealt, expected);
    }

    #[test]
    fn rows_are_dealt_out_in_order() {
        check(&[2, 3], 4, &[&[0..2, 0..3]]);
        let many = 4 * ROWS_PER_PARTITION;
        check(&[many], 2, &[&[0..many / 2], &[many / 2..many]]);
        check(
            &[many, many / 2],
            3,
            &[&[0..many / 2], &[many / 2..many], &[0..many / 2]],
        );
        check(&[], 2, &[&[]]);
    }
}
