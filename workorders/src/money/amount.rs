//! An amount of money: a whole number of minor units in one currency.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::currency::{Currency, CurrencyError};
use super::total::Total;

/// An amount of money.
///
/// **Shape** in JSON: `{"amount":"129.50","currency":"EUR"}`.
/// **Units**: minor units of the currency (cents of a euro), in 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// Why two amounts do not combine, or a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Two amounts of different currencies met.
    #[error("{left} and {right} do not add: convert one of them first")]
    CurrencyMismatch {
        /// The first amount's currency.
        left: Currency,
        /// The second amount's currency.
        right: Currency,
    },
    /// The result does not fit into 64 bits of minor units.
    #[error("the amount is too large to be kept: it exceeds 64 bits of minor units")]
    Overflow,
    /// Nothing to split by.
    #[error("an amount can not be split: give at least one weight above zero")]
    NoWeights,
    /// The text is not a decimal amount of the currency.
    #[error("{text:?} is no amount of {currency}: write digits with at most {decimals} decimals")]
    NotAnAmount {
        /// The text as it came.
        text: String,
        /// The currency it was read in.
        currency: Currency,
        /// How many decimals that currency has.
        decimals: u32,
    },
    /// The currency is unknown.
    #[error("the amount's currency is unknown")]
    Currency(#[from] CurrencyError),
}

impl Money {
    /// A line or a document moves no more: 100 billion of a currency with two decimals.
    ///
    /// Far above any honest amount, and so far below 64 bits that 900,000 such documents still sum.
    ///
    /// **Units**: minor units.
    pub const MAX_DOCUMENT_MINOR: i64 = 10_000_000_000_000;

    /// An amount of `minor` units.
    pub const fn from_minor(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, in `currency`.
    pub const fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// Reads a decimal text such as `129.50`.
    ///
    /// **Errors**: anything but an optional minus, digits, and at most the currency's decimals.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let refuse = || MoneyError::NotAnAmount {
            text: text.to_owned(),
            currency,
            decimals: currency.decimals(),
        };
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(refuse()),
            None => (digits, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let decimals = currency.decimals() as usize;
        if whole.is_empty() || fraction.len() > decimals || !all_digits(whole) {
            return Err(refuse());
        }
        if !all_digits(fraction) {
            return Err(refuse());
        }
        let padded = format!(
            "{}{whole}{fraction:0<decimals$}",
            if negative { "-" } else { "" }
        );
        let minor = padded.parse().map_err(|_| MoneyError::Overflow)?;
        Ok(Self { minor, currency })
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The most that a line or a document may move in a currency.
    pub const fn most(currency: Currency) -> Self {
        Self::from_minor(Self::MAX_DOCUMENT_MINOR, currency)
    }

    /// True when a line or a document may not move so much, in either direction.
    pub const fn exceeds_document(self) -> bool {
        self.minor.unsigned_abs() > Self::MAX_DOCUMENT_MINOR.unsigned_abs()
    }

    /// True when nothing is owed or owned.
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// The sum.
    ///
    /// **Errors**: different currencies, overflow.
    pub fn plus(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        let minor = self
            .minor
            .checked_add(other.minor)
            .ok_or(MoneyError::Overflow)?;
        Ok(Self {
            minor,
            currency: self.currency,
        })
    }

    /// The difference.
    ///
    /// **Errors**: different currencies, overflow.
    pub fn minus(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        let minor = self
            .minor
            .checked_sub(other.minor)
            .ok_or(MoneyError::Overflow)?;
        Ok(Self {
            minor,
            currency: self.currency,
        })
    }

    /// The same amount with the sign turned.
    ///
    /// **Errors**: overflow at the one number without a mirror.
    pub fn negated(self) -> Result<Money, MoneyError> {
        let minor = self.minor.checked_neg().ok_or(MoneyError::Overflow)?;
        Ok(Self {
            minor,
            currency: self.currency,
        })
    }

    /// The smaller of two amounts.
    ///
    /// **Errors**: different currencies.
    pub fn smaller(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        Ok(if other.minor < self.minor {
            other
        } else {
            self
        })
    }

    /// The sum of many amounts, zero of `currency` when there are none.
    ///
    /// **Errors**: different currencies, overflow.
    pub fn sum(
        currency: Currency,
        amounts: impl IntoIterator<Item = Money>,
    ) -> Result<Money, MoneyError> {
        amounts
            .into_iter()
            .try_fold(Money::zero(currency), Money::plus)
    }

    /// Splits the amount in proportion to `weights` so that the parts sum to the whole.
    ///
    /// The units left over by rounding down go to the largest remainders, the earlier part first;
    /// a negative amount splits as the mirror of its positive.
    ///
    /// **Source**: the largest-remainder method (Hamilton).
    /// **Errors**: no weight above zero, or weights whose products leave 128 bits.
    pub fn allocate(self, weights: &[u64]) -> Result<Vec<Money>, MoneyError> {
        let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        if total == 0 {
            return Err(MoneyError::NoWeights);
        }
        let magnitude = u128::from(self.minor.unsigned_abs());
        let mut parts = Vec::with_capacity(weights.len());
        let mut remainders = Vec::with_capacity(weights.len());
        for (index, weight) in weights.iter().enumerate() {
            let product = magnitude
                .checked_mul(u128::from(*weight))
                .ok_or(MoneyError::Overflow)?;
            parts.push(product / total);
            remainders.push((std::cmp::Reverse(product % total), index));
        }
        let handed_out: u128 = parts.iter().sum();
        remainders.sort_unstable();
        for (_, index) in remainders
            .into_iter()
            .take((magnitude - handed_out) as usize)
        {
            parts[index] += 1;
        }
        parts
            .into_iter()
            .map(|part| self.signed_like(part))
            .collect()
    }

    /// The amount without its currency, for example `-0.05`.
    pub fn amount_text(self) -> String {
        Total::from(self).amount_text()
    }

    fn signed_like(self, magnitude: u128) -> Result<Money, MoneyError> {
        let magnitude = i128::try_from(magnitude).map_err(|_| MoneyError::Overflow)?;
        let signed = if self.minor < 0 {
            -magnitude
        } else {
            magnitude
        };
        let minor = i64::try_from(signed).map_err(|_| MoneyError::Overflow)?;
        Ok(Self {
            minor,
            currency: self.currency,
        })
    }

    fn same_currency(self, other: Money) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(MoneyError::CurrencyMismatch {
            left: self.currency,
            right: other.currency,
        })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount_text(), self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Money as it stands in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MoneyJson {
    amount: String,
    currency: Currency,
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        MoneyJson {
            amount: self.amount_text(),
            currency: self.currency,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = MoneyJson::deserialize(deserializer)?;
        Money::parse(&json.amount, json.currency).map_err(serde::de::Error::custom)
    }
}
