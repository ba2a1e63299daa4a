//! Lines and cells of comma-separated text.
//!
//! **Source**: RFC 4180: a cell may be quoted, a quote in it is doubled, a quoted cell may hold
//! delimiters and line breaks. Lines end in LF or CRLF; empty ones are passed over.

use std::borrow::Cow;

/// Where the reader stands.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    delimiter: u8,
    /// Line breaks so far.
    breaks: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, delimiter: u8) -> Self {
        Self {
            text,
            at: 0,
            delimiter,
            breaks: 0,
        }
    }

    /// The number of the line where the reader stands, from 1.
    pub(super) fn line(&self) -> usize {
        self.breaks + 1
    }

    /// Puts the cells of the next line into `cells`; false at the end.
    ///
    /// **Errors**: what is wrong, and where.
    pub(super) fn next(&mut self, cells: &mut Vec<Cow<'a, str>>) -> Result<bool, String> {
        cells.clear();
        while let Some(b'\n' | b'\r') = self.peek() {
            self.step();
        }
        if self.peek().is_none() {
            return Ok(false);
        }
        loop {
            cells.push(self.cell()?);
            match self.peek() {
                Some(byte) if byte == self.delimiter => self.at += 1,
                Some(b'\r') if self.bytes().get(self.at + 1) == Some(&b'\n') => {
                    self.at += 1;
                    self.step();
                    return Ok(true);
                }
                Some(b'\n') => {
                    self.step();
                    return Ok(true);
                }
                None => return Ok(true),
                Some(_) => {
                    let line = self.line();
                    return Err(format!("text behind a closing quote in line {line}"));
                }
            }
        }
    }

    fn cell(&mut self) -> Result<Cow<'a, str>, String> {
        if self.peek() == Some(b'"') {
            return self.quoted();
        }
        let start = self.at;
        while let Some(byte) = self.peek() {
            let ends = byte == self.delimiter || byte == b'\n' || byte == b'\r';
            if ends {
                break;
            }
            self.at += 1;
        }
        Ok(Cow::Borrowed(&self.text[start..self.at]))
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        let opened = self.line();
        self.at += 1;
        let mut whole = Cow::Borrowed("");
        let mut start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let piece = &self.text[start..self.at];
                    self.at += 1;
                    let doubled = self.peek() == Some(b'"');
                    if !doubled && whole.is_empty() {
                        return Ok(Cow::Borrowed(piece));
                    }
                    whole.to_mut().push_str(piece);
                    if !doubled {
                        return Ok(whole);
                    }
                    // The second quote is the first character of the next piece.
                    start = self.at;
                    self.at += 1;
                }
                Some(_) => self.step(),
                None => return Err(format!("the quote opened in line {opened} is not closed")),
            }
        }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    fn step(&mut self) {
        if self.peek() == Some(b'\n') {
            self.breaks += 1;
        }
        self.at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[&[&str]], &str>) {
        let mut reader = Reader::new(text, b',');
        let (mut lines, mut cells) = (Vec::new(), Vec::new());
        let found = loop {
            match reader.next(&mut cells) {
                Ok(true) => lines.push(cells.clone()),
                Ok(false) => break Ok(()),
                Err(wrong) => break Err(wrong),
            }
        };
        match expected {
            Ok(expected) => {
                assert_eq!(found, Ok(()), "{text}");
                assert_eq!(lines, expected, "{text}");
            }
            Err(expected) => assert_eq!(found.unwrap_err(), expected, "{text}"),
        }
    }

    #[test]
    fn lines_and_cells() {
        check("", Ok(&[]));
        check("\n\r\n", Ok(&[]));
        check("a,b\nc,d", Ok(&[&["a", "b"], &["c", "d"]]));
        check("a,\r\n,b\r\n", Ok(&[&["a", ""], &["", "b"]]));
        check(
            "\"a\",\"b \"\"c\"\"\"\n\"\"\"\",\"\"",
            Ok(&[&["a", "b \"c\""], &["\"", ""]]),
        );
        check("\"a\n,b\",ü\n\n\nx", Ok(&[&["a\n,b", "ü"], &["x"]]));
        check("a\"b,c", Ok(&[&["a\"b", "c"]]));
        check("\"a\"b", Err("text behind a closing quote in line 1"));
        check("a\n\"b\nc", Err("the quote opened in line 2 is not closed"));
        check("a\rb", Err("text behind a closing quote in line 1"));
    }
}
