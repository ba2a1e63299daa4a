//! The address of a store: the URL of a file, and a URL as people and logs may see it.

use std::ops::Range;
use std::path::Path;

/// What stands where a password was.
const HIDDEN: &str = "***";

/// The `sqlite:` URL of a file; `%`, `?` and `#` would otherwise end or change the path.
pub(super) fn file_url(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut url = String::from("sqlite:");
    for letter in text.chars() {
        match letter {
            '%' => url.push_str("%25"),
            '?' => url.push_str("%3F"),
            '#' => url.push_str("%23"),
            ' ' => url.push_str("%20"),
            other => url.push(other),
        }
    }
    url
}

/// The URL with its passwords shown as `***`, for messages and logs.
///
/// It never parses: a URL that is wrong is the one that is shown most. Between the user's name and
/// the last `@` all is hidden, whatever letters the password has, and so is the value of every
/// parameter whose name ends with `password`. Where the two leave a doubt, more is hidden.
pub fn without_password(url: &str) -> String {
    let mut hidden: Vec<Range<usize>> = parameters(url)
        .filter(|(name, _)| is_secret(name))
        .map(|(_, value)| value)
        .chain(after_user(url))
        .filter(|range| !range.is_empty())
        .collect();
    hidden.sort_by_key(|range| range.start);
    let mut shown = String::with_capacity(url.len());
    let mut at = 0;
    for range in hidden {
        if range.start >= at {
            shown.push_str(&url[at..range.start]);
            shown.push_str(HIDDEN);
        }
        at = at.max(range.end);
    }
    shown.push_str(&url[at..]);
    shown
}

/// From behind the user's name to the last `@`; none in the path of a file.
fn after_user(url: &str) -> Option<Range<usize>> {
    if url.starts_with("sqlite:") {
        return None;
    }
    let begin = url.find("://").map_or(0, |at| at + "://".len());
    let end = url.rfind('@').filter(|end| *end >= begin)?;
    let colon = url[begin..end].find(':')?;
    Some(begin + colon + 1..end)
}

/// Every `name=value` that begins the text or follows one of the letters that separate them.
fn parameters(url: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    url.match_indices('=').map(|(at, _)| {
        let begin = url[..at]
            .rfind(['?', '&', ';', ' ', '#'])
            .map_or(0, |at| at + 1);
        let end = url[at..].find('&').map_or(url.len(), |length| at + length);
        (&url[begin..at], at + 1..end)
    })
}

/// Names may be written in capitals and with `%` and two digits for a letter.
fn is_secret(name: &str) -> bool {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let coded = behind
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        plain.push(coded.unwrap_or(*first).to_ascii_lowercase());
        rest = if coded.is_some() {
            &behind[2..]
        } else {
            behind
        };
    }
    plain.ends_with(b"password")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, shown: &str) {
        assert_eq!(without_password(url), shown, "{url}");
    }

    #[test]
    fn passwords_are_hidden_and_nothing_else() {
        check("postgres://me@host:5432/db", "postgres://me@host:5432/db");
        check("postgres://host/db", "postgres://host/db");
        check("postgres://me:hush@host/db", "postgres://me:***@host/db");
        check(
            "postgres://me:hush@[::1]:5432/db?sslmode=require",
            "postgres://me:***@[::1]:5432/db?sslmode=require",
        );
        check("postgres://me:@host/db", "postgres://me:@host/db");
        check("postgres://:hush@host/db", "postgres://:***@host/db");
        check("mqtts://me:hush@broker:8883", "mqtts://me:***@broker:8883");
        check("", "");
    }

    #[test]
    fn whatever_letters_a_password_has() {
        check("postgres://me:pa/ss@host/db", "postgres://me:***@host/db");
        check("postgres://me:p@ss@host/db", "postgres://me:***@host/db");
        check(
            "postgres://me:p@/?#&=:ss@host/db",
            "postgres://me:***@host/db",
        );
        check("postgres://me:hüsh:@host/db", "postgres://me:***@host/db");
        check("postgres://me:pa?password=x@host/db", "postgres://me:***");
    }

    #[test]
    fn parameters_are_hidden_too() {
        check(
            "postgres://host/db?user=u&password=hush",
            "postgres://host/db?user=u&password=***",
        );
        check(
            "postgres://host/db?PassWord=hush&sslmode=require&sslpassword=key",
            "postgres://host/db?PassWord=***&sslmode=require&sslpassword=***",
        );
        check(
            "postgres://host/db?pass%77ord=hu=sh&user=u",
            "postgres://host/db?pass%77ord=***&user=u",
        );
        check(
            "postgres://u:one@host/db?password=two",
            "postgres://u:***@host/db?password=***",
        );
        check(
            "postgres://u@host/db?password=hu@sh",
            "postgres://u@host/db?password=***",
        );
        check(
            "postgres://u@host:5432/db?password=hu@sh",
            "postgres://u@host:***",
        );
        check("host=h password=hush user=u", "host=h password=***");
    }

    #[test]
    fn what_is_no_url_hides_its_password_as_well() {
        check("me:hush@host/db", "me:***@host/db");
        check("postgres:me:hush@host/db", "postgres:***@host/db");
        check("postgres:/me:hush@host/db", "postgres:***@host/db");
        check("postgresql//me:hush@host", "postgresql//me:***@host");
        check("%p:%%%@%", "%p:***@%");
    }

    #[test]
    fn paths_of_files_are_shown_whole() {
        check("sqlite:/data/a:b@c/store.db", "sqlite:/data/a:b@c/store.db");
        check("sqlite://store.db?mode=rwc", "sqlite://store.db?mode=rwc");
        check("sqlite::memory:", "sqlite::memory:");
    }
}
