//! The rows of an accepted message, in order or late.

use std::collections::HashMap;
use std::sync::Arc;

use super::draft::{Draft, DraftRow, NEW};
use super::series::{Known, SeriesCache};
use super::sink::TOPIC;
use crate::catalog::Catalog;
use crate::rows::{Cells, TagSet};

/// A time against the newest one of its asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// After it.
    Newer,
    /// The same.
    Same,
    /// Before it.
    Older,
}

/// What tells the series of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    /// Class, asset and binding of the topic's series.
    pub topic: Option<(u32, u32, u32)>,
    pub cache: &'a SeriesCache,
    pub settled: &'a [Known],
    pub received_at: i64,
}

/// The rows of a message that was accepted.
#[derive(Debug)]
pub(crate) struct Accepted<'a> {
    draft: &'a Draft,
    parts: Parts<'a>,
}

/// One row that was accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AcceptedRow<'a> {
    /// Number of the class in the catalog.
    pub class: usize,
    /// Number of the asset in its class.
    pub asset: u32,
    /// Event time, microseconds since 1970.
    pub time: i64,
    /// Receipt, microseconds since 1970.
    pub received_at: i64,
    /// Where its time stands against the asset's newest.
    pub order: Order,
    /// What it says.
    pub cells: Cells<'a>,
}

/// Says where every row stands, and brings together those of one asset and instant.
pub(super) fn classify<'a>(
    catalog: &mut Catalog,
    draft: &'a mut Draft,
    parts: Parts<'a>,
) -> Accepted<'a> {
    draft.orders.clear();
    let mut earlier: Option<HashMap<(u32, i64), usize>> = None;
    for place in 0..draft.rows.len() {
        let row = &draft.rows[place];
        let (class, asset, _) = parts.series(row.series);
        let newest = catalog.class_mut(class as usize).newest_mut(asset);
        let order = match row.time.cmp(newest) {
            std::cmp::Ordering::Greater => Order::Newer,
            std::cmp::Ordering::Equal => Order::Same,
            std::cmp::Ordering::Less => Order::Older,
        };
        *newest = row.time.max(*newest);
        // Only a row that is not newer can repeat a key of its own message.
        let mut twin = None;
        if order != Order::Newer && place > 0 {
            let known = earlier.get_or_insert_with(|| {
                let rows = draft.rows[..place].iter().enumerate();
                rows.map(|(place, row)| ((row.series, row.time), place))
                    .collect()
            });
            twin = known.get(&(row.series, row.time)).copied();
        }
        if let Some(twin) = twin {
            draft.orders.push(None);
            unite(draft, twin, place);
            continue;
        }
        if let Some(known) = &mut earlier {
            known.insert((row.series, row.time), place);
        }
        draft.orders.push(Some(order));
    }
    Accepted { draft, parts }
}

/// Adds the cells of a later row to an earlier one; the later value wins.
fn unite(draft: &mut Draft, earlier: usize, later: usize) {
    let (first, second) = (draft.rows[earlier].clone(), draft.rows[later].clone());
    let numbers = united(&mut draft.numbers, first.numbers, second.numbers);
    let texts = united(&mut draft.texts, first.texts, second.texts);
    draft.rows[earlier] = DraftRow {
        numbers,
        texts,
        ..first
    };
}

fn united<T: Copy>(cells: &mut Vec<(u32, T)>, first: (u32, u32), second: (u32, u32)) -> (u32, u32) {
    let from = cells.len();
    cells.extend_from_within(first.0 as usize..first.1 as usize);
    for place in second.0 as usize..second.1 as usize {
        let (column, value) = cells[place];
        match cells[from..].iter().position(|(known, _)| *known == column) {
            Some(known) => cells[from + known].1 = value,
            None => cells.push((column, value)),
        }
    }
    (from as u32, cells.len() as u32)
}

impl<'a> Parts<'a> {
    /// Class, asset and tags.
    #[inline]
    fn series(&self, id: u32) -> (u32, u32, Option<&'a Arc<TagSet>>) {
        let known = match id {
            TOPIC => {
                let (class, asset, _) = self.topic.expect("the series is the topic's");
                return (class, asset, None);
            }
            new if new & NEW != 0 => &self.settled[(new & !NEW) as usize],
            known => self.cache.get(known),
        };
        (known.class, known.asset, known.tags.as_ref())
    }
}

impl<'a> Accepted<'a> {
    /// The rows as they came.
    pub(crate) fn rows(&self) -> impl Iterator<Item = AcceptedRow<'a>> + '_ {
        let rows = self.draft.rows.iter().zip(&self.draft.orders);
        rows.filter_map(|(row, order)| {
            let (class, asset, tags) = self.parts.series(row.series);
            let of = |(from, to): (u32, u32)| from as usize..to as usize;
            Some(AcceptedRow {
                class: class as usize,
                asset,
                time: row.time,
                received_at: self.parts.received_at,
                order: (*order)?,
                cells: Cells {
                    numbers: &self.draft.numbers[of(row.numbers)],
                    texts: &self.draft.texts[of(row.texts)],
                    letters: &self.draft.letters,
                    tags,
                },
            })
        })
    }
}
