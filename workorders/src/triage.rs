//! From alarm to work by economics: which alarm is worth a look, a visit, or nothing.
//!
//! [`decide`] is pure and needs no store: what is known of a condition, what things cost and how
//! many orders the asset has had go in, a [`Tier`] and its reason come out.

mod tier;
pub use tier::{Agreement, Facts, Forecast, ForecastBasis, Tier};

mod economics;
pub use economics::{Economics, EconomicsError, economics};

mod decision;
pub use decision::{Budget, Decision, decide, learned_confidence};

#[cfg(test)]
mod tests;
