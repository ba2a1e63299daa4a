//! What a technician's device reports.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::BookingError;
use crate::cases::CloseOut;

/// Parts of one visit at most.
pub const MAX_PARTS: usize = 100;
/// Pieces of one part at most.
pub const MAX_QUANTITY: i64 = 10_000;
/// Minutes of one visit at most: a day.
pub const MAX_MINUTES: i64 = 1_440;
/// Characters of notes at most.
pub const MAX_NOTES: usize = 4_000;
/// Characters of a part's code at most.
pub const MAX_CODE: usize = 64;

words! {
    /// What came out of a visit.
    Outcome {
        /// The cause is repaired.
        Fixed => "fixed",
        /// Nothing was wrong.
        NoFaultFound => "no_fault_found",
        /// Something else than the alarm told of was wrong, and is repaired.
        OtherFault => "other_fault",
        /// Another visit is needed.
        Incomplete => "incomplete",
    }
}

impl Outcome {
    /// Whether the order's work is done with it.
    pub fn ends_the_work(self) -> bool {
        self != Self::Incomplete
    }

    /// What it says about the alarm behind the order; a reviewer may know better.
    pub fn close_out(self) -> Option<CloseOut> {
        match self {
            Self::Fixed => Some(CloseOut::Confirmed),
            Self::NoFaultFound => Some(CloseOut::NoFaultFound),
            Self::OtherFault => Some(CloseOut::OtherFault),
            Self::Incomplete => None,
        }
    }
}

/// The device's own word on a command: a repeat with the same key does nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceStamp {
    /// The device's key of the command.
    pub key: Option<String>,
    /// When it happened by the device's clock.
    pub time: Option<DateTime<Utc>>,
}

/// A part that was used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartUsed {
    /// The price list's code.
    pub part: String,
    /// How many; a number or a decimal as text.
    #[serde(deserialize_with = "decimal")]
    pub quantity: Decimal,
}

/// The report at the end of a visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkReport {
    /// What came out.
    pub outcome: Outcome,
    /// What the technician wrote.
    pub notes: Option<String>,
    /// Minutes worked; the time between start and end when it is missing.
    pub minutes_worked: Option<i64>,
    /// Parts used.
    pub parts: Vec<PartUsed>,
}

impl WorkReport {
    /// Checks the limits.
    ///
    /// **Errors**: the first mistake, as a sentence.
    pub fn check(&self) -> Result<(), BookingError> {
        let wrong = |detail: String| Err(BookingError::BadReport(detail));
        if let Some(minutes) = self.minutes_worked
            && !(0..=MAX_MINUTES).contains(&minutes)
        {
            return wrong(format!(
                "minutes_worked is 0 to {MAX_MINUTES}, not {minutes}"
            ));
        }
        if self.parts.len() > MAX_PARTS {
            return wrong(format!("a visit has at most {MAX_PARTS} parts"));
        }
        if self
            .notes
            .as_ref()
            .is_some_and(|notes| notes.chars().count() > MAX_NOTES)
        {
            return wrong(format!("notes have at most {MAX_NOTES} characters"));
        }
        for part in &self.parts {
            let length = part.part.chars().count();
            if !(1..=MAX_CODE).contains(&length) || part.part.chars().any(char::is_control) {
                return wrong(format!(
                    "a part's code has 1 to {MAX_CODE} plain characters"
                ));
            }
            if part.quantity <= Decimal::ZERO || part.quantity > Decimal::from(MAX_QUANTITY) {
                return wrong(format!(
                    "quantity of {} is more than 0 and at most {MAX_QUANTITY}, not {}",
                    part.part, part.quantity
                ));
            }
        }
        Ok(())
    }
}

/// A JSON number is read by its text, so it never passes through a float.
fn decimal<'de, D: Deserializer<'de>>(from: D) -> Result<Decimal, D::Error> {
    let text = match Value::deserialize(from)? {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text,
        other => {
            return Err(serde::de::Error::custom(format!(
                "{other} is no quantity: send a number or a decimal as text"
            )));
        }
    };
    Decimal::from_str(text.trim()).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: Option<&str>) {
        let read = serde_json::from_str::<PartUsed>(json);
        assert_eq!(
            read.ok().map(|part| part.quantity.to_string()).as_deref(),
            expected,
            "{json}"
        );
    }

    #[test]
    fn quantities_are_exact() {
        check(r#"{"part":"x","quantity":1}"#, Some("1"));
        check(r#"{"part":"x","quantity":0.1}"#, Some("0.1"));
        check(r#"{"part":"x","quantity":"2.50"}"#, Some("2.50"));
        check(r#"{"part":"x","quantity":true}"#, None);
        check(r#"{"part":"x","quantity":"many"}"#, None);
        check(r#"{"part":"x"}"#, None);
    }

    #[test]
    fn reports_have_limits() {
        let good = WorkReport {
            outcome: Outcome::Fixed,
            notes: None,
            minutes_worked: Some(45),
            parts: vec![PartUsed {
                part: "seal-kit".into(),
                quantity: Decimal::ONE,
            }],
        };
        assert!(good.check().is_ok());
        let part = |code: &str, quantity: i64| PartUsed {
            part: code.into(),
            quantity: quantity.into(),
        };
        for parts in [
            vec![part("", 1)],
            vec![part("x", 0)],
            vec![part("x", -1)],
            vec![part("x", MAX_QUANTITY + 1)],
            vec![part("x", 1); MAX_PARTS + 1],
        ] {
            let report = WorkReport {
                parts,
                ..good.clone()
            };
            assert!(report.check().is_err(), "{report:?}");
        }
        for minutes in [-1, MAX_MINUTES + 1] {
            let report = WorkReport {
                minutes_worked: Some(minutes),
                ..good.clone()
            };
            assert!(report.check().is_err(), "{minutes}");
        }
    }
}
