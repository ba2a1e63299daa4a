//! The price build-up: from what was done to priced, explained and taxed lines. Pure.
//!
//! The order of the steps is fixed: measured quantity, rounding step, minimum charge, price list,
//! line amount, then tax per rate on the summed base. Each step leaves a sentence on the line.

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::price_list::{LaborPrice, PartPrice, PriceList, TravelPrice};
use super::tax::{STANDARD, TaxError, TaxRate, TaxTotal, rate_in_force, tax_per_rate};
use super::work::{WorkLine, WorkLineKind};
use crate::money::{Money, MoneyError, Rate, RateError, Rounding};

/// The rounding of every line amount and every tax on an invoice.
pub const ROUNDING: Rounding = Rounding::HalfAwayFromZero;

/// One sentence of the explanation that the customer may read on a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which rule spoke, for example `minimum_charge`.
    pub rule: String,
    /// What it said.
    pub text: String,
}

/// A billed line: quantity times unit price is its net amount, always.
#[derive(Debug, Clone, PartialEq)]
pub struct PricedLine {
    /// What kind of work it bills.
    pub kind: WorkLineKind,
    /// The skill or part code.
    pub code: String,
    /// The text on the invoice.
    pub description: String,
    /// How many units are billed.
    pub quantity: Decimal,
    /// The unit: `hour`, `visit` or `piece`.
    pub unit: &'static str,
    /// Currency units per unit.
    pub unit_price: Decimal,
    /// Quantity times unit price, rounded once.
    pub net: Money,
    /// The code of the tax rate.
    pub tax_code: String,
    /// How the amount came about.
    pub steps: Vec<Step>,
}

/// A whole document, priced and taxed; its lines stand in the order of the work lines.
#[derive(Debug, Clone, PartialEq)]
pub struct PricedDocument {
    /// One line per work line.
    pub lines: Vec<PricedLine>,
    /// Tax per rate.
    pub taxes: Vec<TaxTotal>,
    /// The sum of the lines.
    pub net: Money,
    /// The sum of the taxes.
    pub tax: Money,
    /// What the customer owes.
    pub total: Money,
}

/// Why work can not be priced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PricingError {
    /// No work line.
    #[error("there is nothing to bill: the order has no work line; record labor or a part first")]
    NothingToBill,
    /// Lines, but no amount.
    #[error("there is nothing to bill: the work comes to {0}; correct the work lines or prices")]
    ComesToNothing(Money),
    /// The list has no price for it.
    #[error(
        "the price list {list:?} has no price for {kind} {code:?}; \
         add it to a price list in {currency} that is in force on the day of the work"
    )]
    NoPrice {
        /// The name of the price list.
        list: String,
        /// What kind of work.
        kind: WorkLineKind,
        /// The skill or part code.
        code: String,
        /// The currency of the list.
        currency: crate::money::Currency,
    },
    /// The tax table has no rate.
    #[error("no {category} tax rate of country {country:?} is in force on {day}; add one")]
    NoTaxRate {
        /// The country of the site.
        country: String,
        /// The tax category.
        category: String,
        /// The day of the work.
        day: NaiveDate,
    },
    /// A quantity that can not be billed.
    #[error("{quantity} is no quantity of {kind} {code:?}: it must be zero or more, minutes whole")]
    Quantity {
        /// What kind of work.
        kind: WorkLineKind,
        /// The skill or part code.
        code: String,
        /// The quantity as reported.
        quantity: Decimal,
    },
    /// A line or the document moves more than any may.
    #[error("{what} comes to {amount}, and may come to at most {most}; correct quantity or price")]
    TooLarge {
        /// A line, in words, or the invoice.
        what: String,
        /// What it comes to.
        amount: Money,
        /// The most.
        most: Money,
    },
    /// The amounts of the document do not sum.
    #[error("the amounts of the document do not sum")]
    Sum(#[from] MoneyError),
    /// A line amount overflows.
    #[error("a line amount is too large to be kept")]
    Multiply(#[from] RateError),
    /// The tax can not be told.
    #[error("the tax of the document can not be told")]
    Tax(#[from] TaxError),
}

/// Prices `work` by `list`, taxed as a supply in `country` on `day`.
///
/// **Errors**: nothing to bill, a missing price or rate, an impossible quantity, an amount above
/// [`Money::MAX_DOCUMENT_MINOR`], an overflow.
pub fn price_work(
    work: &[WorkLine],
    list: &PriceList,
    rates: &[TaxRate],
    country: &str,
    day: NaiveDate,
) -> Result<PricedDocument, PricingError> {
    if work.is_empty() {
        return Err(PricingError::NothingToBill);
    }
    let mut lines = Vec::with_capacity(work.len());
    let mut taxed = Vec::with_capacity(work.len());
    for line in work {
        let (mut priced, category) = price_line(line, list)?;
        let rate = rate_in_force(rates, country, category, day).ok_or_else(|| {
            PricingError::NoTaxRate {
                country: country.to_owned(),
                category: category.to_owned(),
                day,
            }
        })?;
        priced.tax_code.clone_from(&rate.code);
        taxed.push((rate, priced.net));
        lines.push(priced);
    }
    let taxes = tax_per_rate(list.currency, taxed, ROUNDING)?;
    let net = Money::sum(list.currency, lines.iter().map(|line| line.net))?;
    let tax = Money::sum(list.currency, taxes.iter().map(|total| total.tax))?;
    let total = net.plus(tax)?;
    within_cap("the invoice", total)?;
    if total.minor() <= 0 {
        return Err(PricingError::ComesToNothing(total));
    }
    Ok(PricedDocument {
        lines,
        taxes,
        net,
        tax,
        total,
    })
}

/// What a rule of one kind of work makes of a line, before the amount is formed.
struct Billed<'a> {
    description: String,
    quantity: Decimal,
    unit: &'static str,
    unit_price: Decimal,
    category: &'a str,
    steps: Vec<Step>,
}

fn price_line<'a>(
    line: &WorkLine,
    list: &'a PriceList,
) -> Result<(PricedLine, &'a str), PricingError> {
    let no_price = || PricingError::NoPrice {
        list: list.name.clone(),
        kind: line.kind,
        code: line.code.clone(),
        currency: list.currency,
    };
    let mut billed = match line.kind {
        WorkLineKind::Labor => {
            let price = list.labor(&line.code).ok_or_else(no_price)?;
            bill_labor(line, whole_minutes(line)?, price)
        }
        WorkLineKind::Travel => {
            let price = list.travel.as_ref().ok_or_else(no_price)?;
            bill_travel(whole_minutes(line)?, price)
        }
        WorkLineKind::Part => {
            let price = list.part(&line.code).ok_or_else(no_price)?;
            bill_part(line, price)?
        }
    };
    let net = Rate::new(billed.unit_price, list.currency).times(billed.quantity, ROUNDING)?;
    within_cap(&format!("{} {:?}", line.kind, line.code), net)?;
    billed.steps.push(step(
        "price_list",
        format!(
            "{} {} at {} {} by price list {:?} is {net}",
            billed.quantity, billed.unit, billed.unit_price, list.currency, list.name
        ),
    ));
    let priced = PricedLine {
        kind: line.kind,
        code: line.code.clone(),
        description: billed.description,
        quantity: billed.quantity,
        unit: billed.unit,
        unit_price: billed.unit_price,
        net,
        tax_code: String::new(),
        steps: billed.steps,
    };
    Ok((priced, billed.category))
}

/// Refuses what no line and no document may move.
fn within_cap(what: &str, amount: Money) -> Result<(), PricingError> {
    if !amount.exceeds_document() {
        return Ok(());
    }
    Err(PricingError::TooLarge {
        what: what.to_owned(),
        amount,
        most: Money::most(amount.currency()),
    })
}

/// Labor: minutes rounded up to the step, at least the minimum, at the hourly price.
fn bill_labor(line: &WorkLine, worked: u64, price: &LaborPrice) -> Billed<'static> {
    let mut steps = vec![step("measured", format!("{worked} minutes worked"))];
    let step_minutes = u64::from(price.step_minutes.max(1));
    let rounded = worked.div_ceil(step_minutes) * step_minutes;
    if rounded != worked {
        let text = format!("rounded up to {rounded} minutes in steps of {step_minutes}");
        steps.push(step("rounding_step", text));
    }
    let minimum = u64::from(price.minimum_minutes).div_ceil(step_minutes) * step_minutes;
    let charged = rounded.max(minimum);
    if charged != rounded {
        steps.push(step(
            "minimum_charge",
            format!("minimum charge is {minimum} minutes"),
        ));
    }
    Billed {
        description: format!("Labor, {}", line.code),
        quantity: hours(charged),
        unit: "hour",
        unit_price: price.per_hour,
        category: STANDARD,
        steps,
    }
}

/// Travel: one visit at the flat price, minutes beyond the included ones on top.
fn bill_travel(traveled: u64, price: &TravelPrice) -> Billed<'static> {
    let included = u64::from(price.included_minutes);
    let mut steps = vec![
        step("measured", format!("{traveled} minutes of travel")),
        step(
            "call_out",
            format!("flat {} covers the first {included} minutes", price.flat),
        ),
    ];
    let beyond = traveled.saturating_sub(included);
    let extra = price.per_minute * Decimal::from(beyond);
    if beyond > 0 {
        let text = format!(
            "{beyond} minutes beyond at {} add {extra}",
            price.per_minute
        );
        steps.push(step("travel_beyond", text));
    }
    Billed {
        description: "Call-out and travel".to_owned(),
        quantity: Decimal::ONE,
        unit: "visit",
        unit_price: price.flat + extra,
        category: STANDARD,
        steps,
    }
}

/// A part: pieces at the list price.
fn bill_part<'a>(line: &WorkLine, price: &'a PartPrice) -> Result<Billed<'a>, PricingError> {
    if line.quantity.is_sign_negative() {
        return Err(quantity_error(line));
    }
    Ok(Billed {
        description: price.name.clone(),
        quantity: line.quantity.normalize(),
        unit: "piece",
        unit_price: price.price,
        category: &price.tax_category,
        steps: vec![step(
            "measured",
            format!("{} used", line.quantity.normalize()),
        )],
    })
}

/// Minutes as hours; exact, because a charged time is a multiple of 3 minutes (0.05 h).
fn hours(minutes: u64) -> Decimal {
    Decimal::new((minutes / 3).min(i64::MAX as u64) as i64 * 5, 2).normalize()
}

fn whole_minutes(line: &WorkLine) -> Result<u64, PricingError> {
    let minutes = u32::try_from(line.quantity).map_err(|_| quantity_error(line))?;
    if !line.quantity.fract().is_zero() || line.quantity.is_sign_negative() {
        return Err(quantity_error(line));
    }
    Ok(u64::from(minutes))
}

fn quantity_error(line: &WorkLine) -> PricingError {
    PricingError::Quantity {
        kind: line.kind,
        code: line.code.clone(),
        quantity: line.quantity,
    }
}

fn step(rule: &str, text: String) -> Step {
    Step {
        rule: rule.to_owned(),
        text,
    }
}
