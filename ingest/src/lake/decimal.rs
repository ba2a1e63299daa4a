//! Doubles that are decimals: only those that come back to the last bit.

use arrow::array::{Array, Float64Array};
use arrow::datatypes::DataType;

/// Values below which nothing is decided: a metric that stood still says little about itself, and
/// as doubles such columns take next to nothing either.
const LEAST_VALUES: usize = 32;
const LEAST_DISTINCT: usize = 8;
/// Digits after the point that are tried.
const MOST_SCALE: i8 = 9;
/// Digits that a 32 bit and a 64 bit integer are used for. More than 15 are not exact in a double.
const NARROW: u8 = 9;
const WIDE: u8 = 15;

/// A decimal type: whole numbers in units of 10^-scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Decimal {
    precision: u8,
    scale: i8,
    unit: f64,
}

impl Decimal {
    pub(super) fn new(precision: u8, scale: i8) -> Self {
        Self {
            precision,
            scale,
            // Powers of ten up to 10^22 are exact doubles.
            unit: 10f64.powi(i32::from(scale)),
        }
    }

    /// The smallest decimal that holds every value of a sample, with room for ten times as much.
    pub(super) fn fitting(sample: &Float64Array) -> Option<Self> {
        let values = || sample.iter().flatten();
        if sample.len() - sample.null_count() < LEAST_VALUES {
            return None;
        }
        let mut distinct: Vec<u64> = Vec::with_capacity(LEAST_DISTINCT);
        for bits in values().map(f64::to_bits) {
            if distinct.len() < LEAST_DISTINCT && !distinct.contains(&bits) {
                distinct.push(bits);
            }
        }
        if distinct.len() < LEAST_DISTINCT {
            return None;
        }
        let mut largest = 0;
        let mut decimal = Self::new(WIDE, 0);
        // A scale that fails once is never right, so each value is looked at once or twice.
        for value in values() {
            let exact = loop {
                match decimal.exactly(value) {
                    Some(exact) => break exact,
                    None if decimal.scale < MOST_SCALE => {
                        decimal = Self::new(WIDE, decimal.scale + 1);
                        largest *= 10;
                    }
                    None => return None,
                }
            };
            largest = largest.max(exact.abs());
        }
        let limit = |digits: u8| 10i64.pow(u32::from(digits) - 1);
        match largest {
            largest if largest < limit(NARROW) => Some(Self::new(NARROW, decimal.scale)),
            largest if largest < limit(WIDE) * 10 => Some(Self::new(WIDE, decimal.scale)),
            _ => None,
        }
    }

    /// The whole number that stands for a value, if it gives the value back to the last bit.
    pub(super) fn exactly(self, value: f64) -> Option<i64> {
        let whole = (value * self.unit).round();
        // Not-a-number is below nothing.
        if whole.abs() < 10f64.powi(i32::from(self.precision)) {
            let whole = whole as i64;
            // Minus zero comes back as zero, and so is refused.
            return (self.value(whole).to_bits() == value.to_bits()).then_some(whole);
        }
        None
    }

    /// The value that a whole number stands for: what every reader of a decimal computes.
    pub(super) fn value(self, whole: i64) -> f64 {
        whole as f64 / self.unit
    }

    pub(super) fn data_type(self) -> DataType {
        DataType::Decimal128(self.precision, self.scale)
    }
}
