//! Money: integer minor units and a currency; decimals per unit become money at one named rounding.
//!
//! There is no division and no float: a sum is split with [`Money::allocate`], and a price times a
//! quantity is [`Rate::times`].

mod amount;
mod currency;
mod rate;
#[cfg(test)]
mod tests;
mod total;

pub use amount::{Money, MoneyError};
pub use currency::{Currency, CurrencyError};
pub use rate::{Rate, RateError, Rounding, parse_decimal};
pub use total::Total;
