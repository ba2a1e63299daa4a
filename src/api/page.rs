//! Lists: so many at a time, and a cursor to go on from.
//!
//! A cursor is opaque to the caller: it names the list and the sort key of the last item, so that
//! rows which are added meanwhile neither hide nor repeat another.

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use fieldwright_workorders::store::page as store_page;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::{MALFORMED, Problem};

/// How many items a page has when nobody says.
pub const DEFAULT_LIMIT: u32 = 50;
/// How many items a page can have.
pub const MAX_LIMIT: u32 = store_page::MAX_LIMIT as u32;

/// The cursor of the next page, on its way to the `Link` header.
#[derive(Debug, Clone)]
struct NextPage(String);

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Send it as `cursor` to get the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// The part of a list that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The name of the list, part of its cursors.
    list: &'static str,
    /// How many items at most.
    pub limit: usize,
    /// The sort key of the last item that the caller has.
    pub after: Option<String>,
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The query of a request: a parameter that the route does not know is refused with 400.
#[derive(Debug)]
pub struct Parameters<T>(pub T);

impl Part {
    /// The part of the list of this name.
    ///
    /// **Errors**: 400 when the limit is out of range or the cursor is not one of this list.
    pub fn window(&self, list: &'static str) -> Result<Window, Problem> {
        Window::read(list, self.limit, self.cursor.as_deref())
    }
}

impl Window {
    /// Reads `limit` and `cursor`.
    ///
    /// **Errors**: 400 when the limit is out of range or the cursor is not one of this list.
    pub fn read(
        list: &'static str,
        limit: Option<u32>,
        cursor: Option<&str>,
    ) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::new(
                MALFORMED,
                format!("limit is {limit}; it must lie between 1 and {MAX_LIMIT}"),
            ));
        }
        let after = cursor.map(|cursor| decode(list, cursor)).transpose()?;
        Ok(Self {
            list,
            limit: limit as usize,
            after,
        })
    }

    /// The same window for a list of the operational store.
    pub fn request(&self) -> store_page::PageRequest {
        store_page::PageRequest {
            limit: self.limit as i64,
            after: self.after.clone(),
        }
    }

    /// Shows a page of the operational store.
    pub fn shown<T, U>(&self, page: store_page::Page<T>, item: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: page.items.into_iter().map(item).collect(),
            next_cursor: page.next_cursor.map(|key| encode(self.list, &key)),
        }
    }

    /// How many rows to fetch: one more than asked for tells whether another page follows.
    pub fn fetch(&self) -> usize {
        self.limit + 1
    }

    /// Makes the page from the rows that were fetched; `key` is a row's sort key.
    pub fn page<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> String) -> Page<T> {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next_cursor = rows
            .last()
            .filter(|_| more)
            .map(|last| encode(self.list, &key(last)));
        Page {
            items: rows,
            next_cursor,
        }
    }

    /// Makes the page from a complete list that is sorted by `key`.
    pub fn page_of_all<T>(&self, all: Vec<T>, key: impl Fn(&T) -> String) -> Page<T> {
        let rows = all
            .into_iter()
            .filter(|row| self.after.as_ref().is_none_or(|after| key(row) > *after))
            .take(self.fetch())
            .collect();
        self.page(rows, key)
    }
}

impl<T> Page<T> {
    /// The same page with other items.
    pub fn map<U>(self, item: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(item).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let next = self.next_cursor.clone().map(NextPage);
        let mut response = Json(self).into_response();
        if let Some(next) = next {
            response.extensions_mut().insert(next);
        }
        response
    }
}

/// Adds `Link: <…>; rel="next"` to a page that is not the last one.
pub fn add_link(response: &mut Response, path: &str, query: Option<&str>) {
    let Some(NextPage(cursor)) = response.extensions_mut().remove() else {
        return;
    };
    let others = query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let mut target = format!("{path}?cursor={cursor}");
    for pair in others {
        target.push('&');
        target.push_str(pair);
    }
    if let Ok(link) = HeaderValue::try_from(format!("<{target}>; rel=\"next\"")) {
        response.headers_mut().insert(header::LINK, link);
    }
}

impl<S: Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Problem::new(MALFORMED, rejection.body_text())),
        }
    }
}

fn encode(list: &str, key: &str) -> String {
    let mut cursor = String::with_capacity((list.len() + key.len() + 1) * 2);
    for byte in format!("{list}|{key}").bytes() {
        cursor.push_str(&format!("{byte:02x}"));
    }
    cursor
}

fn decode(list: &str, cursor: &str) -> Result<String, Problem> {
    let refused = || {
        Problem::new(
            MALFORMED,
            "this cursor is not one of this list; take it from next_cursor, or leave it out",
        )
    };
    let bytes = cursor
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let digits = std::str::from_utf8(pair)
                .ok()
                .filter(|text| text.len() == 2)?;
            u8::from_str_radix(digits, 16).ok()
        })
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(refused)?;
    let text = String::from_utf8(bytes).map_err(|_| refused())?;
    match text.split_once('|') {
        Some((of, key)) if of == list => Ok(key.to_owned()),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks a list page by page and tells the sizes of the pages.
    fn check(count: u32, limit: u32, sizes: &[usize]) {
        let all: Vec<String> = (0..count).map(|n| format!("{n:04}")).collect();
        let (mut seen, mut cursor, mut pages) = (Vec::new(), None::<String>, Vec::new());
        loop {
            let window = Window::read("things", Some(limit), cursor.as_deref()).unwrap();
            let page = window.page_of_all(all.clone(), String::clone);
            pages.push(page.items.len());
            seen.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
        assert_eq!(pages, sizes);
    }

    #[test]
    fn every_item_is_on_one_page() {
        check(0, 3, &[0]);
        check(3, 3, &[3]);
        check(4, 3, &[3, 1]);
        check(6, 3, &[3, 3]);
    }

    #[test]
    fn wrong_windows_are_refused() {
        let foreign = encode("others", "7");
        for (limit, cursor) in [
            (Some(0), None),
            (Some(MAX_LIMIT + 1), None),
            (None, Some("zz")),
            (None, Some("é")),
            (None, Some("616")),
            (None, Some(foreign.as_str())),
        ] {
            let problem = Window::read("things", limit, cursor).unwrap_err();
            assert_eq!(problem.status(), MALFORMED.status, "{limit:?} {cursor:?}");
        }
    }
}
