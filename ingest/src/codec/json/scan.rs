//! A strict JSON scanner that hands out keys and values as it meets them.
//!
//! **Source**: RFC 8259. One extension: `NaN`, `Infinity` and `-Infinity` as values, which common
//! encoders write, are recognised so that the refusal can say what is wrong.

use std::borrow::Cow;

/// How deep values that nobody asked for may be nested.
const MAX_DEPTH: usize = 64;

/// Where the scanner stands in a text.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// No member of the open object has been read yet.
    first: bool,
}

/// A value of which only numbers and texts are kept.
#[derive(Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// The digits of a number as RFC 8259 writes it.
    Number(&'a str),
    /// `NaN` or an infinity.
    NotFinite,
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An object or an array, well-formed.
    Other,
}

impl<'a> Scanner<'a> {
    /// **Errors**: not UTF-8.
    pub(super) fn of(payload: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(payload);
        let text = text.map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
        Ok(Self {
            text,
            at: 0,
            first: false,
        })
    }

    /// Enters an object.
    pub(super) fn open_object(&mut self, wanted: &str) -> Result<(), String> {
        if self.skip_space() != Some(b'{') {
            return Err(self.expected(wanted));
        }
        self.at += 1;
        self.first = true;
        Ok(())
    }

    /// The next key of the open object, its value to be read next; none at the object's end.
    pub(super) fn key(&mut self) -> Result<Option<Cow<'a, str>>, String> {
        let first = std::mem::take(&mut self.first);
        match self.skip_space() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.skip_space();
            }
            _ if first => {}
            _ => return Err(self.expected("`,` or `}`")),
        }
        let key = self.string("a name in quotes")?;
        if self.skip_space() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// The next value.
    pub(super) fn value(&mut self) -> Result<Value<'a>, String> {
        match self.skip_space() {
            Some(b'"') => Ok(Value::Text(self.string("a text")?)),
            Some(b'{' | b'[') => self.skip_nested().map(|()| Value::Other),
            _ => self.scalar(),
        }
    }

    /// Enters an array, at whose bracket the scanner stands.
    pub(super) fn open_array(&mut self) {
        self.at += 1;
        self.first = true;
    }

    /// Whether the open array has one more item, to be read next.
    pub(super) fn item(&mut self) -> Result<bool, String> {
        let first = std::mem::take(&mut self.first);
        match self.skip_space() {
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            _ if first => Ok(true),
            _ => Err(self.expected("`,` or `]`")),
        }
    }

    /// Says that a value of the object or array around was read, after something was in it.
    pub(super) fn member_ended(&mut self) {
        self.first = false;
    }

    /// Makes sure that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), String> {
        match self.skip_space() {
            None => Ok(()),
            Some(_) => Err(self.expected("nothing more")),
        }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    pub(super) fn skip_space(&mut self) -> Option<u8> {
        while let Some(byte) = self.peek() {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    pub(super) fn expected(&self, what: &str) -> String {
        if self.at >= self.text.len() {
            return format!("it ends at byte {}, expected {what}", self.at);
        }
        format!("expected {what} at byte {}", self.at)
    }

    fn scalar(&mut self) -> Result<Value<'a>, String> {
        let rest = &self.bytes()[self.at..];
        let words: [(&[u8], Value<'a>); 6] = [
            (b"true", Value::Bool(true)),
            (b"false", Value::Bool(false)),
            (b"null", Value::Null),
            (b"NaN", Value::NotFinite),
            (b"Infinity", Value::NotFinite),
            (b"-Infinity", Value::NotFinite),
        ];
        if rest.first().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.number();
        }
        for (word, value) in words {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.number()
    }

    fn number(&mut self) -> Result<Value<'a>, String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.expected("a value")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(Value::Number(&self.text[start..self.at]))
    }

    fn some_digits(&mut self) -> Result<(), String> {
        let start = self.at;
        self.digits();
        if self.at == start {
            Err(self.expected("a digit"))
        } else {
            Ok(())
        }
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn string(&mut self, wanted: &str) -> Result<Cow<'a, str>, String> {
        if self.peek() != Some(b'"') {
            return Err(self.expected(wanted));
        }
        self.at += 1;
        let start = self.at;
        let plain = self.plain_run()?;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut whole = self.text[start..self.at].to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(whole));
                }
                _ => {
                    self.at += 1;
                    whole.push(self.escape()?);
                    whole.push_str(self.plain_run()?);
                }
            }
        }
    }

    /// The text up to the next quote or backslash.
    fn plain_run(&mut self) -> Result<&'a str, String> {
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"' | b'\\') => return Ok(&self.text[start..self.at]),
                Some(0..0x20) => return Err(self.expected("no control character in a text")),
                Some(_) => self.at += 1,
                None => return Err(self.expected("the closing quote")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let escaped = self.peek().ok_or_else(|| self.expected("an escape"))?;
        let plain = match escaped {
            b'"' | b'\\' | b'/' => char::from(escaped),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.expected("a known escape")),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, String> {
        let first = self.four_hex()?;
        let code = match first {
            0xD800..=0xDBFF => {
                if !self.bytes()[self.at..].starts_with(b"\\u") {
                    return Err(self.expected("the second half of a surrogate pair"));
                }
                self.at += 2;
                let second = self.four_hex()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(self.expected("the second half of a surrogate pair before this"));
                }
                0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| self.expected("a whole surrogate pair before this"))
    }

    fn four_hex(&mut self) -> Result<u32, String> {
        let digits = self.bytes().get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else {
            return Err(self.expected("four hexadecimal digits"));
        };
        self.at += 4;
        let value = |digit: &u8| char::from(*digit).to_digit(16).unwrap_or(0);
        Ok(digits
            .iter()
            .fold(0, |code, digit| code * 16 + value(digit)))
    }

    /// Passes over an object or an array, checking its form.
    fn skip_nested(&mut self) -> Result<(), String> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            // Here a value begins.
            match self.skip_space() {
                Some(bracket @ (b'{' | b'[')) => {
                    if open.len() == MAX_DEPTH {
                        return Err(self.expected("no deeper nesting"));
                    }
                    open.push(bracket);
                    self.at += 1;
                    let close = if bracket == b'{' { b'}' } else { b']' };
                    if self.skip_space() != Some(close) {
                        if bracket == b'{' {
                            self.name_and_colon()?;
                        }
                        continue;
                    }
                    self.at += 1;
                    open.pop();
                }
                Some(b'"') => drop(self.string("a text")?),
                _ => drop(self.scalar()?),
            }
            // Here a value has ended: close what closes, until a comma asks for the next.
            loop {
                let Some(&bracket) = open.last() else {
                    return Ok(());
                };
                match (self.skip_space(), bracket) {
                    (Some(b'}'), b'{') | (Some(b']'), b'[') => {
                        self.at += 1;
                        open.pop();
                    }
                    (Some(b','), _) => {
                        self.at += 1;
                        if bracket == b'{' {
                            self.skip_space();
                            self.name_and_colon()?;
                        }
                        break;
                    }
                    _ => return Err(self.expected("`,` or a closing bracket")),
                }
            }
        }
    }

    fn name_and_colon(&mut self) -> Result<(), String> {
        self.string("a name in quotes")?;
        if self.skip_space() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        Ok(())
    }
}
