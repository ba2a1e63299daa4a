//! JSON of any shape, by the pointers of the mapping rule.

use std::borrow::Cow;

use super::tree::{Node, unescaped};
use crate::codec::instant::{self, Instant};
use crate::codec::quality::Words;
use crate::codec::{Codec, Message, malformed, number};
use crate::config::{JsonShape, MappingRule, TimeSource, TimeUnit};
use crate::decode::{Quality, Series, Sink, Value};
use crate::validate::Rejection;

/// Payloads under one rule.
#[derive(Debug)]
pub(super) struct Shaped {
    shape: JsonShape,
    unit: TimeUnit,
    source: TimeSource,
    words: Words,
    /// Members of a flat sample that are no metrics.
    taken: Vec<String>,
    /// Member that holds the quality of a metric that is an object.
    quality: Option<String>,
}

/// One sample, and the payload around it.
#[derive(Debug, Clone, Copy)]
struct Sample<'n, 'a> {
    node: &'n Node<'a>,
    whole: &'n Node<'a>,
}

impl Shaped {
    pub(super) fn of(rule: &MappingRule) -> Self {
        let shape = rule.json.clone().unwrap_or_default();
        let first = |pointer: &str| {
            pointer
                .split('/')
                .nth(1)
                .map(|token| unescaped(token).into())
        };
        let last = |pointer: &str| {
            pointer
                .rsplit('/')
                .next()
                .map(|token| unescaped(token).into())
        };
        let pointers = [&shape.class, &shape.asset, &shape.quality];
        let pointers = pointers.into_iter().flatten().chain([&shape.time]);
        Self {
            taken: pointers.filter_map(|pointer| first(pointer)).collect(),
            quality: shape.quality.as_deref().and_then(last),
            unit: rule.time_unit(),
            source: rule.time_source(),
            words: Words::of(rule),
            shape,
        }
    }

    fn sample(
        &self,
        sample: Sample<'_, '_>,
        unit: TimeUnit,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        if !matches!(sample.node, Node::Object(_)) {
            return Err(malformed("a sample that is no object"));
        }
        let series = self.series(sample, sink)?;
        sink.begin(series);
        let quality = self.shape.quality.as_deref();
        let quality = quality.and_then(|pointer| sample.find(pointer));
        let of_all = quality.and_then(Node::word);
        let of_all = of_all.map_or(Quality::Good, |word| self.words.quality(word));
        let by_metric = quality.filter(|node| matches!(node, Node::Object(_)));
        let put = |name: &str, node: &Node<'_>, sink: &mut Sink<'_>| {
            let own = by_metric.and_then(|words| words.member(name)?.word());
            let own = own.map_or(of_all, |word| self.words.quality(word));
            self.metric(name, node, own, sink);
        };
        if let Some(name) = &self.shape.metric {
            let name = sample.node.at(name).and_then(Node::word);
            let name = name.ok_or_else(|| malformed("a sample without the name of its metric"))?;
            let value = sample.node.member(&self.shape.value);
            put(name, value.unwrap_or(&Node::Null), sink);
        } else {
            for (name, pointer) in &self.shape.values {
                if let Some(node) = sample.node.at(pointer) {
                    put(name, node, sink);
                }
            }
            self.metrics(sample.node, sink, put)?;
        }
        let time = match sample.find(&self.shape.time) {
            None => Instant::Absent,
            Some(Node::Number(digits)) => instant::of_digits(digits, unit),
            Some(Node::Text(text)) => instant::of_either(text, unit),
            Some(_) => Instant::Unreadable,
        };
        sink.end(time.chosen(self.source, sink.received_at())?)
    }

    /// The metrics of an object, or of an array of objects with names and values.
    fn metrics(
        &self,
        sample: &Node<'_>,
        sink: &mut Sink<'_>,
        put: impl Fn(&str, &Node<'_>, &mut Sink<'_>),
    ) -> Result<(), Rejection> {
        let flat = self.shape.metrics.is_empty();
        match sample.at(&self.shape.metrics) {
            Some(Node::Object(_)) if flat && !self.shape.values.is_empty() => {}
            Some(Node::Object(members)) => {
                for (name, node) in members {
                    if !(flat && self.taken.iter().any(|taken| taken == name)) {
                        put(name, node, sink);
                    }
                }
            }
            Some(Node::Array(items)) => {
                for item in items {
                    let name = item.member(&self.shape.name).and_then(Node::word);
                    let name = name.ok_or_else(|| malformed("a metric without a name"))?;
                    put(name, item, sink);
                }
            }
            None | Some(Node::Null) => {}
            Some(_) => return Err(malformed("expected metrics to be an object or an array")),
        }
        Ok(())
    }

    fn metric(&self, name: &str, node: &Node<'_>, quality: Quality, sink: &mut Sink<'_>) {
        let (node, quality) = match node {
            Node::Object(_) => {
                let own = self.quality.as_deref().and_then(|name| node.member(name));
                let own = own.and_then(Node::word);
                let quality = own.map_or(quality, |word| self.words.quality(word));
                match node.member(&self.shape.value) {
                    Some(value) => (value, quality),
                    None => return sink.not_a_value(name),
                }
            }
            scalar => (scalar, quality),
        };
        let value = match node {
            Node::Number(digits) => Value::Number(number::exact(digits)),
            Node::NotFinite => Value::Number(f64::NAN),
            Node::Text(text) => Value::Text(text),
            Node::Bool(value) => Value::Number(f64::from(u8::from(*value))),
            Node::Null => Value::Absent,
            Node::Object(_) | Node::Array(_) => return sink.not_a_value(name),
        };
        sink.sample(name, value, quality);
    }

    fn series(&self, sample: Sample<'_, '_>, sink: &mut Sink<'_>) -> Result<Series, Rejection> {
        let said = |pointer: &Option<String>| -> Option<Cow<'_, str>> {
            let node = sample.find(pointer.as_deref()?)?;
            node.word().map(Cow::Borrowed)
        };
        sink.series_named(
            said(&self.shape.class).as_deref(),
            said(&self.shape.asset).as_deref(),
        )
    }
}

impl<'n, 'a> Sample<'n, 'a> {
    /// What a pointer finds in the sample, or else in the payload around it.
    fn find(&self, pointer: &str) -> Option<&'n Node<'a>> {
        if pointer.is_empty() {
            return None;
        }
        self.node.at(pointer).or_else(|| self.whole.at(pointer))
    }
}

impl Codec for Shaped {
    fn decode(&mut self, message: &Message<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let whole = Node::of(message.payload).map_err(malformed)?;
        let unit = message.unit.unwrap_or(self.unit);
        let samples = whole.at(&self.shape.samples);
        let samples = samples.ok_or_else(|| malformed("nothing stands where samples should"))?;
        let one = std::slice::from_ref(samples);
        let samples = match samples {
            Node::Array(samples) => samples,
            _ => one,
        };
        for node in samples {
            let whole = &whole;
            self.sample(Sample { node, whole }, unit, sink)?;
        }
        Ok(())
    }
}
