//! Topic names and topic filters.
//!
//! **Source** MQTT 3.1.1 section 4.7.

/// Why a topic name or filter is not legal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TopicError {
    /// No character at all.
    #[error("it is empty")]
    Empty,
    /// Not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The null character, which MQTT forbids in every string.
    #[error("it holds the null character")]
    Null,
    /// A wildcard in the name of a published message.
    #[error("a message cannot be published to a wildcard")]
    Wildcard,
    /// A wildcard that shares its level, or `#` before the last level.
    #[error("'+' must fill its level and '#' must fill the last one")]
    MisplacedWildcard,
    /// A shared subscription without a name or a filter.
    #[error("a shared subscription is written $share/NAME/FILTER")]
    Share,
    /// More bytes or levels than this endpoint allows.
    #[error("it is longer or deeper than the endpoint's limit")]
    TooLong,
}

/// Checks the name of a published message; one pass, because every reading comes by here.
#[inline]
pub(crate) fn check_name(
    name: &[u8],
    max_bytes: usize,
    max_levels: usize,
) -> Result<(), TopicError> {
    if name.is_empty() {
        return Err(TopicError::Empty);
    }
    if std::str::from_utf8(name).is_err() {
        return Err(TopicError::NotUtf8);
    }
    let mut levels = 1;
    for byte in name {
        match byte {
            b'/' => levels += 1,
            b'+' | b'#' => return Err(TopicError::Wildcard),
            0 => return Err(TopicError::Null),
            _ => {}
        }
    }
    if name.len() > max_bytes || levels > max_levels {
        return Err(TopicError::TooLong);
    }
    Ok(())
}

/// Checks a filter of a subscription.
pub(crate) fn check_filter(
    filter: &str,
    max_bytes: usize,
    max_levels: usize,
) -> Result<(), TopicError> {
    if filter.is_empty() {
        return Err(TopicError::Empty);
    }
    if filter.contains('\0') {
        return Err(TopicError::Null);
    }
    if filter.len() > max_bytes || filter.split('/').count() > max_levels {
        return Err(TopicError::TooLong);
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let legal = match level {
            "#" => levels.peek().is_none(),
            "+" => true,
            other => !other.contains(['+', '#']),
        };
        if !legal {
            return Err(TopicError::MisplacedWildcard);
        }
    }
    Ok(())
}

/// The name and the inner filter of a shared subscription `$share/NAME/FILTER`.
///
/// `None` when the filter is not of that kind; an error when it is, but not legal.
pub(crate) fn shared(filter: &str) -> Result<Option<(&str, &str)>, TopicError> {
    let Some(rest) = filter.strip_prefix("$share/") else {
        return Ok(None);
    };
    match rest.split_once('/') {
        Some((name, inner)) if !name.is_empty() && !name.contains(['+', '#']) => {
            Ok(Some((name, inner)))
        }
        _ => Err(TopicError::Share),
    }
}

/// Whether everything that `filter` selects is selected by `pattern`, too; both are filters.
pub(crate) fn covers(pattern: &str, filter: &str) -> bool {
    if filter.starts_with('$') && pattern.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = filter.split('/');
    for level in pattern.split('/') {
        if level == "#" {
            return true;
        }
        match levels.next() {
            Some("#") | None => return false,
            Some(wanted) if level == "+" || level == wanted => {}
            Some(_) => return false,
        }
    }
    levels.next().is_none()
}

/// Whether a filter selects a topic name; both already checked. The plain definition, against
/// which the tree of subscriptions is tested.
pub(crate) fn matches(filter: &str, name: &str) -> bool {
    if name.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
        return false;
    }
    let mut names = name.split('/');
    for level in filter.split('/') {
        if level == "#" {
            return true;
        }
        match names.next() {
            Some(name) if level == "+" || level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let check = |name: &[u8]| check_name(name, 20, 4).err();
        for (name, expected) in [
            (&b"a"[..], None),
            (b"/", None),
            (b"a/b/c/d", None),
            ("pumpe/\u{fc}".as_bytes(), None),
            (b"$SYS/x", None),
            (b"", Some(TopicError::Empty)),
            (b"a\0b", Some(TopicError::Null)),
            (b"a/+", Some(TopicError::Wildcard)),
            (b"a/b#", Some(TopicError::Wildcard)),
            (b"\xff", Some(TopicError::NotUtf8)),
            (b"a/b/c/d/e", Some(TopicError::TooLong)),
            (b"123456789012345678901", Some(TopicError::TooLong)),
        ] {
            assert_eq!(check(name), expected, "{name:?}");
        }
    }

    #[test]
    fn filters_are_checked() {
        for (filter, legal) in [
            ("#", true),
            ("+", true),
            ("a/#", true),
            ("a/+/b", true),
            ("+/+", true),
            ("/", true),
            ("a/#/b", false),
            ("a#", false),
            ("a/b+", false),
            ("+a/b", false),
            ("", false),
        ] {
            assert_eq!(check_filter(filter, 100, 10).is_ok(), legal, "{filter}");
        }
    }

    #[test]
    fn shared_filters_are_taken_apart() {
        for (filter, expected) in [
            ("a/b", Ok(None)),
            ("$SYS/#", Ok(None)),
            ("$share/g/a/+", Ok(Some(("g", "a/+")))),
            ("$share/g/", Ok(Some(("g", "")))),
            ("$share/g", Err(TopicError::Share)),
            ("$share//a", Err(TopicError::Share)),
            ("$share/+/a", Err(TopicError::Share)),
        ] {
            assert_eq!(shared(filter), expected, "{filter}");
        }
    }

    #[test]
    fn a_pattern_covers_a_filter_that_selects_no_more() {
        for (pattern, filter, expected) in [
            ("#", "#", true),
            ("#", "a/+/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/#", "a", true),
            ("a/#", "a/#", true),
            ("a/#", "a/+/#", true),
            ("a/#", "#", false),
            ("a/#", "+/b", false),
            ("a/+", "a/+", true),
            ("a/+", "a/b", true),
            ("a/+", "a/#", false),
            ("a/+", "a/b/c", false),
            ("a/+", "a", false),
            ("a/b", "a/b", true),
            ("a/b", "a/+", false),
        ] {
            assert_eq!(covers(pattern, filter), expected, "{pattern} {filter}");
        }
    }

    /// The examples of MQTT 3.1.1 section 4.7, then edges.
    #[test]
    fn filters_select_names() {
        for (filter, name, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/ranking",
                true,
            ),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/score/wimbledon",
                true,
            ),
            ("sport/#", "sport", true),
            ("#", "sport/tennis", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/monitor", false),
            ("+/monitor", "$SYS/monitor", false),
            ("$SYS/#", "$SYS/monitor", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("a/b", "a/b", true),
            ("a/b", "a/B", false),
            ("a/b", "a/b/", false),
            ("a/+/c", "a//c", true),
        ] {
            assert_eq!(matches(filter, name), expected, "{filter} {name}");
        }
    }
}
