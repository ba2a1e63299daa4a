//! Codecs: from the bytes of a payload to rows of named values.

mod arrow_ipc;
mod csv;
mod json;
mod line;
pub(crate) mod sparkplug;

#[cfg(test)]
mod contract_tests;
mod instant;
mod number;
mod quality;
#[cfg(test)]
mod said;

pub use self::line::parts as line_protocol_parts;
use self::sparkplug::SharedSparkplug;
use crate::config::{CodecName, MappingRule, TimeUnit};
use crate::decode::Sink;
use crate::validate::Rejection;

/// What a codec is given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    /// The topic, UTF-8.
    pub topic: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
    /// What its times count, where the topic says it.
    pub unit: Option<TimeUnit>,
}

/// Reads one kind of payload, for one mapping rule.
pub(crate) trait Codec: std::fmt::Debug + Send {
    /// Puts every row of the message into `sink`: a series, its values, its event time.
    ///
    /// A codec that remembers something from message to message must do so in the same way
    /// whether a message is accepted or refused: a replay sees the same messages.
    ///
    /// **Errors**: a payload that cannot be read is refused whole. What is wrong with single
    /// values is left to the sink, which keeps the gravest.
    fn decode(&mut self, message: &Message<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection>;
}

/// The codec of a rule; `sparkplug` are the sessions that all Sparkplug rules share.
pub(crate) fn codec(rule: &MappingRule, sparkplug: &SharedSparkplug) -> Box<dyn Codec> {
    match rule.codec {
        CodecName::Json => json::codec(rule),
        CodecName::LineProtocol => line::codec(rule),
        CodecName::Csv => csv::codec(rule),
        CodecName::ArrowIpc => arrow_ipc::codec(rule),
        CodecName::SparkplugB => sparkplug::codec(rule, sparkplug),
    }
}

/// A payload that cannot be read.
pub(crate) fn malformed(detail: impl Into<String>) -> Rejection {
    Rejection::Malformed {
        detail: detail.into(),
    }
}
