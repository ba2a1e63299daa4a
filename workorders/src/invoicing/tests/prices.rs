//! What work costs, how it is taxed, and why.

use rust_decimal::Decimal;

use super::check_table;
use crate::invoicing::*;
use crate::money::{Currency, Money, Rounding};
use crate::store::test_store::{at, ctx};

const FILE: &str = r#"
[[legal_entity]]
code = "T"
name = "Test"
country = "DE"
time_zone = "Europe/Berlin"
terms_days = 14

[[price_list]]
name = "old"
currency = "EUR"
valid_from = "2020-01-01"
travel = { flat = "50.00", included_minutes = 30, per_minute = "0.905" }
labor = [
  { skill = "*", per_hour = "90.00", minimum_minutes = 0, step_minutes = 15 },
  { skill = "mechanical", per_hour = "96.70", minimum_minutes = 60, step_minutes = 15 },
  { skill = "fine", per_hour = "100.01", minimum_minutes = 0, step_minutes = 3 },
]
part = [
  { code = "seal", name = "Seal", price = "0.115" },
  { code = "book", name = "Manual", price = "10.00", tax_category = "reduced" },
]

[[price_list]]
name = "new"
currency = "EUR"
valid_from = "2026-04-01"
labor = [{ skill = "mechanical", per_hour = "110.00", minimum_minutes = 0, step_minutes = 30 }]

[[price_list]]
name = "yen"
currency = "JPY"
valid_from = "2020-01-01"
labor = [{ skill = "*", per_hour = "9001", minimum_minutes = 0, step_minutes = 15 }]

[[price_list]]
name = "dinar"
currency = "KWD"
valid_from = "2020-01-01"
labor = [{ skill = "*", per_hour = "9.0011", minimum_minutes = 0, step_minutes = 15 }]

[[tax_rate]]
country = "DE"
category = "standard"
valid_from = "2007-01-01"
code = "DE-19"
rate = "0.19"
name = "19 %"

[[tax_rate]]
country = "DE"
category = "standard"
valid_from = "2020-07-01"
code = "DE-16"
rate = "0.16"
name = "16 %"

[[tax_rate]]
country = "DE"
category = "standard"
valid_from = "2021-01-01"
code = "DE-19"
rate = "0.19"
name = "19 %"

[[tax_rate]]
country = "DE"
category = "reduced"
valid_from = "2007-01-01"
code = "DE-7"
rate = "0.07"
name = "7 %"
"#;

/// `labor mechanical 47, part seal 3` as work lines.
fn work(text: &str) -> Vec<WorkLine> {
    let ctx = ctx(at("2026-03-02T07:00:00Z"));
    text.split(',')
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let [kind, code, quantity] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("a work line is kind, code and quantity: {line}")
            };
            WorkLine {
                id: crate::store::ids::WorkLineId::new(&ctx),
                kind: kind.parse().unwrap(),
                code: code.to_owned(),
                quantity: quantity.parse().unwrap(),
            }
        })
        .collect()
}

fn price(
    work_text: &str,
    currency: &str,
    country: &str,
    day: &str,
) -> Result<PricedDocument, PricingError> {
    let catalog = Catalog::parse(FILE).unwrap();
    let (currency, day) = (currency.parse().unwrap(), day.parse().unwrap());
    let list = list_in_force(&catalog.price_lists, currency, day).expect("a list in force");
    price_work(&work(work_text), list, &catalog.tax_rates, country, day)
}

#[test]
fn lines_are_priced() {
    let check = |cells: &[&str]| match price(cells[0], cells[1], "DE", cells[2]) {
        Ok(priced) => priced
            .lines
            .iter()
            .map(|line| {
                let (quantity, unit) = (line.quantity, line.unit);
                format!(
                    "{quantity} {unit} x {} = {}",
                    line.unit_price,
                    line.net.amount_text()
                )
            })
            .collect::<Vec<_>>()
            .join(", "),
        Err(error) => error.to_string().split(':').next().unwrap().to_owned(),
    };
    check_table(
        "
        labor mechanical 60   | EUR | 2026-03-02 => 1 hour x 96.70 = 96.70
        labor mechanical 1    | EUR | 2026-03-02 => 1 hour x 96.70 = 96.70
        labor mechanical 0    | EUR | 2026-03-02 => 1 hour x 96.70 = 96.70
        labor mechanical 61   | EUR | 2026-03-02 => 1.25 hour x 96.70 = 120.88
        labor mechanical 75   | EUR | 2026-03-02 => 1.25 hour x 96.70 = 120.88
        labor mechanical 76   | EUR | 2026-03-02 => 1.5 hour x 96.70 = 145.05
        labor other 20        | EUR | 2026-03-02 => 0.5 hour x 90.00 = 45.00
        labor other 0         | EUR | 2026-03-02 => there is nothing to bill
        labor other 0, labor other 1 | EUR | 2026-03-02 => 0 hour x 90.00 = 0.00, 0.25 hour x 90.00 = 22.50
        labor fine 1          | EUR | 2026-03-02 => 0.05 hour x 100.01 = 5.00
        labor mechanical 61   | EUR | 2026-03-31 => 1.25 hour x 96.70 = 120.88
        labor mechanical 61   | EUR | 2026-04-01 => 1.5 hour x 110.00 = 165.00
        labor any 15          | JPY | 2026-03-02 => 0.25 hour x 9001 = 2250
        labor any 30          | JPY | 2026-03-02 => 0.5 hour x 9001 = 4501
        labor any 30          | KWD | 2026-03-02 => 0.5 hour x 9.0011 = 4.501
        travel visit 30       | EUR | 2026-03-02 => 1 visit x 50.00 = 50.00
        travel visit 0        | EUR | 2026-03-02 => 1 visit x 50.00 = 50.00
        travel visit 31       | EUR | 2026-03-02 => 1 visit x 50.905 = 50.91
        part seal 1           | EUR | 2026-03-02 => 1 piece x 0.115 = 0.12
        part seal 3           | EUR | 2026-03-02 => 3 piece x 0.115 = 0.35
        part seal 0.5         | EUR | 2026-03-02 => 0.5 piece x 0.115 = 0.06
        part seal 1, part seal 1 | EUR | 2026-03-02 => 1 piece x 0.115 = 0.12, 1 piece x 0.115 = 0.12
        part nothing 1        | EUR | 2026-03-02 => the price list \"old\" has no price for part \"nothing\"; add it to a price list in EUR that is in force on the day of the work
        labor welding 10      | EUR | 2026-04-01 => the price list \"new\" has no price for labor \"welding\"; add it to a price list in EUR that is in force on the day of the work
        travel visit 10       | EUR | 2026-04-01 => the price list \"new\" has no price for travel \"visit\"; add it to a price list in EUR that is in force on the day of the work
        part seal -1          | EUR | 2026-03-02 => -1 is no quantity of part \"seal\"
        labor other -1        | EUR | 2026-03-02 => -1 is no quantity of labor \"other\"
        labor other 1.5       | EUR | 2026-03-02 => 1.5 is no quantity of labor \"other\"
                              | EUR | 2026-03-02 => there is nothing to bill
        ",
        check,
    );
}

#[test]
fn documents_are_taxed_on_the_sum_of_each_rate() {
    let check = |cells: &[&str]| match price(cells[0], "EUR", cells[1], cells[2]) {
        Ok(priced) => {
            let taxes: Vec<_> = priced
                .taxes
                .iter()
                .map(|tax| {
                    let (base, amount) = (tax.base.amount_text(), tax.tax.amount_text());
                    format!("{} on {base} is {amount}", tax.code)
                })
                .collect();
            let sums = [priced.net, priced.tax, priced.total].map(Money::amount_text);
            format!(
                "{}; {} + {} = {}",
                taxes.join(", "),
                sums[0],
                sums[1],
                sums[2]
            )
        }
        Err(error) => error.to_string(),
    };
    check_table(
        "
        labor other 60               | DE | 2026-03-02 => DE-19 on 90.00 is 17.10; 90.00 + 17.10 = 107.10
        labor other 60               | DE | 2020-06-30 => DE-19 on 90.00 is 17.10; 90.00 + 17.10 = 107.10
        labor other 60               | DE | 2020-07-01 => DE-16 on 90.00 is 14.40; 90.00 + 14.40 = 104.40
        labor other 60               | DE | 2020-12-31 => DE-16 on 90.00 is 14.40; 90.00 + 14.40 = 104.40
        labor other 60, part book 1  | DE | 2026-03-02 => DE-19 on 90.00 is 17.10, DE-7 on 10.00 is 0.70; 100.00 + 17.80 = 117.80
        part seal 1, part seal 1, part seal 1 | DE | 2026-03-02 => DE-19 on 0.36 is 0.07; 0.36 + 0.07 = 0.43
        labor fine 60, part seal 1   | DE | 2026-03-02 => DE-19 on 100.13 is 19.02; 100.13 + 19.02 = 119.15
        labor other 60               | XX | 2026-03-02 => no standard tax rate of country \"XX\" is in force on 2026-03-02; add one
        ",
        check,
    );
}

/// The classic difference: three lines of 0.12 taxed one by one would make 0.06, their sum 0.07.
#[test]
fn tax_is_not_the_sum_of_line_taxes() {
    let rate = Catalog::parse(FILE).unwrap().tax_rates.remove(2);
    let eur = |minor| Money::from_minor(minor, Currency::EUR);
    let lines = [(&rate, eur(12)), (&rate, eur(12)), (&rate, eur(12))];
    let totals = tax_per_rate(Currency::EUR, lines, Rounding::HalfAwayFromZero).unwrap();
    assert_eq!(totals[0].tax, eur(7));
    let one = tax_per_rate(
        Currency::EUR,
        lines[..1].to_vec(),
        Rounding::HalfAwayFromZero,
    );
    assert_eq!(one.unwrap()[0].tax, eur(2));
}

#[test]
fn every_step_is_explained() {
    let priced = price(
        "labor mechanical 47, travel visit 42",
        "EUR",
        "DE",
        "2026-03-02",
    )
    .unwrap();
    let told: Vec<_> = priced
        .lines
        .iter()
        .flat_map(|line| {
            line.steps
                .iter()
                .map(|step| format!("{}: {}", step.rule, step.text))
        })
        .collect();
    assert_eq!(
        told.join("\n"),
        "measured: 47 minutes worked\n\
         rounding_step: rounded up to 60 minutes in steps of 15\n\
         price_list: 1 hour at 96.70 EUR by price list \"old\" is 96.70 EUR\n\
         measured: 42 minutes of travel\n\
         call_out: flat 50.00 covers the first 30 minutes\n\
         travel_beyond: 12 minutes beyond at 0.905 add 10.860\n\
         price_list: 1 visit at 60.860 EUR by price list \"old\" is 60.86 EUR"
    );
    let short = price("labor mechanical 20", "EUR", "DE", "2026-03-02").unwrap();
    assert_eq!(short.lines[0].steps[2].text, "minimum charge is 60 minutes");
}

/// Peppol's line equation: quantity times price is the line's amount, for any time worked.
#[test]
fn hours_are_exact_for_every_minute() {
    for minutes in 1..=1_000 {
        let text = format!("labor fine {minutes}");
        let line = price(&text, "EUR", "DE", "2026-03-02")
            .unwrap()
            .lines
            .remove(0);
        let charged = line.quantity * Decimal::from(60);
        assert!(
            charged.fract().is_zero(),
            "{minutes} minutes became {} hours",
            line.quantity
        );
        assert!(charged >= Decimal::from(minutes) && charged < Decimal::from(minutes + 3));
        let exact = (line.quantity * line.unit_price)
            .round_dp_with_strategy(2, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
        assert_eq!(
            Decimal::new(line.net.minor(), 2),
            exact,
            "{minutes} minutes"
        );
    }
}

/// No line and no document moves more than the cap, so the ledger's sums stay far from overflow.
#[test]
fn amounts_out_of_all_proportion_are_refused() {
    let check = |work: &str, expected: &str| {
        let priced = price(work, "EUR", "DE", "2026-03-02");
        let told = match &priced {
            Ok(priced) => priced.total.to_string(),
            Err(error) => error.to_string(),
        };
        let refused = matches!(priced, Err(PricingError::TooLarge { .. }));
        assert_eq!(refused, expected != "taken", "{work}: {told}");
        assert!(!refused || told.starts_with(expected), "{work}: {told}");
    };
    check("part book 9000000000", "taken");
    check("part book 10000000001", "part \"book\" comes to");
    check("part book 9223372036854775", "part \"book\" comes to");
    // Each line is below the cap, their sum with its tax is not.
    check(
        "part book 6000000000, part book 6000000000",
        "the invoice comes to",
    );
}
