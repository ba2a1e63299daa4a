//! What a client asks to be sent, and what is retained for it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::connection::Closed;
use super::message::wall_ms;
use super::reader::{Reader, violation};
use super::router::{Router, TURN_WORK};
use super::session::Session;
use super::subscriptions::{Subscription, SubscriptionTree};
use crate::mqtt::answer::{self, reason};
use crate::mqtt::packet::{self, Options, WhenRetained};
use crate::mqtt::topic::{self, TopicError};

/// Retained messages that are looked at under one lock.
const RETAINED_TURN: usize = 64;
/// Bytes copied that cost as much as a look at one branch of the tree.
const BYTES_PER_WORK: usize = 256;

/// What becomes of one filter of a SUBSCRIBE.
enum Answer {
    Granted { is_new: bool },
    Refused(u8),
}

impl Reader {
    pub(super) async fn subscribe(&mut self, body: &[u8]) -> Result<(), Closed> {
        self.check_filters(packet::filters_in(body, 1, self.version))?;
        let request = packet::subscribe(body, self.version)?;
        let identifier = request.identifier.unwrap_or(0);
        let mut codes = Vec::with_capacity(request.filters.len());
        // A filter that is repeated counts once: the last one.
        let mut asked = SubscriptionTree::default();
        let mut ticket = 0;
        for (filter, options) in &request.filters {
            match self.grant(filter, *options, identifier, &mut ticket)? {
                Answer::Refused(code) => codes.push(code),
                Answer::Granted { is_new } => {
                    codes.push(options.qos);
                    let wanted = match options.retained {
                        WhenRetained::Always => true,
                        WhenRetained::New => is_new,
                        WhenRetained::Never => false,
                    };
                    // Who shares a subscription gets what comes, not what was.
                    if wanted && !filter.starts_with("$share/") {
                        let subscription = self.subscription(*options, identifier);
                        asked.insert(filter, None, subscription);
                    }
                }
            }
        }
        let answer = answer::suback(self.version, request.packet_id, &codes);
        self.outbox.answer_when(ticket, answer, 0);
        // The answer comes first, although it may wait for the disk.
        self.shared.log.reached(ticket).await;
        send_retained(&self.shared.router, &asked, &self.session).await;
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, body: &[u8]) -> Result<(), Closed> {
        self.check_filters(packet::filters_in(body, 0, self.version))?;
        let request = packet::unsubscribe(body, self.version)?;
        let mut codes = Vec::with_capacity(request.filters.len());
        let mut batch = self.shared.log.begin();
        let mut removed = Vec::new();
        for filter in &request.filters {
            let existed = self.session.unsubscribe(filter, &mut batch);
            codes.push(if existed {
                removed.push(filter);
                reason::SUCCESS
            } else {
                reason::NO_SUBSCRIPTION
            });
        }
        let ticket = batch.end();
        for filter in removed {
            self.shared.router.unsubscribe(filter, self.session.number);
        }
        let answer = answer::unsuback(self.version, request.packet_id, &codes);
        self.outbox.answer_when(ticket, answer, 0);
        Ok(())
    }

    /// One packet asks for no more than a client may have: what it costs is bounded.
    fn check_filters(&self, filters: usize) -> Result<(), Closed> {
        let most = self.shared.limits.subscriptions;
        if filters > most {
            return Err(violation(format!(
                "one packet has {filters} filters, more than the limit of {most}"
            )));
        }
        Ok(())
    }

    /// Enters one subscription, or says why not; `ticket` grows to what must be on disk first.
    fn grant(
        &mut self,
        filter: &str,
        options: Options,
        identifier: u32,
        ticket: &mut u64,
    ) -> Result<Answer, Closed> {
        let limits = &self.shared.limits;
        let illegal =
            |error: TopicError| violation(format!("the filter {filter:?} is not legal: {error}"));
        let inner = match topic::shared(filter) {
            Ok(share) => share.map_or(filter, |(_, inner)| inner),
            Err(error) => return Err(illegal(error)),
        };
        match topic::check_filter(inner, limits.topic_bytes, limits.topic_levels) {
            Ok(()) => {}
            Err(TopicError::TooLong) => return Ok(Answer::Refused(reason::TOPIC_FILTER)),
            Err(error) => return Err(illegal(error)),
        }
        if !self.rights.may_subscribe(inner) {
            return Ok(Answer::Refused(reason::NOT_AUTHORIZED));
        }
        let refused = &self.shared.refused_filters;
        if refused.iter().any(|refused| refused == inner) {
            return Ok(Answer::Refused(reason::UNSPECIFIED));
        }
        let known = self.session.subscription(filter);
        if known.is_none()
            && (self.session.subscriptions() >= limits.subscriptions
                || !self.session.has_room_for(filter))
        {
            return Ok(Answer::Refused(reason::QUOTA));
        }
        if known != Some((options, identifier)) {
            let mut batch = self.shared.log.begin();
            self.session
                .subscribe(filter, options, identifier, &mut batch);
            *ticket = batch.end().max(*ticket);
            let subscription = self.subscription(options, identifier);
            self.shared.router.subscribe(filter, subscription);
        }
        Ok(Answer::Granted {
            is_new: known.is_none(),
        })
    }

    fn subscription(&self, options: Options, identifier: u32) -> Subscription {
        Subscription {
            session: self.session.clone(),
            options,
            identifier,
        }
    }
}

/// Sends a subscriber the retained messages that it asked for, each once.
///
/// Every message is looked at once for all filters, some at a time: nobody waits for the lock or
/// the thread longer than one turn takes.
async fn send_retained(router: &Router, asked: &SubscriptionTree, session: &Arc<Session>) {
    if asked.len() == 0 {
        return;
    }
    let mut last = None;
    loop {
        let turn = router.retained_after(last.as_deref(), RETAINED_TURN);
        if turn.is_empty() {
            return;
        }
        let now = wall_ms();
        let mut work = 0;
        for message in turn {
            if message.left(now).is_err() {
                router.forget_expired(&message);
            }
            let name = std::str::from_utf8(&message.topic).unwrap_or_default();
            if let Some(target) = asked.matching(name, &mut work).direct.first() {
                router.offer_retained(session, &message.topic, &target.grant);
                work += message.payload.len() / BYTES_PER_WORK;
            }
            last = Some(message.topic.clone());
            // The rest is looked up again: it may have changed by then.
            if work > TURN_WORK {
                break;
            }
        }
        tokio::task::yield_now().await;
    }
}
