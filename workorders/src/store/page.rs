//! Pages of lists: a limit, and a cursor that is the last id seen.

use serde::Serialize;

/// Items of a page when the caller says nothing.
pub const DEFAULT_LIMIT: i64 = 50;
/// Items of a page at most.
pub const MAX_LIMIT: i64 = 500;

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Items at most.
    pub limit: i64,
    /// The last id of the page before; none for the first page.
    pub after: Option<String>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self {
            limit: DEFAULT_LIMIT,
            after: None,
        }
    }
}

impl PageRequest {
    /// A request for up to `limit` items after a cursor; the limit is brought within its bounds.
    pub fn new(limit: Option<i64>, cursor: Option<String>) -> Self {
        Self {
            limit: limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT),
            after: cursor.filter(|text| !text.is_empty()),
        }
    }

    /// The cursor as a value to bind: every id is greater than the empty text.
    pub fn after_or_start(&self) -> &str {
        self.after.as_deref().unwrap_or("")
    }

    /// One more than asked for, to know whether a next page exists.
    pub fn fetch_limit(&self) -> i64 {
        self.limit + 1
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page<T> {
    /// The items in the order of their ids, which is the order of time.
    pub items: Vec<T>,
    /// The cursor of the next page, none on the last one.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Cuts what was fetched with [`PageRequest::fetch_limit`] to a page.
    pub fn cut(request: &PageRequest, mut items: Vec<T>, id: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = if more { items.last().map(id) } else { None };
        Self { items, next_cursor }
    }
}
