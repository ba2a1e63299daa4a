//! The price file: TOML that people edit, checked as a whole.

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Deserialize;

use super::{Catalog, LegalEntity};
use crate::invoicing::price_list::{LaborPrice, PartPrice, PriceList, TravelPrice};
use crate::invoicing::tax::{STANDARD, TaxRate};
use crate::money::{Currency, Money, parse_decimal};

/// The price file that comes with the program.
pub const DEFAULT_PRICES: &str = include_str!("../../../seeds/prices.toml");

/// Decimals of a price at most, so that a product with any quantity stays exact.
const MAX_PRICE_DECIMALS: u32 = 6;
/// A unit costs less than this many currency units: what a document may come to.
const MAX_PRICE: i64 = Money::MAX_DOCUMENT_MINOR / 100;
/// Minutes of a minimum, a step or an included time at most: a day.
const MAX_MINUTES: u32 = 1_440;

/// Why a price file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The file is not TOML of the right shape.
    #[error("the price file is not readable: {0}")]
    Shape(String),
    /// The file says something impossible.
    #[error("the price file has {} mistake(s): {}", .0.len(), .0.join("; "))]
    Mistakes(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileToml {
    #[serde(default)]
    legal_entity: Vec<EntityToml>,
    #[serde(default)]
    price_list: Vec<ListToml>,
    #[serde(default)]
    tax_rate: Vec<TaxToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntityToml {
    code: String,
    name: String,
    country: String,
    time_zone: String,
    terms_days: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListToml {
    name: String,
    currency: String,
    valid_from: NaiveDate,
    #[serde(default)]
    labor: Vec<LaborToml>,
    travel: Option<TravelToml>,
    #[serde(default)]
    part: Vec<PartToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LaborToml {
    skill: String,
    per_hour: String,
    minimum_minutes: u32,
    step_minutes: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TravelToml {
    flat: String,
    included_minutes: u32,
    per_minute: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartToml {
    code: String,
    name: String,
    price: String,
    tax_category: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaxToml {
    country: String,
    category: String,
    valid_from: NaiveDate,
    code: String,
    rate: String,
    name: String,
}

/// Reads and checks a price file.
pub(super) fn parse(text: &str) -> Result<Catalog, CatalogError> {
    let file: FileToml =
        toml::from_str(text).map_err(|error| CatalogError::Shape(error.to_string()))?;
    let mut check = Check {
        mistakes: Vec::new(),
    };
    if file.legal_entity.is_empty() {
        check.mistake("there is no [[legal_entity]], so nobody can bill".to_owned());
    }
    let legal_entities = file
        .legal_entity
        .into_iter()
        .map(|raw| check.entity(raw))
        .collect();
    let price_lists: Vec<_> = file
        .price_list
        .into_iter()
        .filter_map(|raw| check.list(raw))
        .collect();
    let tax_rates: Vec<_> = file
        .tax_rate
        .into_iter()
        .map(|raw| check.tax(raw))
        .collect();
    check.unique(
        "price list",
        price_lists
            .iter()
            .map(|list| format!("{} from {}", list.currency, list.valid_from)),
    );
    check.unique(
        "tax rate",
        tax_rates
            .iter()
            .map(|r| format!("{} {} from {}", r.country, r.category, r.valid_from)),
    );
    if check.mistakes.is_empty() {
        return Ok(Catalog {
            legal_entities,
            price_lists,
            tax_rates,
        });
    }
    Err(CatalogError::Mistakes(check.mistakes))
}

/// Collects every mistake instead of stopping at the first.
struct Check {
    mistakes: Vec<String>,
}

impl Check {
    fn mistake(&mut self, text: String) {
        self.mistakes.push(text);
    }

    fn unique(&mut self, what: &str, keys: impl Iterator<Item = String>) {
        let mut keys: Vec<_> = keys.collect();
        keys.sort_unstable();
        for pair in keys.windows(2).filter(|pair| pair[0] == pair[1]) {
            self.mistakes
                .push(format!("{what} {} stands twice", pair[0]));
        }
    }

    fn entity(&mut self, raw: EntityToml) -> LegalEntity {
        let named = !raw.code.is_empty() && raw.code.bytes().all(|b| b.is_ascii_alphanumeric());
        if !named {
            self.mistake(format!(
                "legal entity code {:?} must be letters and digits",
                raw.code
            ));
        }
        self.country(&raw.country);
        if raw.terms_days > 365 {
            self.mistake(format!(
                "terms of {} days are more than a year",
                raw.terms_days
            ));
        }
        let time_zone = raw.time_zone.parse().unwrap_or_else(|_| {
            self.mistake(format!(
                "{:?} is no time zone such as Europe/Berlin",
                raw.time_zone
            ));
            chrono_tz::UTC
        });
        LegalEntity {
            code: raw.code,
            name: raw.name,
            country: raw.country,
            time_zone,
            terms_days: raw.terms_days,
        }
    }

    fn list(&mut self, raw: ListToml) -> Option<PriceList> {
        let currency = match raw.currency.parse::<Currency>() {
            Ok(currency) => Some(currency),
            Err(error) => {
                self.mistake(format!("price list {:?}: {error}", raw.name));
                None
            }
        };
        let labor: Vec<_> = raw
            .labor
            .into_iter()
            .map(|labor| self.labor(labor))
            .collect();
        let travel = raw.travel.map(|travel| TravelPrice {
            flat: self.price("travel flat", &travel.flat),
            included_minutes: self.minutes("travel included_minutes", travel.included_minutes),
            per_minute: self.price("travel per_minute", &travel.per_minute),
        });
        let parts: Vec<_> = raw
            .part
            .into_iter()
            .map(|part| PartPrice {
                price: self.price(&format!("part {:?}", part.code), &part.price),
                tax_category: part.tax_category.unwrap_or_else(|| STANDARD.to_owned()),
                code: part.code,
                name: part.name,
            })
            .collect();
        self.unique(
            "labor of skill",
            labor.iter().map(|labor| labor.skill.clone()),
        );
        self.unique("part", parts.iter().map(|part| part.code.clone()));
        Some(PriceList {
            name: raw.name,
            currency: currency?,
            valid_from: raw.valid_from,
            labor,
            travel,
            parts,
        })
    }

    fn labor(&mut self, raw: LaborToml) -> LaborPrice {
        if raw.step_minutes == 0 || !raw.step_minutes.is_multiple_of(3) {
            self.mistake(format!(
                "labor {:?}: step_minutes is {}, it must be a multiple of 3 above zero",
                raw.skill, raw.step_minutes
            ));
        }
        LaborPrice {
            per_hour: self.price(&format!("labor {:?}", raw.skill), &raw.per_hour),
            minimum_minutes: self.minutes("minimum_minutes", raw.minimum_minutes),
            step_minutes: self.minutes("step_minutes", raw.step_minutes),
            skill: raw.skill,
        }
    }

    fn tax(&mut self, raw: TaxToml) -> TaxRate {
        self.country(&raw.country);
        let rate = self.price(&format!("tax rate {:?}", raw.code), &raw.rate);
        if rate > Decimal::ONE {
            self.mistake(format!(
                "tax rate {:?} is {rate}: write 0.19 for 19 %",
                raw.code
            ));
        }
        TaxRate {
            country: raw.country,
            category: raw.category,
            valid_from: raw.valid_from,
            code: raw.code,
            rate,
            name: raw.name,
        }
    }

    fn country(&mut self, country: &str) {
        if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            self.mistake(format!(
                "{country:?} is no country: write two capital letters"
            ));
        }
    }

    fn minutes(&mut self, what: &str, minutes: u32) -> u32 {
        if minutes > MAX_MINUTES {
            self.mistake(format!("{what} of {minutes} is more than a day"));
        }
        minutes
    }

    fn price(&mut self, what: &str, text: &str) -> Decimal {
        let price = match parse_decimal(text) {
            Ok(price) => price,
            Err(error) => {
                self.mistake(format!("{what}: {error}"));
                return Decimal::ZERO;
            }
        };
        if price.is_sign_negative() || price.scale() > MAX_PRICE_DECIMALS {
            self.mistake(format!(
                "{what}: {price} must not be negative nor have more than {MAX_PRICE_DECIMALS} \
                 decimals"
            ));
        }
        if price > Decimal::from(MAX_PRICE) {
            self.mistake(format!("{what}: {price} is more than {MAX_PRICE}"));
        }
        price
    }
}
