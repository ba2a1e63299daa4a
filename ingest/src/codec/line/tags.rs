//! The head of a line: measurement and tags.

/// Measurement and tags, unescaped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub measurement: String,
    pub tags: Vec<(String, String)>,
}

impl Head {
    /// The place and the text of a tag.
    pub(super) fn tag(&self, name: &str) -> Option<(usize, &str)> {
        let mut tags = self.tags.iter().enumerate();
        let (place, (_, text)) = tags.find(|(_, (known, _))| known == name)?;
        Some((place, text))
    }
}

/// Bytes of the head: up to the first space or end of line that no backslash escapes.
pub(super) fn head(line: &[u8]) -> usize {
    let mut at = 0;
    while at < line.len() {
        match line[at] {
            b'\\' => at += 2,
            b' ' | b'\n' | b'\r' => return at,
            _ => at += 1,
        }
    }
    line.len()
}

/// Reads a head.
///
/// **Errors**: what is wrong with it.
pub(super) fn read(head: &[u8]) -> Result<Head, String> {
    let text = std::str::from_utf8(head).map_err(|_| "a head cut inside a character".to_owned())?;
    let mut parts = split(text, b',');
    let measurement = unescaped(parts.next().unwrap_or_default(), b", ");
    if measurement.is_empty() {
        return Err("expected a measurement".to_owned());
    }
    let mut tags: Vec<(String, String)> = Vec::new();
    for part in parts {
        let mut sides = split(part, b'=');
        let (Some(name), Some(value), None) = (sides.next(), sides.next(), sides.next()) else {
            return Err("expected tag=text in the tags".to_owned());
        };
        let escaped = [b',', b'=', b' '];
        let (name, value) = (unescaped(name, &escaped), unescaped(value, &escaped));
        if name.is_empty() || value.is_empty() {
            return Err("a tag lacks its name or its text".to_owned());
        }
        if tags.iter().any(|(known, _)| *known == name) {
            return Err(format!("the tag \"{name}\" stands twice"));
        }
        tags.push((name, value));
    }
    Ok(Head { measurement, tags })
}

/// The parts between separators that no backslash escapes.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'\\' => at += 2,
                byte if byte == separator => {
                    rest = Some(&text[at + 1..]);
                    return Some(&text[..at]);
                }
                _ => at += 1,
            }
        }
        rest = None;
        Some(text)
    })
}

/// The text without the backslashes that stand before one of `escaped`.
pub(super) fn unescaped(text: &str, escaped: &[u8]) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().and_then(|next| u8::try_from(*next).ok());
        match next {
            Some(next) if c == '\\' && escaped.contains(&next) => {
                plain.push(char::from(next));
                rest.next();
            }
            _ => plain.push(c),
        }
    }
    plain
}
