//! Prognosis: how long an asset will last, and how sure that is.
//!
//! Three ways lead to one [`outlook::Outlook`], the probability of failure before a given date:
//! remaining life learned from assets that ran to failure ([`life`]), the trend of a health index
//! towards its limit ([`trend`]), and the ages of parts that failed or did not ([`weibull`]).

pub mod ages;
pub mod boosting;
pub mod class_life;
pub mod conformal;
pub mod course;
pub mod degradation;
pub mod events;
pub mod life;
pub mod normal;
pub mod outlook;
pub mod sampling;
pub mod trend;
pub mod weibull;
