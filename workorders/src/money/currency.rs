//! The currencies that amounts may stand in, with the number of decimals of each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A currency of ISO 4217 whose minor unit we know.
///
/// **Source**: ISO 4217, list one; currencies with 0, 2 or 3 decimals.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency {
    code: &'static str,
    decimals: u32,
}

/// Why a text names no currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CurrencyError {
    /// The code is not in our table.
    #[error(
        "{0:?} is no currency code that we know; use one of ISO 4217 in capitals, for example EUR"
    )]
    Unknown(String),
}

/// Currencies without decimals.
const WHOLE: &[&str] = &[
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV",
    "XAF", "XOF", "XPF",
];
/// Currencies with two decimals.
const CENTS: &[&str] = &[
    "AED", "ALL", "AMD", "ARS", "AUD", "AZN", "BAM", "BDT", "BRL", "CAD", "CHF", "CNY", "COP",
    "CRC", "CZK", "DKK", "DOP", "DZD", "EGP", "EUR", "GBP", "GEL", "GHS", "GTQ", "HKD", "HUF",
    "IDR", "ILS", "INR", "JMD", "KES", "KZT", "LKR", "MAD", "MDL", "MKD", "MUR", "MXN", "MYR",
    "NAD", "NGN", "NOK", "NZD", "PEN", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "SAR", "SEK",
    "SGD", "THB", "TRY", "TWD", "TZS", "UAH", "USD", "UYU", "UZS", "ZAR", "ZMW",
];
/// Currencies with three decimals.
const MILS: &[&str] = &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

impl Currency {
    /// The euro, currency of the seeded world.
    pub const EUR: Currency = Currency {
        code: "EUR",
        decimals: 2,
    };

    /// The three capital letters.
    pub fn code(self) -> &'static str {
        self.code
    }

    /// How many decimals the minor unit stands for: 0, 2 or 3.
    pub fn decimals(self) -> u32 {
        self.decimals
    }

    /// How many minor units make one unit: 1, 100 or 1000.
    pub fn minor_per_unit(self) -> i64 {
        10_i64.pow(self.decimals)
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        for (codes, decimals) in [(CENTS, 2), (WHOLE, 0), (MILS, 3)] {
            if let Some(code) = codes.iter().find(|code| **code == text) {
                return Ok(Currency { code, decimals });
            }
        }
        Err(CurrencyError::Unknown(text.to_owned()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
