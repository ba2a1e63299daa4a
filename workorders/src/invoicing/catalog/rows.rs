//! The catalog in the store.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Catalog, LegalEntity};
use crate::invoicing::price_list::{LaborPrice, PartPrice, PriceList, TravelPrice};
use crate::invoicing::tax::TaxRate;
use crate::money::parse_decimal;
use crate::store::columns::{int, parsed, text};
use crate::store::ids::PriceListId;
use crate::store::{Ctx, StoreError, Tx};

/// A row of `prices`: every kind of price in one shape, what a kind has not is null.
struct PriceRow<'a> {
    kind: &'static str,
    code: &'a str,
    name: &'a str,
    unit_price: String,
    tax_category: &'a str,
    minimum_minutes: Option<i64>,
    step_minutes: Option<i64>,
    included_minutes: Option<i64>,
    per_minute: Option<String>,
}

/// Writes what is not there yet.
pub(super) async fn seed(catalog: &Catalog, tx: &mut Tx<'_>, ctx: &Ctx) -> Result<(), StoreError> {
    for (position, entity) in (1_i64..).zip(&catalog.legal_entities) {
        sqlx::query(
            "INSERT INTO legal_entities (code, name, country, time_zone, terms_days, position) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (code) DO NOTHING",
        )
        .bind(entity.code.as_str())
        .bind(entity.name.as_str())
        .bind(entity.country.as_str())
        .bind(entity.time_zone.name())
        .bind(i64::from(entity.terms_days))
        .bind(position)
        .execute(tx.conn())
        .await?;
    }
    for list in &catalog.price_lists {
        seed_list(list, tx, ctx).await?;
    }
    for rate in &catalog.tax_rates {
        sqlx::query(
            "INSERT INTO tax_rates (country, category, valid_from, code, rate, name) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (country, category, valid_from) DO NOTHING",
        )
        .bind(rate.country.as_str())
        .bind(rate.category.as_str())
        .bind(rate.valid_from.to_string())
        .bind(rate.code.as_str())
        .bind(rate.rate.to_string())
        .bind(rate.name.as_str())
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// A list is written whole or, when the store has one of that currency and day, not at all.
async fn seed_list(list: &PriceList, tx: &mut Tx<'_>, ctx: &Ctx) -> Result<(), StoreError> {
    let id = PriceListId::new(ctx);
    let written = sqlx::query(
        "INSERT INTO price_lists (id, name, currency, valid_from) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (currency, valid_from) DO NOTHING",
    )
    .bind(id.as_str())
    .bind(list.name.as_str())
    .bind(list.currency.code())
    .bind(list.valid_from.to_string())
    .execute(tx.conn())
    .await?;
    if written.rows_affected() == 0 {
        return Ok(());
    }
    for row in price_rows(list) {
        sqlx::query(
            "INSERT INTO prices (price_list_id, kind, code, name, unit_price, tax_category, \
             minimum_minutes, step_minutes, included_minutes, per_minute) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(id.as_str())
        .bind(row.kind)
        .bind(row.code)
        .bind(row.name)
        .bind(row.unit_price)
        .bind(row.tax_category)
        .bind(row.minimum_minutes)
        .bind(row.step_minutes)
        .bind(row.included_minutes)
        .bind(row.per_minute)
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

fn price_rows(list: &PriceList) -> Vec<PriceRow<'_>> {
    let labor = list.labor.iter().map(|price| PriceRow {
        kind: "labor",
        code: &price.skill,
        name: "Labor",
        unit_price: price.per_hour.to_string(),
        tax_category: crate::invoicing::tax::STANDARD,
        minimum_minutes: Some(i64::from(price.minimum_minutes)),
        step_minutes: Some(i64::from(price.step_minutes)),
        included_minutes: None,
        per_minute: None,
    });
    let travel = list.travel.iter().map(|price| PriceRow {
        kind: "travel",
        code: "visit",
        name: "Call-out and travel",
        unit_price: price.flat.to_string(),
        tax_category: crate::invoicing::tax::STANDARD,
        minimum_minutes: None,
        step_minutes: None,
        included_minutes: Some(i64::from(price.included_minutes)),
        per_minute: Some(price.per_minute.to_string()),
    });
    let parts = list.parts.iter().map(|price| PriceRow {
        kind: "part",
        code: &price.code,
        name: &price.name,
        unit_price: price.price.to_string(),
        tax_category: &price.tax_category,
        minimum_minutes: None,
        step_minutes: None,
        included_minutes: None,
        per_minute: None,
    });
    labor.chain(travel).chain(parts).collect()
}

/// Reads everything; the tables are small.
pub(super) async fn load(tx: &mut Tx<'_>) -> Result<Catalog, StoreError> {
    let entities = sqlx::query(
        "SELECT code, name, country, time_zone, terms_days FROM legal_entities ORDER BY position",
    )
    .fetch_all(tx.conn())
    .await?;
    let lists = sqlx::query("SELECT id, name, currency, valid_from FROM price_lists ORDER BY id")
        .fetch_all(tx.conn())
        .await?;
    let prices = sqlx::query(
        "SELECT price_list_id, kind, code, name, unit_price, tax_category, minimum_minutes, \
         step_minutes, included_minutes, per_minute FROM prices ORDER BY price_list_id, kind, code",
    )
    .fetch_all(tx.conn())
    .await?;
    let rates = sqlx::query(
        "SELECT country, category, valid_from, code, rate, name FROM tax_rates \
         ORDER BY country, category, valid_from",
    )
    .fetch_all(tx.conn())
    .await?;
    let mut by_id = HashMap::new();
    let mut price_lists = Vec::with_capacity(lists.len());
    for row in &lists {
        by_id.insert(text(row, "id")?, price_lists.len());
        price_lists.push(PriceList {
            name: text(row, "name")?,
            currency: parsed(row, "currency")?,
            valid_from: parsed(row, "valid_from")?,
            labor: Vec::new(),
            travel: None,
            parts: Vec::new(),
        });
    }
    for row in &prices {
        let list = by_id
            .get(&text(row, "price_list_id")?)
            .and_then(|at| price_lists.get_mut(*at));
        let list =
            list.ok_or_else(|| StoreError::unreadable("prices", "a price without a list"))?;
        read_price(row, list)?;
    }
    Ok(Catalog {
        legal_entities: entities.iter().map(read_entity).collect::<Result<_, _>>()?,
        price_lists,
        tax_rates: rates.iter().map(read_rate).collect::<Result<_, _>>()?,
    })
}

fn read_entity(row: &AnyRow) -> Result<LegalEntity, StoreError> {
    Ok(LegalEntity {
        code: text(row, "code")?,
        name: text(row, "name")?,
        country: text(row, "country")?,
        time_zone: parsed(row, "time_zone")?,
        terms_days: u16::try_from(int(row, "terms_days")?)
            .map_err(|error| StoreError::unreadable("legal_entities.terms_days", error))?,
    })
}

fn read_rate(row: &AnyRow) -> Result<TaxRate, StoreError> {
    Ok(TaxRate {
        country: text(row, "country")?,
        category: text(row, "category")?,
        valid_from: parsed(row, "valid_from")?,
        code: text(row, "code")?,
        rate: decimal(row, "rate")?,
        name: text(row, "name")?,
    })
}

fn read_price(row: &AnyRow, list: &mut PriceList) -> Result<(), StoreError> {
    let minutes = |column: &'static str| {
        u32::try_from(int(row, column)?).map_err(|error| StoreError::unreadable(column, error))
    };
    match text(row, "kind")?.as_str() {
        "labor" => list.labor.push(LaborPrice {
            skill: text(row, "code")?,
            per_hour: decimal(row, "unit_price")?,
            minimum_minutes: minutes("minimum_minutes")?,
            step_minutes: minutes("step_minutes")?,
        }),
        "travel" => {
            list.travel = Some(TravelPrice {
                flat: decimal(row, "unit_price")?,
                included_minutes: minutes("included_minutes")?,
                per_minute: decimal(row, "per_minute")?,
            });
        }
        "part" => list.parts.push(PartPrice {
            code: text(row, "code")?,
            name: text(row, "name")?,
            price: decimal(row, "unit_price")?,
            tax_category: text(row, "tax_category")?,
        }),
        other => return Err(StoreError::unreadable("prices.kind", format!("{other:?}"))),
    }
    Ok(())
}

/// A decimal column, read exactly.
fn decimal(row: &AnyRow, column: &'static str) -> Result<rust_decimal::Decimal, StoreError> {
    let text: String = row.try_get(column)?;
    parse_decimal(&text).map_err(|error| StoreError::unreadable(column, error))
}
