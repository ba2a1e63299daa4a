//! Invoice numbers: 1..n per legal entity, document and year, without a gap.

use chrono::{Datelike, NaiveDate};

use crate::store::columns::{int, parsed};
use crate::store::{StoreError, Tx};

/// A number that was given, with the day that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numbered {
    /// The year of the series.
    pub year: i64,
    /// The position in the series.
    pub series_number: i64,
    /// The number as people write it, for example `FW-2026-000001`.
    pub number: String,
    /// The day of issue: today, but never before the day of the number before.
    pub issued_on: NaiveDate,
}

/// Takes the next invoice number; the series' row stays locked until the transaction ends.
///
/// A number that is rolled back is given again, so there is no gap; call it as late as possible,
/// because every other posting waits behind it.
///
/// **Source**: French rules ask for an unbroken chronological series (CGI ann. II, 242 nonies A).
/// **Errors** when the store fails.
pub(super) async fn next_invoice_number(
    tx: &mut Tx<'_>,
    legal_entity: &str,
    today: NaiveDate,
) -> Result<Numbered, StoreError> {
    let year = i64::from(today.year());
    let row = sqlx::query(
        "INSERT INTO number_series (legal_entity, document, year, last_number, last_issued_on) \
         VALUES ($1, 'invoice', $2, 1, $3) \
         ON CONFLICT (legal_entity, document, year) DO UPDATE SET \
         last_number = number_series.last_number + 1, \
         last_issued_on = CASE WHEN excluded.last_issued_on > number_series.last_issued_on \
         THEN excluded.last_issued_on ELSE number_series.last_issued_on END \
         RETURNING last_number, last_issued_on",
    )
    .bind(legal_entity)
    .bind(year)
    .bind(today.to_string())
    .fetch_one(tx.conn())
    .await?;
    let series_number = int(&row, "last_number")?;
    Ok(Numbered {
        year,
        series_number,
        number: format!("{legal_entity}-{year}-{series_number:06}"),
        issued_on: parsed(&row, "last_issued_on")?,
    })
}
