//! InfluxDB line protocol: `measurement,tag=text,… field=value,… timestamp`, one row a line.
//!
//! **Source**: the line protocol reference of InfluxDB 2 (`docs.influxdata.com`), and what its own
//! parser does where the reference is silent: `\` before another character than those it escapes
//! stands for itself, a repeated tag is refused, the last of repeated fields counts here as a
//! metric that stands twice.

mod fields;
mod parts;
mod tags;

use self::fields::Field;
pub use self::parts::parts;
use super::instant::Instant;
use super::{Codec, Message, malformed};
use crate::config::{LineTags, MappingRule, TimeSource, TimeUnit};
use crate::decode::{Series, Sink};
use crate::validate::Rejection;

/// Lines under one rule.
#[derive(Debug)]
struct Lines {
    tags: LineTags,
    unit: TimeUnit,
    source: TimeSource,
    /// Topic and head of a line, where the topic says something of the series.
    key: Vec<u8>,
}

/// The codec of a rule.
pub(super) fn codec(rule: &MappingRule) -> Box<dyn Codec> {
    Box::new(Lines {
        tags: rule.line_protocol.clone().unwrap_or_default(),
        unit: rule.time_unit(),
        source: rule.time_source(),
        key: Vec::new(),
    })
}

impl Codec for Lines {
    fn decode(&mut self, message: &Message<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let mut text = Text::of(message.payload)?;
        let unit = message.unit.unwrap_or(self.unit);
        // What the topic says is the same for every line, so it is no part of a line's key.
        let topic = match sink.topic_names() {
            (false, false) => None,
            _ => Some(message.topic),
        };
        while text.next_line() {
            let from = text.at;
            let read = self.series(&mut text, topic, sink);
            let read = read.and_then(|series| self.row(&mut text, series, unit, sink));
            read.map_err(|refusal| text.in_line(from, refusal))?;
            sink.place(|refusal| text.in_line(from, refusal));
        }
        Ok(())
    }
}

impl Lines {
    fn series(
        &mut self,
        text: &mut Text<'_>,
        topic: Option<&[u8]>,
        sink: &mut Sink<'_>,
    ) -> Result<Series, Rejection> {
        if topic.is_none()
            && let Some((series, length)) = sink.expected(text.rest(), b' ')
        {
            text.at += length;
            return Ok(series);
        }
        let head = tags::head(text.rest());
        let bytes = &text.rest()[..head];
        let key = match topic {
            None => bytes,
            Some(topic) => {
                self.key.clear();
                self.key.extend_from_slice(topic);
                self.key.push(0);
                self.key.extend_from_slice(bytes);
                &self.key
            }
        };
        let series = match sink.known(key) {
            Some(series) => series,
            None => {
                let head = tags::read(bytes).map_err(|detail| text.malformed(&detail))?;
                self.new_series(key, &head, sink)?
            }
        };
        text.at += head;
        Ok(series)
    }

    fn new_series(
        &self,
        key: &[u8],
        head: &tags::Head,
        sink: &mut Sink<'_>,
    ) -> Result<Series, Rejection> {
        let class = self.tags.classes.get(&head.measurement);
        let class = class.unwrap_or(&head.measurement);
        // Where the topic names the asset, every tag is one like the others.
        let (_, named) = sink.topic_names();
        let mut asset_tags = self.tags.asset_tag.iter().filter(|_| !named);
        let asset = asset_tags.find_map(|name| head.tag(name));
        let others = head.tags.iter().enumerate();
        let others = others.filter(|(place, _)| asset.is_none_or(|(asset, _)| asset != *place));
        let others: Vec<(&str, &str)> = match self.tags.tags {
            crate::config::Tags::Ignore => Vec::new(),
            crate::config::Tags::Columns => others
                .map(|(_, (name, text))| (name.as_str(), text.as_str()))
                .collect(),
        };
        sink.series(key, Some(class), asset.map(|(_, text)| text), &others)
    }

    /// Fields and timestamp.
    fn row(
        &self,
        text: &mut Text<'_>,
        series: Series,
        unit: TimeUnit,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        sink.begin(series);
        text.space("a space before the fields")?;
        loop {
            let name = fields::name(text.payload, text.at);
            let (name, after) = name.map_err(|(detail, at)| text.malformed_at(&detail, at))?;
            let value = fields::value(text.payload, after);
            let (value, after) = value.map_err(|(detail, at)| text.malformed_at(&detail, at))?;
            text.at = after;
            match value {
                Field::Number(value) => sink.number(&name, value),
                Field::Bool(value) => sink.boolean(&name, value),
                Field::Text(value) => sink.text(&name, &value),
            }
            if text.peek() != Some(b',') {
                break;
            }
            text.at += 1;
        }
        let time = text.timestamp(unit)?;
        sink.end(time.chosen(self.source, sink.received_at())?)
    }
}

/// A payload and how far it is read.
#[derive(Debug)]
pub(super) struct Text<'a> {
    payload: &'a str,
    at: usize,
}

impl<'a> Text<'a> {
    fn of(payload: &'a [u8]) -> Result<Self, Rejection> {
        match std::str::from_utf8(payload) {
            Ok(payload) => Ok(Self { payload, at: 0 }),
            Err(error) => {
                let at = error.valid_up_to();
                Err(malformed(format!("not UTF-8 at byte {at}")))
            }
        }
    }

    /// Goes to the next line that is neither empty nor a comment.
    fn next_line(&mut self) -> bool {
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' | b'\r' | b' ' | b'\t' => self.at += 1,
                b'#' => {
                    let end = self.rest().iter().position(|byte| *byte == b'\n');
                    self.at = end.map_or(self.payload.len(), |end| self.at + end + 1);
                }
                _ => return true,
            }
        }
        false
    }

    fn rest(&self) -> &'a [u8] {
        &self.payload.as_bytes()[self.at..]
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.payload.as_bytes().get(self.at).copied()
    }

    fn space(&mut self, wanted: &str) -> Result<(), Rejection> {
        if self.peek() != Some(b' ') {
            return Err(self.malformed(&format!("expected {wanted}")));
        }
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
        Ok(())
    }

    /// The timestamp, if there is one, and the end of the line.
    fn timestamp(&mut self, unit: TimeUnit) -> Result<Instant, Rejection> {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
        let bytes = self.payload.as_bytes();
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let mut count: i64 = 0;
        let digits = self.at;
        while let Some(byte @ b'0'..=b'9') = self.peek() {
            count = count
                .saturating_mul(10)
                .saturating_add(i64::from(byte - b'0'));
            self.at += 1;
        }
        let found = match self.at {
            at if at == from => Instant::Absent,
            at if at == digits => return Err(self.malformed("expected a timestamp")),
            _ if bytes[from] == b'-' => Instant::Micros(unit.micros(-count)),
            _ => Instant::Micros(unit.micros(count)),
        };
        while let Some(b' ' | b'\r') = self.peek() {
            self.at += 1;
        }
        match self.peek() {
            None => Ok(found),
            Some(b'\n') => {
                self.at += 1;
                Ok(found)
            }
            Some(_) => Err(self.malformed("expected the end of the line")),
        }
    }

    /// A refusal with the line that begins at `from`; what says its place already stays as it is.
    #[cold]
    fn in_line(&self, from: usize, refusal: Rejection) -> Rejection {
        if matches!(
            refusal,
            Rejection::Malformed { .. } | Rejection::TooManyRows { .. } | Rejection::InLine { .. }
        ) {
            return refusal;
        }
        let before = &self.payload.as_bytes()[..from];
        Rejection::InLine {
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            of: Box::new(refusal),
        }
    }

    fn malformed(&self, detail: &str) -> Rejection {
        self.malformed_at(detail, self.at)
    }

    #[cold]
    fn malformed_at(&self, detail: &str, at: usize) -> Rejection {
        let before = &self.payload.as_bytes()[..at.min(self.payload.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let start = before.iter().rposition(|byte| *byte == b'\n');
        let column = at - start.map_or(0, |start| start + 1);
        malformed(format!("{detail} at byte {column} of line {line}"))
    }
}

#[cfg(test)]
mod tests;
