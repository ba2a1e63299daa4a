//! Everything that is not a PUBLISH, and what is answered to it.

use super::super::connection::Closed;
use super::super::session::{Session, pubrel};
use super::super::stats::CloseReason;
use super::{Reader, violation};
use crate::mqtt::answer::reason;
use crate::mqtt::frame::{self, Frame, Version};
use crate::mqtt::packet;

impl Reader {
    /// The client tells how far it is with a message that it was sent.
    pub(super) fn acknowledged(&mut self, kind: u8, packet_id: u16, code: u8) {
        let session: &Session = &self.session;
        let refused = code >= 0x80;
        match kind {
            frame::PUBACK => {
                session.acknowledged(packet_id);
            }
            frame::PUBCOMP => {
                session.completed(packet_id);
            }
            _ if refused => {
                session.rejected(packet_id);
            }
            _ => match session.received(packet_id) {
                Some(ticket) => self.outbox.answer_when(ticket, pubrel(packet_id), 0),
                None => {
                    let mut packet = pubrel(packet_id);
                    if self.version == Version::V5 {
                        packet.clear();
                        let code = reason::PACKET_ID_NOT_FOUND;
                        frame::put_ack_reason(&mut packet, frame::PUBREL, packet_id, code);
                    }
                    self.outbox.answer_when(0, packet, 0);
                }
            },
        }
    }

    /// Answers a request; what came before it has been delivered.
    pub(super) async fn answer(&mut self, first: u8, body: &[u8]) -> Result<(), Closed> {
        match first {
            frame::SUBSCRIBE => self.subscribe(body).await,
            frame::UNSUBSCRIBE => self.unsubscribe(body),
            frame::PUBREL => self.release(body),
            frame::DISCONNECT => self.say_goodbye(body),
            frame::CONNECT => Err(violation("a second CONNECT came on one connection")),
            other => Err(violation(format!(
                "a client must not send a packet that begins with {other:#04x}"
            ))),
        }
    }

    fn release(&mut self, body: &[u8]) -> Result<(), Closed> {
        let whole = Frame {
            first: frame::PUBREL,
            body: 0..body.len(),
        };
        let (packet_id, _) = frame::acknowledgement(body, &whole, self.version)?;
        let (known, ticket) = self.session.release(packet_id);
        let mut answer = Vec::with_capacity(5);
        if known || self.version == Version::V4 {
            frame::put_ack(&mut answer, frame::PUBCOMP, packet_id);
        } else {
            let code = reason::PACKET_ID_NOT_FOUND;
            frame::put_ack_reason(&mut answer, frame::PUBCOMP, packet_id, code);
        }
        self.outbox.answer_when(ticket, answer, usize::from(known));
        Ok(())
    }

    fn say_goodbye(&mut self, body: &[u8]) -> Result<(), Closed> {
        let goodbye = packet::disconnect(body, self.version)?;
        if !self.wants_session && goodbye.session_expiry.is_some_and(|seconds| seconds > 0) {
            return Err(violation(
                "DISCONNECT asks for a session although CONNECT asked for none",
            ));
        }
        self.goodbye = Some(goodbye);
        Err(CloseReason::Disconnected.into())
    }
}
