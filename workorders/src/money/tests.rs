//! Money as decision tables: each line is one case; `check` knows the API, the tables do not.

use super::*;

/// Runs `check` on every line of `table`, cells split at `|`, and names the line that failed.
fn check_table(table: &str, check: impl Fn(&[&str]) -> String) {
    let mut cases = 0;
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (given, expected) = line.rsplit_once("=>").expect("a case has an arrow");
        let cells: Vec<&str> = given.split('|').map(str::trim).collect();
        assert_eq!(check(&cells), expected.trim(), "in the case: {line}");
        cases += 1;
    }
    assert!(cases > 0, "the table is empty");
}

fn money(text: &str) -> Money {
    let (amount, currency) = text.split_once(' ').expect("an amount and a currency");
    Money::parse(amount, currency.parse().expect("a currency")).expect("an amount")
}

#[test]
fn amounts_are_read_and_written() {
    let check = |cells: &[&str]| {
        let currency = match cells[1].parse::<Currency>() {
            Ok(currency) => currency,
            Err(CurrencyError::Unknown(_)) => return "unknown currency".to_owned(),
        };
        match Money::parse(cells[0], currency) {
            Ok(money) => format!("{} {money}", money.minor()),
            Err(MoneyError::NotAnAmount { .. }) => "no amount".to_owned(),
            Err(MoneyError::Overflow) => "overflow".to_owned(),
            Err(other) => format!("{other:?}"),
        }
    };
    check_table(
        "
        129.50                | EUR => 12950 129.50 EUR
        129.5                 | EUR => 12950 129.50 EUR
        0.05                  | EUR => 5 0.05 EUR
        -0.05                 | EUR => -5 -0.05 EUR
        7                     | EUR => 700 7.00 EUR
        007                   | EUR => 700 7.00 EUR
        1200                  | JPY => 1200 1200 JPY
        1.234                 | KWD => 1234 1.234 KWD
        -92233720368547758.08 | EUR => -9223372036854775808 -92233720368547758.08 EUR
        92233720368547758.08  | EUR => overflow
        1.005                 | EUR => no amount
        1.5                   | JPY => no amount
        1.                    | EUR => no amount
        .5                    | EUR => no amount
        +1                    | EUR => no amount
        --1                   | EUR => no amount
        1,50                  | EUR => no amount
        1e2                   | EUR => no amount
        -                     | EUR => no amount
                              | EUR => no amount
        1.-5                  | EUR => no amount
        NaN                   | EUR => no amount
        1.00                  | eur => unknown currency
        1.00                  | XXX => unknown currency
        ",
        check,
    );
}

#[test]
fn sums_and_differences() {
    let check = |cells: &[&str]| {
        let result = match cells[1] {
            "+" => money(cells[0]).plus(money(cells[2])),
            _ => money(cells[0]).minus(money(cells[2])),
        };
        match result {
            Ok(money) => money.to_string(),
            Err(MoneyError::Overflow) => "overflow".to_owned(),
            Err(MoneyError::CurrencyMismatch { .. }) => "other currency".to_owned(),
            Err(other) => format!("{other:?}"),
        }
    };
    check_table(
        "
        1.10 EUR                 | + | 2.20 EUR  => 3.30 EUR
        1.10 EUR                 | - | 2.20 EUR  => -1.10 EUR
        1.10 EUR                 | + | 2.20 USD  => other currency
        1 JPY                    | - | 1.00 EUR  => other currency
        92233720368547758.07 EUR | + | 0.01 EUR  => overflow
        -92233720368547758.08 EUR| - | 0.01 EUR  => overflow
        ",
        check,
    );
    assert!(
        Money::from_minor(i64::MIN, Currency::EUR)
            .negated()
            .is_err()
    );
}

#[test]
fn products_round_half_away_from_zero() {
    let check = |cells: &[&str]| {
        let decimal = |text: &str| parse_decimal(text).expect("a decimal");
        let rate = Rate::new(decimal(cells[1]), cells[2].parse().expect("a currency"));
        match rate.times(decimal(cells[0]), Rounding::HalfAwayFromZero) {
            Ok(money) => money.to_string(),
            Err(RateError::Overflow { .. }) => "overflow".to_owned(),
            Err(other) => format!("{other:?}"),
        }
    };
    check_table(
        "
        1.25   | 96.00    | EUR => 120.00 EUR
        3      | 0.115    | EUR => 0.35 EUR
        1      | 0.005    | EUR => 0.01 EUR
        -1     | 0.005    | EUR => -0.01 EUR
        1      | -0.005   | EUR => -0.01 EUR
        1      | 0.0049   | EUR => 0.00 EUR
        1      | 0.015    | EUR => 0.02 EUR
        1      | 0.025    | EUR => 0.03 EUR
        0.5    | 1        | JPY => 1 JPY
        0.4999 | 1        | JPY => 0 JPY
        1      | 0.0005   | KWD => 0.001 KWD
        0.19   | 107.37   | EUR => 20.40 EUR
        1000000000 | 92233720.36 | EUR => 92233720360000000.00 EUR
        1000000000 | 92233720.37 | EUR => overflow
        79228162514264337593543950335 | 79228162514264337593543950335 | EUR => overflow
        0.0000000000000000000000000001 | 0.0000000000000000000000000001 | EUR => overflow
        ",
        check,
    );
}

#[test]
fn splits_sum_to_the_whole() {
    let check = |cells: &[&str]| {
        let weights: Vec<u64> = cells[1]
            .split_whitespace()
            .map(|w| w.parse().unwrap())
            .collect();
        match money(cells[0]).allocate(&weights) {
            Ok(parts) => parts
                .iter()
                .map(|p| p.amount_text())
                .collect::<Vec<_>>()
                .join(" "),
            Err(MoneyError::NoWeights) => "no weights".to_owned(),
            Err(other) => format!("{other:?}"),
        }
    };
    check_table(
        "
        100.00 EUR | 1 1 1         => 33.34 33.33 33.33
        0.02 EUR   | 1 1 1         => 0.01 0.01 0.00
        -0.02 EUR  | 1 1 1         => -0.01 -0.01 0.00
        10.00 EUR  | 1 2           => 3.33 6.67
        10.00 EUR  | 0 1           => 0.00 10.00
        100 JPY    | 1 3 3         => 14 43 43
        0.00 EUR   | 5 5           => 0.00 0.00
        1.00 EUR   | 0 0           => no weights
        1.00 EUR   |               => no weights
        ",
        check,
    );
}

#[test]
fn decimals_are_read_exactly() {
    let check = |cells: &[&str]| match parse_decimal(cells[0]) {
        Ok(decimal) => decimal.to_string(),
        Err(_) => "no decimal".to_owned(),
    };
    check_table(
        "
        96.00  => 96.00
        -0.5   => -0.5
        0.19   => 0.19
        1e3    => no decimal
        1_000  => no decimal
        .5     => no decimal
        5.     => no decimal
        1.2.3  => no decimal
        --1    => no decimal
               => no decimal
        0.12345678901234567890123456789 => no decimal
        ",
        check,
    );
}

#[test]
fn json_is_text_and_currency() {
    let money = Money::from_minor(12_950, Currency::EUR);
    let json = serde_json::to_string(&money).unwrap();
    assert_eq!(json, r#"{"amount":"129.50","currency":"EUR"}"#);
    assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
    for wrong in [
        r#"{"amount":129.5,"currency":"EUR"}"#,
        r#"{"amount":"129.505","currency":"EUR"}"#,
        r#"{"amount":"129.50","currency":"euro"}"#,
        r#"{"amount":"129.50"}"#,
        r#"{"amount":"129.50","currency":"EUR","minor":1}"#,
    ] {
        assert!(
            serde_json::from_str::<Money>(wrong).is_err(),
            "{wrong} was taken"
        );
    }
}

/// A small seeded generator (SplitMix64), so a failing case can be run again.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number whose size is drawn too, so that small and huge ones both come.
    fn minor(&mut self) -> i64 {
        let shift = self.next() % 64;
        self.next() as i64 >> shift
    }
}

#[test]
fn algebra_holds_for_drawn_amounts() {
    let mut draws = Draws(20_260_301);
    let currencies = ["EUR", "JPY", "KWD"].map(|code| code.parse::<Currency>().unwrap());
    for round in 0..20_000 {
        let currency = currencies[round % 3];
        let (a, b) = (draws.minor(), draws.minor());
        let (left, right) = (
            Money::from_minor(a, currency),
            Money::from_minor(b, currency),
        );
        // Text and back.
        assert_eq!(Money::parse(&left.amount_text(), currency), Ok(left));
        // A sum is exact or refused, commutes, and a difference undoes it.
        match left.plus(right) {
            Ok(sum) => {
                assert_eq!(i128::from(sum.minor()), i128::from(a) + i128::from(b));
                assert_eq!(right.plus(left), Ok(sum));
                assert_eq!(sum.minus(right), Ok(left));
            }
            Err(_) => assert!(a.checked_add(b).is_none()),
        }
        // A split sums to the whole, keeps the sign, and no part is off by a unit or more.
        let weights: Vec<u64> = (0..=draws.next() % 7)
            .map(|_| draws.next() % 1_000)
            .collect();
        let total: i128 = weights.iter().map(|w| i128::from(*w)).sum();
        let Ok(parts) = left.allocate(&weights) else {
            assert_eq!(total, 0);
            continue;
        };
        assert_eq!(Money::sum(currency, parts.iter().copied()), Ok(left));
        for (part, weight) in parts.iter().zip(&weights) {
            let off = i128::from(part.minor()) * total - i128::from(a) * i128::from(*weight);
            assert!(off.abs() < total, "{left:?} by {weights:?} gave {parts:?}");
        }
    }
}

#[test]
fn a_negative_product_mirrors_its_positive() {
    let mut draws = Draws(7);
    for _ in 0..20_000 {
        let price = rust_decimal::Decimal::new(draws.minor() >> 32, (draws.next() % 7) as u32);
        let quantity = rust_decimal::Decimal::new(draws.minor() >> 32, (draws.next() % 5) as u32);
        let forward = Rate::new(price, Currency::EUR).times(quantity, Rounding::HalfAwayFromZero);
        let mirror = Rate::new(price, Currency::EUR).times(-quantity, Rounding::HalfAwayFromZero);
        match (forward, mirror) {
            (Ok(forward), Ok(mirror)) => assert_eq!(forward.negated(), Ok(mirror)),
            (forward, mirror) => assert_eq!(forward.is_err(), mirror.is_err()),
        }
    }
}
