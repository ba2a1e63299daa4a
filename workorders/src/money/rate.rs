//! A price per unit, and the one place where a product becomes an amount.

use std::fmt;

use rust_decimal::Decimal;

use super::amount::Money;
use super::currency::Currency;

/// A price per unit, or tax per unit of its base: a decimal in a currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    per_unit: Decimal,
    currency: Currency,
}

/// How a product is brought to whole minor units; a rounding is always named where it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// A half goes away from zero, so a negative document mirrors its positive exactly.
    HalfAwayFromZero,
}

/// Why a price and a quantity make no amount, or a text is no decimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// The text is not a plain decimal.
    #[error("{0:?} is no decimal: write digits with at most one point, for example 12.5")]
    NotADecimal(String),
    /// The product does not fit.
    #[error("{quantity} at {price} each is too large to be kept as an amount")]
    Overflow {
        /// The quantity that was multiplied.
        quantity: Decimal,
        /// The price per unit.
        price: Decimal,
    },
}

/// Reads a decimal exactly, for example `96.00` or `0.19`.
///
/// **Errors**: exponents, separators, signs other than a leading minus, more than 28 digits.
pub fn parse_decimal(text: &str) -> Result<Decimal, RateError> {
    let refuse = || RateError::NotADecimal(text.to_owned());
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let framed = digits.starts_with('.') || digits.ends_with('.');
    if digits.is_empty() || !plain || framed {
        return Err(refuse());
    }
    Decimal::from_str_exact(text).map_err(|_| refuse())
}

impl Rate {
    /// A price of `per_unit` for one unit.
    pub const fn new(per_unit: Decimal, currency: Currency) -> Self {
        Self { per_unit, currency }
    }

    /// The price of one unit, exactly as it stands in the price list.
    pub const fn per_unit(self) -> Decimal {
        self.per_unit
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// `quantity` units at this price, rounded once.
    ///
    /// **Errors**: the exact product does not fit into 128 bits, or the amount into 64.
    pub fn times(self, quantity: Decimal, rounding: Rounding) -> Result<Money, RateError> {
        let overflow = || RateError::Overflow {
            quantity,
            price: self.per_unit,
        };
        let (quantity, price) = (quantity.normalize(), self.per_unit.normalize());
        let product = quantity
            .mantissa()
            .checked_mul(price.mantissa())
            .ok_or_else(overflow)?;
        let scale = quantity.scale() + price.scale();
        let decimals = self.currency.decimals();
        let minor = if scale <= decimals {
            let factor = 10_i128.checked_pow(decimals - scale).ok_or_else(overflow)?;
            product.checked_mul(factor).ok_or_else(overflow)?
        } else {
            let divisor = 10_i128.checked_pow(scale - decimals).ok_or_else(overflow)?;
            rounded_quotient(product, divisor, rounding)
        };
        let minor = i64::try_from(minor).map_err(|_| overflow())?;
        Ok(Money::from_minor(minor, self.currency))
    }
}

/// `product / divisor` rounded to a whole number, the divisor being a power of ten.
fn rounded_quotient(product: i128, divisor: i128, rounding: Rounding) -> i128 {
    let (quotient, remainder) = (product / divisor, product % divisor);
    match rounding {
        Rounding::HalfAwayFromZero => {
            // `remainder >= divisor - remainder` is `2 * remainder >= divisor` without overflow.
            let up = remainder.abs() >= divisor - remainder.abs();
            if up {
                quotient + product.signum()
            } else {
                quotient
            }
        }
    }
}

impl fmt::Display for Rounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rounding::HalfAwayFromZero => f.write_str("half away from zero"),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.per_unit, self.currency)
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
