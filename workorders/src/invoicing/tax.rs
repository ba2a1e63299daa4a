//! Tax: the rate by country, category and day, charged on the summed base of each rate.

use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::money::{Currency, Money, MoneyError, Rate, RateError, Rounding};

/// The tax category of everything that no price says otherwise about.
pub const STANDARD: &str = "standard";

/// A tax rate of a country, in force from one day on.
#[derive(Debug, Clone, PartialEq)]
pub struct TaxRate {
    /// ISO 3166 country of the place of supply.
    pub country: String,
    /// The kind of supply, for example `standard` or `reduced`.
    pub category: String,
    /// The first day on which it counts.
    pub valid_from: NaiveDate,
    /// The code in the ledger.
    pub code: String,
    /// Tax per unit of the base, for example 0.19.
    pub rate: Decimal,
    /// The name on the invoice.
    pub name: String,
}

/// Tax of one rate on one document.
#[derive(Debug, Clone, PartialEq)]
pub struct TaxTotal {
    /// The code of the rate.
    pub code: String,
    /// The name on the invoice.
    pub name: String,
    /// Tax per unit of the base.
    pub rate: Decimal,
    /// The sum of the net amounts taxed at this rate.
    pub base: Money,
    /// The tax on that sum.
    pub tax: Money,
}

/// Why a document's tax can not be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaxError {
    /// The sum of the base overflows.
    #[error("the amounts taxed at one rate do not sum")]
    SumBase(#[from] MoneyError),
    /// The product overflows.
    #[error("the tax on a base is too large to be kept")]
    MultiplyBase(#[from] RateError),
}

/// The newest rate of `country` and `category` whose first day has come on `day`.
pub fn rate_in_force<'a>(
    rates: &'a [TaxRate],
    country: &str,
    category: &str,
    day: NaiveDate,
) -> Option<&'a TaxRate> {
    rates
        .iter()
        .filter(|rate| rate.country == country && rate.category == category)
        .filter(|rate| rate.valid_from <= day)
        .max_by_key(|rate| rate.valid_from)
}

/// Tax per rate on the summed base, in order of first appearance.
///
/// **Source**: EN 16931, BR-CO-17: the tax of a category is its taxable amount times its rate,
/// rounded once; it is not the sum of rounded line taxes.
/// **Errors**: sums or products that leave 64 bits.
pub fn tax_per_rate<'a>(
    currency: Currency,
    lines: impl IntoIterator<Item = (&'a TaxRate, Money)>,
    rounding: Rounding,
) -> Result<Vec<TaxTotal>, TaxError> {
    let mut totals: Vec<TaxTotal> = Vec::new();
    for (rate, net) in lines {
        match totals
            .iter_mut()
            .find(|total| total.code == rate.code && total.rate == rate.rate)
        {
            Some(total) => total.base = total.base.plus(net)?,
            None => totals.push(TaxTotal {
                code: rate.code.clone(),
                name: rate.name.clone(),
                rate: rate.rate,
                base: net,
                tax: Money::zero(currency),
            }),
        }
    }
    for total in &mut totals {
        let base = Decimal::new(total.base.minor(), currency.decimals());
        total.tax = Rate::new(total.rate, currency).times(base, rounding)?;
    }
    Ok(totals)
}
