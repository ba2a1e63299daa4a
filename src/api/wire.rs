//! Instants and money as the API shows them.

use chrono::{DateTime, Datelike as _, SecondsFormat, SubsecRound as _, TimeDelta, Utc};
use fieldwright_workorders::money;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::problem::{INVALID, MALFORMED, Problem};

/// An instant: RFC 3339, UTC, ends in `Z`, to the microsecond that the store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2026-03-02T07:00:00Z"))]
pub struct Instant(pub DateTime<Utc>);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = self.0.trunc_subsecs(6);
        serializer.serialize_str(&micros.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl From<DateTime<Utc>> for Instant {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at)
    }
}

/// An instant that a person or a device gives: not before 2000, not more than `ahead` to come.
///
/// **Errors**: 422 when it lies outside, or where sums with it would leave the calendar.
pub fn plausible(
    pointer: &str,
    instant: Instant,
    now: DateTime<Utc>,
    ahead: TimeDelta,
) -> Result<DateTime<Utc>, Problem> {
    let latest = now + ahead;
    if instant.0.year() >= 2000 && instant.0 <= latest {
        return Ok(instant.0);
    }
    let shown = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let detail = format!(
        "{} is {}; by the business clock, which shows {}, it lies between the year 2000 and {}",
        pointer.trim_start_matches('/'),
        shown(instant.0),
        shown(now),
        shown(latest)
    );
    Err(Problem::new(INVALID, detail.clone()).field(pointer, detail))
}

/// Reads an id from a path.
///
/// **Errors**: 404 when it cannot be one: nothing has it.
pub fn id<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found(what, &text.chars().take(80).collect::<String>()))
}

/// Reads an id from a body; `pointer` is where it stands.
///
/// **Errors**: 422 when it cannot be one.
pub fn body_id<T>(pointer: &str, text: &str) -> Result<T, Problem>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| {
        let detail = error.to_string();
        Problem::new(INVALID, detail.clone()).field(pointer, detail)
    })
}

/// Reads a filter of a list: an id, a status, whatever parses.
///
/// **Errors**: 400 when the text is none.
pub fn filter<T>(name: &str, text: Option<&str>) -> Result<Option<T>, Problem>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.map(str::parse).transpose().map_err(|error| {
        Problem::new(
            MALFORMED,
            format!("the filter {name} cannot be read: {error}"),
        )
    })
}

/// An amount of money, never a float.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Decimal text with at most the decimals of the currency.
    #[schema(example = "129.50")]
    pub amount: String,
    /// ISO 4217 code.
    #[schema(example = "EUR")]
    pub currency: String,
}

impl From<money::Total> for Money {
    fn from(total: money::Total) -> Self {
        Self {
            amount: total.amount_text(),
            currency: total.currency().to_string(),
        }
    }
}

impl From<money::Money> for Money {
    fn from(money: money::Money) -> Self {
        Self {
            amount: money.amount_text(),
            currency: money.currency().to_string(),
        }
    }
}

impl Money {
    /// The amount in minor units; `pointer` is where it stands in the body.
    ///
    /// **Errors**: 422 for an unknown currency or a text that is no amount of it.
    pub fn read(&self, pointer: &str) -> Result<money::Money, Problem> {
        let invalid = |field: &str, error: &dyn std::error::Error| {
            let detail = error.to_string();
            Problem::new(INVALID, detail.clone()).field(format!("{pointer}/{field}"), detail)
        };
        let currency = self
            .currency
            .parse()
            .map_err(|error: money::CurrencyError| invalid("currency", &error))?;
        money::Money::parse(&self.amount, currency).map_err(|error| invalid("amount", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_end_in_z() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_500_000, "1970-01-01T00:00:01.500Z"),
            (1, "1970-01-01T00:00:00.000001Z"),
        ] {
            let instant = Instant(DateTime::from_timestamp_micros(micros).unwrap());
            assert_eq!(serde_json::to_value(instant).unwrap(), text);
        }
    }

    #[test]
    fn instants_of_people_are_plausible() {
        let now = "2026-03-02T07:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2000-01-01T00:00:00Z", true),
            ("2026-03-03T07:00:00Z", true),
            ("2026-03-03T07:00:01Z", false),
            ("1999-12-31T23:59:59Z", false),
            ("1969-07-20T20:17:40Z", false),
            ("9999-12-31T23:59:59Z", false),
        ] {
            let instant = Instant(text.parse().unwrap());
            let read = plausible("/device_time", instant, now, TimeDelta::days(1));
            assert_eq!(read.is_ok(), expected, "{text}");
        }
        let odd = Instant(DateTime::<Utc>::MAX_UTC);
        let told = plausible("/device_time", odd, now, TimeDelta::days(1)).unwrap_err();
        assert!(format!("{told:?}").contains("pointer: \"/device_time\""));
    }

    #[test]
    fn amounts_are_read_and_refused() {
        for (amount, currency, expected) in [
            ("129.50", "EUR", Ok(12950)),
            ("5", "JPY", Ok(5)),
            ("0.001", "EUR", Err("/total/amount")),
            ("1e3", "EUR", Err("/total/amount")),
            ("1.00", "eur", Err("/total/currency")),
        ] {
            let wire = Money {
                amount: amount.to_owned(),
                currency: currency.to_owned(),
            };
            let read = wire.read("/total").map(|money| money.minor());
            match (read, expected) {
                (Ok(minor), Ok(expected)) => assert_eq!(minor, expected),
                (Err(problem), Err(pointer)) => {
                    assert_eq!(problem.status(), INVALID.status);
                    assert!(format!("{problem:?}").contains(pointer), "{problem:?}");
                }
                (read, _) => panic!("{amount} {currency}: {read:?}"),
            }
        }
    }
}
