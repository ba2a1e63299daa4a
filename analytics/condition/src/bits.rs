//! Numbers by their bits, 16 hexadecimal digits each: a restart must go on with the very same
//! numbers, and JSON readers may miss the last bit and have no NaN.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

const DIGITS: usize = 16;

/// Writes numbers as one text.
///
/// **Errors** when the text cannot be written.
pub fn serialize<S: Serializer>(values: &[f64], to: S) -> Result<S::Ok, S::Error> {
    let text: String = values
        .iter()
        .map(|value| format!("{:016x}", value.to_bits()))
        .collect();
    to.serialize_str(&text)
}

/// Reads them again.
///
/// **Errors** when it is no such text.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let text = String::deserialize(from)?;
    let one = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).map_err(D::Error::custom)?;
        let bits = u64::from_str_radix(digits, 16).map_err(D::Error::custom)?;
        Ok(f64::from_bits(bits))
    };
    text.as_bytes().chunks(DIGITS).map(one).collect()
}
