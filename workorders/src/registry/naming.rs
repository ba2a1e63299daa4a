//! What may be a tag and what may be a class: the same rule as on the wire.

use super::RegistryError;

/// Characters of a tag at most.
pub const MAX_TAG: usize = 128;
/// Characters of an asset's name at most.
pub const MAX_NAME: usize = 200;
/// Characters of a class at most; a class is also the name of an SQL table.
pub const MAX_CLASS: usize = 63;

/// Names that a class must not take, because SQL has a table or view of that name.
pub const RESERVED: &[&str] = &[
    "readings",
    "assets",
    "alarms",
    "alarm_events",
    "work_orders",
    "bookings",
    "invoices",
    "receipts",
    "journal_lines",
    "journal_entries",
    "accounts",
    "sites",
    "resources",
    "work_lines",
    "invoice_lines",
    "applications",
    "quarantine",
    "models",
];

/// A tag as it is, when it can be one.
///
/// **Errors** when it is empty, too long or has letters that a topic does not carry.
pub fn tag(text: &str) -> Result<&str, RegistryError> {
    let why = if text.is_empty() {
        "it is empty"
    } else if text.chars().count() > MAX_TAG {
        "it has more than 128 characters"
    } else if text.chars().any(char::is_control) {
        "it has control characters"
    } else if text.contains(['/', '+', '#']) {
        "it has one of / + #, which mean something in an MQTT topic"
    } else {
        return Ok(text);
    };
    Err(RegistryError::BadTag {
        tag: text.chars().take(40).collect(),
        why,
    })
}

/// A name for people as it is, when it can be one.
///
/// **Errors** when it is blank, too long or has control characters.
pub fn name(text: &str) -> Result<&str, RegistryError> {
    let why = if text.trim().is_empty() {
        "it is empty"
    } else if text.chars().count() > MAX_NAME {
        "it has more than 200 characters"
    } else if text.chars().any(char::is_control) {
        "it has control characters"
    } else {
        return Ok(text);
    };
    Err(RegistryError::BadName { why })
}

/// A class in lower case, when it can be one.
///
/// **Errors** when it does not match `[a-z][a-z0-9_-]{0,62}` or is reserved.
pub fn class(text: &str) -> Result<String, RegistryError> {
    let lower = text.to_lowercase();
    let is_word = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '_' | '-')
    };
    let why = if !lower.starts_with(|letter: char| letter.is_ascii_lowercase()) {
        "it must begin with a letter from a to z"
    } else if lower.len() > MAX_CLASS {
        "it has more than 63 characters"
    } else if !lower.chars().all(is_word) {
        "it may only have letters from a to z, digits, _ and -"
    } else if RESERVED.contains(&lower.as_str()) {
        "SQL has a table of that name"
    } else {
        return Ok(lower);
    };
    Err(RegistryError::BadClass {
        class: text.chars().take(40).collect(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_class(text: &str, expected: Option<&str>) {
        assert_eq!(class(text).ok().as_deref(), expected, "{text:?}");
    }

    #[test]
    fn classes() {
        check_class("pump", Some("pump"));
        check_class("Pump", Some("pump"));
        check_class("a_1-b", Some("a_1-b"));
        check_class(&"a".repeat(63), Some(&"a".repeat(63)));
        check_class(&"a".repeat(64), None);
        check_class("", None);
        check_class("1pump", None);
        check_class("pümp", None);
        check_class("pump.x", None);
        check_class("READINGS", None);
        check_class("work_orders", None);
    }

    #[test]
    fn names() {
        for good in ["Pump 7, hall A", "ü", &"x".repeat(200)] {
            assert_eq!(name(good).unwrap(), good);
        }
        for bad in ["", " ", "a\nb", "a\0", &"x".repeat(201)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tags() {
        for good in ["pump-101", "Pump 7 (old)", "ü", &"x".repeat(128)] {
            assert_eq!(tag(good).unwrap(), good);
        }
        for bad in ["", "a/b", "a+", "#", "a\nb", &"x".repeat(129)] {
            assert!(tag(bad).is_err(), "{bad:?}");
        }
    }
}
