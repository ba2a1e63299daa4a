//! The sum of any number of amounts: it has room for whatever a store can hold.

use serde::{Serialize, Serializer};

use super::amount::Money;
use super::currency::Currency;

/// A sum of amounts in one currency; unlike [`Money`] it does not overflow.
///
/// **Shape** in JSON: `{"amount":"129.50","currency":"EUR"}`, as money.
/// **Units**: minor units of the currency, in 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Total {
    minor: i128,
    currency: Currency,
}

impl Total {
    /// A sum of `minor` units.
    pub const fn from_minor(minor: i128, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// The sum in minor units.
    pub const fn minor(self) -> i128 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The sum without its currency, for example `-0.05`.
    pub fn amount_text(self) -> String {
        let decimals = self.currency.decimals() as usize;
        let sign = if self.minor < 0 { "-" } else { "" };
        let magnitude = self.minor.unsigned_abs();
        if decimals == 0 {
            return format!("{sign}{magnitude}");
        }
        let per_unit = u128::from(self.currency.minor_per_unit().unsigned_abs());
        format!(
            "{sign}{}.{:0decimals$}",
            magnitude / per_unit,
            magnitude % per_unit
        )
    }
}

impl From<Money> for Total {
    fn from(money: Money) -> Self {
        Self::from_minor(i128::from(money.minor()), money.currency())
    }
}

impl Serialize for Total {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape {
            amount: String,
            currency: Currency,
        }
        Shape {
            amount: self.amount_text(),
            currency: self.currency,
        }
        .serialize(serializer)
    }
}
