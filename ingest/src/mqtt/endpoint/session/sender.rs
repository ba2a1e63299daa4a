//! How one connection wants its messages written.

use std::collections::HashMap;

use bytes::Bytes;

use super::entry::{Entry, Stage};
use crate::mqtt::frame::{self, PublishHead, Version};
use crate::mqtt::property;

/// How one connection wants its messages written.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) version: Version,
    /// Messages sent and not yet acknowledged, at most.
    pub(crate) window: usize,
    /// **Units** bytes of the largest packet that the client takes.
    pub(crate) maximum_packet: usize,
    /// Topic aliases that may be in use; they live as long as the connection.
    pub(crate) most_aliases: u16,
    aliases: HashMap<Bytes, u16>,
    properties: Vec<u8>,
}

impl Sender {
    pub(crate) fn new(
        version: Version,
        window: usize,
        maximum_packet: usize,
        most_aliases: u16,
    ) -> Self {
        Self {
            version,
            window,
            maximum_packet,
            most_aliases,
            aliases: HashMap::new(),
            properties: Vec::new(),
        }
    }

    /// Writes a message, or the release of one that the client has; false when it is not to be
    /// sent: its life is over, or the client takes no packet so large.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, entry: &Entry, now: u64) -> bool {
        if entry.stage == Stage::Received {
            frame::put_ack(out, frame::PUBREL, entry.packet_id);
            return true;
        }
        let message = &entry.message;
        let Ok(left) = message.left(now) else {
            return false;
        };
        let known = self.aliases.get(&message.topic).copied();
        let fresh = match self.version {
            Version::V5 if known.is_none() => u16::try_from(self.aliases.len() + 1)
                .ok()
                .filter(|alias| *alias <= self.most_aliases),
            _ => None,
        };
        self.properties.clear();
        if self.version == Version::V5 {
            self.properties.extend_from_slice(&message.properties);
            if let Some(seconds) = left {
                property::put_message_expiry(&mut self.properties, seconds);
            }
            if let Some(alias) = known.or(fresh) {
                property::put_topic_alias(&mut self.properties, alias);
            }
            for identifier in entry.identifiers.as_deref().unwrap_or_default() {
                self.properties.push(property::SUBSCRIPTION_IDENTIFIER);
                property::put_length(&mut self.properties, *identifier as usize);
            }
        }
        let head = PublishHead {
            topic: if known.is_some() { b"" } else { &message.topic },
            qos: entry.qos,
            retain: entry.retain,
            duplicate: entry.stage == Stage::Sent,
            packet_id: entry.packet_id,
            properties: (self.version == Version::V5).then_some(&self.properties[..]),
        };
        if head.size(message.payload.len()) > self.maximum_packet {
            return false;
        }
        frame::put_publish(out, &head, &message.payload);
        if let Some(alias) = fresh {
            self.aliases.insert(message.topic.clone(), alias);
        }
        true
    }
}
