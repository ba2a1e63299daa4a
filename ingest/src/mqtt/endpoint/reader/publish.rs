//! Publishes: judged one by one as they are found, then cut out of their block together.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::super::connection::Closed;
use super::super::message::{Message, expiry};
use super::super::outbox::{Inbound, Route};
use super::super::session::Session;
use super::super::stats::{CloseReason, add};
use super::super::topics::Verdict;
use super::super::unmapped::first_level;
use super::{Reader, bad_topic, violation};
use crate::mqtt::answer::reason;
use crate::mqtt::frame::{self, Version};
use crate::mqtt::property::{self, PropertyError};
use crate::source::Envelope;

/// A publish that waits to be delivered.
pub(crate) struct Item {
    publish: frame::Publish,
    verdict: Verdict,
    /// What only MQTT 5 has, and few messages.
    extra: Option<Box<Extra>>,
}

struct Extra {
    /// The topic, where an alias stands for it.
    topic: Option<Bytes>,
    expires_at: Option<u64>,
    /// Bytes of properties that go on to subscribers.
    passed: usize,
}

impl Reader {
    /// Judges a publish and lets it wait for its delivery.
    pub(super) fn take_publish(&mut self, publish: frame::Publish) -> Result<(), Closed> {
        let extra = match self.version {
            Version::V5 if !publish.properties.is_empty() => self.extra(&publish)?,
            _ => None,
        };
        let named = extra.as_ref().and_then(|extra| extra.topic.as_deref());
        let name = named.unwrap_or(&self.buffer[publish.topic.clone()]);
        let verdict = self.topics.judge(name).map_err(bad_topic)?;
        if publish.qos > 0 {
            match self.version {
                // There is no other way to say no, and an acknowledgement would be a lie.
                Version::V4 if verdict == Verdict::Denied => {
                    add(&self.shared.counters.denied_publishes, 1);
                    return Err(Closed::new(
                        CloseReason::NotAuthorized,
                        format!(
                            "the client must not publish to {:?}",
                            String::from_utf8_lossy(name)
                        ),
                    ));
                }
                Version::V4 => {}
                Version::V5 => self.begin_exchange()?,
            }
        }
        self.batch.push(Item {
            publish,
            verdict,
            extra,
        });
        Ok(())
    }

    /// A client of MQTT 5 was told how many unacknowledged messages it may have.
    fn begin_exchange(&mut self) -> Result<(), Closed> {
        let most = self.shared.limits.receive_maximum;
        if self.outbox.exchanges() + self.begun >= usize::from(most) {
            return Err(Closed::new(
                CloseReason::ReceiveMaximum,
                format!("more than {most} messages are unacknowledged at once"),
            ));
        }
        self.begun += 1;
        Ok(())
    }

    fn extra(&mut self, publish: &frame::Publish) -> Result<Option<Box<Extra>>, Closed> {
        let properties =
            property::of_publish(&self.buffer[publish.properties.clone()]).map_err(|error| {
                match error {
                    PropertyError::Alias => Closed::new(CloseReason::TopicAlias, error),
                    _ => violation(error),
                }
            })?;
        let topic = match properties.alias {
            None => None,
            Some(alias) => Some(self.aliased(alias, publish)?),
        };
        Ok(Some(Box::new(Extra {
            topic,
            expires_at: properties.expiry.map(expiry),
            passed: properties.passed,
        })))
    }

    /// The topic that an alias stands for, or comes to stand for.
    fn aliased(&mut self, alias: u16, publish: &frame::Publish) -> Result<Bytes, Closed> {
        let unknown = |what: &str| {
            Closed::new(
                CloseReason::TopicAlias,
                format!("the topic alias {alias} {what}"),
            )
        };
        if alias > self.shared.limits.topic_aliases {
            return Err(unknown("is higher than the endpoint allows"));
        }
        let name = &self.buffer[publish.topic.clone()];
        if name.is_empty() {
            let known = self.aliases.get(&alias).cloned();
            return known.ok_or_else(|| unknown("has not been given a topic"));
        }
        // Checked before it is kept: it may be used again without a name.
        self.topics.judge(name).map_err(bad_topic)?;
        let topic = Bytes::copy_from_slice(name);
        self.aliases.insert(alias, topic.clone());
        Ok(topic)
    }

    /// Cuts the batch out of its block: what goes to the pipeline, and what is owed for all of it.
    pub(super) fn cut(
        &mut self,
        block: &Bytes,
        budget: Option<OwnedSemaphorePermit>,
    ) -> (Vec<Envelope>, Inbound) {
        let received_at = self.shared.clock.now();
        let has_subscribers = self.shared.router.has_subscribers();
        let mut envelopes = Vec::with_capacity(self.batch.len());
        let mut inbound = Inbound {
            acks: Vec::with_capacity(self.batch.len() * 4),
            messages: self.batch.len(),
            budget,
            ..Inbound::default()
        };
        let (mut unmapped, mut denied) = (0, 0);
        let mut last_unmapped: Option<Bytes> = None;
        self.outbox.begin_exchanges(std::mem::take(&mut self.begun));
        for item in self.batch.drain(..) {
            let Item {
                publish,
                verdict,
                extra,
            } = item;
            if verdict == Verdict::Denied {
                denied += 1;
                refuse(&publish, &mut inbound);
                continue;
            }
            if !owe(&publish, &self.session, &mut inbound) {
                continue;
            }
            let (aliased, expires_at, passed) = match extra {
                Some(extra) => (extra.topic, extra.expires_at, extra.passed),
                None => (None, None, 0),
            };
            let topic = aliased.unwrap_or_else(|| block.slice(publish.topic));
            let payload = block.slice(publish.payload);
            let arrived = if publish.qos == 2 {
                publish.packet_id
            } else {
                0
            };
            if has_subscribers || publish.retain {
                let properties = match passed {
                    0 => Bytes::new(),
                    _ => property::passed_on(&block[publish.properties], passed).into(),
                };
                inbound.routes.push(Route {
                    message: Message {
                        topic: topic.clone(),
                        payload: payload.clone(),
                        properties,
                        qos: publish.qos,
                        retain: publish.retain,
                        expires_at,
                    },
                    arrived,
                });
            } else if arrived != 0 {
                inbound.arrived.push(arrived);
            }
            if verdict == Verdict::Unmapped {
                unmapped += 1;
                // Most batches repeat one level: only another one asks again.
                let told = last_unmapped.as_deref().map(first_level);
                if told != Some(first_level(&topic)) {
                    self.shared.log_rates.unmapped.tell(&topic);
                    last_unmapped = Some(topic);
                }
                continue;
            }
            envelopes.push(Envelope {
                topic,
                payload: payload.into(),
                received_at,
            });
        }
        if unmapped > 0 {
            add(&self.shared.counters.unmapped_messages, unmapped);
        }
        if denied > 0 {
            add(&self.shared.counters.denied_publishes, denied);
        }
        (envelopes, inbound)
    }
}

/// Adds the acknowledgement that a publish asks for. False when the message came before.
pub(crate) fn owe(publish: &frame::Publish, session: &Session, inbound: &mut Inbound) -> bool {
    match publish.qos {
        0 => true,
        1 => {
            frame::put_ack(&mut inbound.acks, frame::PUBACK, publish.packet_id);
            inbound.acked += 1;
            inbound.ended += 1;
            true
        }
        _ => {
            frame::put_ack(&mut inbound.acks, frame::PUBREC, publish.packet_id);
            inbound.acked += 1;
            let is_new = session.arrives(publish.packet_id);
            // A repetition is the same exchange: it was counted when it began.
            inbound.ended += usize::from(!is_new);
            is_new
        }
    }
}

/// Adds the refusal of a publish; only MQTT 5 comes here with a quality of service.
fn refuse(publish: &frame::Publish, inbound: &mut Inbound) {
    let kind = match publish.qos {
        0 => return,
        1 => frame::PUBACK,
        _ => frame::PUBREC,
    };
    let code = reason::NOT_AUTHORIZED;
    frame::put_ack_reason(&mut inbound.acks, kind, publish.packet_id, code);
    inbound.acked += 1;
    inbound.ended += 1;
}
