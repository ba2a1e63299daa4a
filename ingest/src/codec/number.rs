//! Decimal numbers, read exactly.

/// Powers of ten that a double has exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
/// Up to here every whole number is a double.
const EXACT: u64 = 1 << 53;

/// The double nearest to a well-formed number.
///
/// **Source**: W. D. Clinger, *How to read floating point numbers accurately*, 1990: a whole
/// number below 2^53 times or divided by a power of ten up to 10^22 is rounded once, so the
/// result is the nearest. Everything else goes to the standard library, which is exact, too.
#[inline]
pub(super) fn exact(digits: &str) -> f64 {
    plain(digits.as_bytes()).unwrap_or_else(|| digits.parse().unwrap_or(f64::NAN))
}

/// Whether a word is a decimal number: no hexadecimal, no `inf`, no spaces.
#[inline]
pub(super) fn is_number(word: &[u8]) -> bool {
    let (mut digits, mut points, mut at) = (0, 0, 0);
    if let Some(b'+' | b'-') = word.first() {
        at += 1;
    }
    while let Some(byte) = word.get(at) {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'.' => points += 1,
            b'e' | b'E' => break,
            _ => return false,
        }
        at += 1;
    }
    if digits == 0 || points > 1 {
        return false;
    }
    if at == word.len() {
        return true;
    }
    let exponent = match &word[at + 1..] {
        [b'+' | b'-', rest @ ..] => rest,
        rest => rest,
    };
    !exponent.is_empty() && exponent.iter().all(u8::is_ascii_digit)
}

/// A number of digits and at most one point.
#[inline]
fn plain(text: &[u8]) -> Option<f64> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    let mut whole: u64 = 0;
    let mut point = text.len();
    for (place, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => whole = whole * 10 + u64::from(byte - b'0'),
            b'.' if point == text.len() => point = place,
            _ => return None,
        }
    }
    let behind = text.len().saturating_sub(point + 1);
    if whole > EXACT || behind >= POWERS.len() || text.len() == usize::from(point < text.len()) {
        return None;
    }
    let value = whole as f64 / POWERS[behind];
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_as_the_standard_library() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let check = |text: &str| {
            let expected: f64 = text.parse().unwrap();
            assert_eq!(exact(text).to_bits(), expected.to_bits(), "{text}");
        };
        for text in [
            "0",
            "-0",
            "0.0",
            "-0.0",
            "5.",
            ".5",
            "52.31854",
            "9007199254740992",
            "9007199254740993",
            "0.30000000000000004",
            "1e22",
            "1e23",
            "123456789012345678",
            "0.00000000000000001",
            "4503599627370497.5",
            "99999999999999999",
        ] {
            check(text);
        }
        for _ in 0..20_000 {
            let digits = next(19) as u32;
            let whole = next(10_u64.pow(digits));
            let text = match next(4) {
                0 => format!("{whole}"),
                1 => format!("-{}.{}", whole / 1000, next(100_000)),
                2 => format!("{}.{:05}", whole % 1000, next(100_000)),
                _ => format!("{}e{}", whole, next(40) as i64 - 20),
            };
            check(&text);
        }
    }
}
