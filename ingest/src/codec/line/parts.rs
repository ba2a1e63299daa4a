//! Long texts of many lines, cut where lines end.

use bytes::Bytes;

/// Cuts a text of line protocol into parts of at most `most` bytes, each of whole lines. A line
/// that is longer is a part of its own.
pub fn parts(text: &Bytes, most: usize) -> Vec<Bytes> {
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    while at < text.len() {
        let end = line_end(text, at);
        if end - from > most && at > from {
            parts.push(text.slice(from..at));
            from = at;
        }
        at = end;
    }
    if from < text.len() {
        parts.push(text.slice(from..));
    }
    parts
}

/// One past the line break of the line that begins at `at`: a text in quotes may hold others.
fn line_end(text: &[u8], mut at: usize) -> usize {
    let comment = text[at] == b'#';
    let (mut in_fields, mut quoted) = (false, false);
    while at < text.len() {
        match text[at] {
            b'\n' if !quoted => return at + 1,
            b'\\' if !comment => at += 1,
            b' ' => in_fields = true,
            b'"' if in_fields && !comment => quoted = !quoted,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &'static str, most: usize, expected: &[&str]) {
        let text = Bytes::from_static(text.as_bytes());
        let parts = parts(&text, most);
        assert_eq!(parts.concat(), text);
        let parts: Vec<&str> = parts
            .iter()
            .map(|part| std::str::from_utf8(part).unwrap())
            .collect();
        assert_eq!(parts, expected, "{most}");
    }

    #[test]
    fn whole_lines() {
        check("", 10, &[]);
        check("a x=1\nb x=2\nc x=3", 100, &["a x=1\nb x=2\nc x=3"]);
        check("a x=1\nb x=2\nc x=3", 12, &["a x=1\nb x=2\n", "c x=3"]);
        check("a x=1\nb x=2\nc x=3", 10, &["a x=1\n", "b x=2\n", "c x=3"]);
        check("a x=1\nb x=2\n", 1, &["a x=1\n", "b x=2\n"]);
        check("a x=\"1\n2\"\nb x=2\n", 1, &["a x=\"1\n2\"\n", "b x=2\n"]);
        check("a x=\"\\\"\n2\"\nb x=2", 1, &["a x=\"\\\"\n2\"\n", "b x=2"]);
        check(
            "a\"b x=1\n# \"\nb x=2",
            1,
            &["a\"b x=1\n", "# \"\n", "b x=2"],
        );
    }
}
