//! A price list: what an hour, a visit and a part cost in one currency from one day on.

use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::money::Currency;

/// The skill whose price holds for every skill without a line of its own.
pub const ANY_SKILL: &str = "*";

/// Prices in one currency, in force from one day on.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceList {
    /// Its name, as the customer sees it in the explanation of a line.
    pub name: String,
    /// The currency of every price in it.
    pub currency: Currency,
    /// The first day on which it counts.
    pub valid_from: NaiveDate,
    /// Prices of labor by skill.
    pub labor: Vec<LaborPrice>,
    /// The price of a visit.
    pub travel: Option<TravelPrice>,
    /// Prices of parts by code.
    pub parts: Vec<PartPrice>,
}

/// What an hour of a skill costs.
#[derive(Debug, Clone, PartialEq)]
pub struct LaborPrice {
    /// The skill, or [`ANY_SKILL`].
    pub skill: String,
    /// Currency units per hour.
    pub per_hour: Decimal,
    /// Minutes that are charged in any case.
    pub minimum_minutes: u32,
    /// Minutes are rounded up to a multiple of this; itself a multiple of 3.
    pub step_minutes: u32,
}

/// What a visit costs: call-out and travel.
#[derive(Debug, Clone, PartialEq)]
pub struct TravelPrice {
    /// Currency units per visit.
    pub flat: Decimal,
    /// Minutes of travel that the flat price covers.
    pub included_minutes: u32,
    /// Currency units for each minute beyond.
    pub per_minute: Decimal,
}

/// What one piece of a part costs.
#[derive(Debug, Clone, PartialEq)]
pub struct PartPrice {
    /// The code that the technician reports.
    pub code: String,
    /// The name on the invoice.
    pub name: String,
    /// Currency units per piece.
    pub price: Decimal,
    /// The tax category, `standard` unless said otherwise.
    pub tax_category: String,
}

impl PriceList {
    /// The price of labor of `skill`: its own line, else the line for any skill.
    pub fn labor(&self, skill: &str) -> Option<&LaborPrice> {
        let of = |wanted: &str| self.labor.iter().find(|price| price.skill == wanted);
        of(skill).or_else(|| of(ANY_SKILL))
    }

    /// The price of the part `code`.
    pub fn part(&self, code: &str) -> Option<&PartPrice> {
        self.parts.iter().find(|price| price.code == code)
    }
}

/// The newest list in `currency` whose first day has come on `day`.
pub fn list_in_force(
    lists: &[PriceList],
    currency: Currency,
    day: NaiveDate,
) -> Option<&PriceList> {
    lists
        .iter()
        .filter(|list| list.currency == currency && list.valid_from <= day)
        .max_by_key(|list| list.valid_from)
}
