//! What a client is sent: answers, acknowledgements of what is durable, and messages.

use std::sync::Arc;
use std::time::Duration;

use super::outbox::{Inbound, Outbox};
use super::router::TURN_WORK;
use super::session::{Sender, Session};
use super::stats::{CloseReason, add};
use super::transport::WriteSide;
use super::{Phase, Shared};
use crate::mqtt::answer;
use crate::mqtt::frame::Version;

/// Time in which a client must take the packet that says why the connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// The sending side of one connection.
pub(super) struct Writer {
    pub(super) socket: WriteSide,
    pub(super) outbox: Arc<Outbox>,
    pub(super) session: Arc<Session>,
    pub(super) sender: Sender,
    pub(super) shared: Arc<Shared>,
}

impl Writer {
    /// Writes until the connection is over and every received message is settled.
    ///
    /// A message is routed here, when its receipt is confirmed, even if its sender is gone by then.
    pub(super) async fn run(mut self) {
        let mut phase = self.shared.phase.clone();
        let (mut out, mut work) = (Vec::new(), Vec::new());
        let mut writable = true;
        loop {
            if !self.outbox.take(&mut out, &mut work) {
                self.outbox.close(CloseReason::NotDurable);
            }
            let settling = !work.is_empty();
            self.settle(&mut work).await;
            let log = &self.shared.log;
            let synced = log.synced();
            let mut waits_for = self.outbox.release(&mut out, synced);
            if writable && self.outbox.closing().is_none() {
                let taken = self.session.take(&mut out, &mut self.sender, synced);
                add(&self.shared.counters.messages_out, taken.messages);
                waits_for = waits_for.into_iter().chain(taken.waits_for).min();
            }
            if writable && !out.is_empty() {
                match self.write(&out).await {
                    Ok(()) => add(&self.shared.counters.bytes_out, out.len()),
                    Err(reason) => {
                        writable = false;
                        self.outbox.close(reason);
                    }
                }
            }
            // A turn is bounded: there may be more to settle without any byte to write.
            let more = settling || !out.is_empty();
            out.clear();
            if out.capacity() > 16 * 1024 {
                // A quiet connection keeps no large buffer.
                out = Vec::new();
            }
            // Only a shutdown still has something to say: the last acknowledgements.
            if writable && !matches!(self.outbox.closing(), None | Some(CloseReason::Shutdown)) {
                writable = false;
                self.farewell().await;
            }
            if self.outbox.closing().is_some() && self.outbox.is_settled() {
                break;
            }
            if more {
                continue;
            }
            let log = &self.shared.log;
            let reached = async {
                match waits_for {
                    Some(ticket) => log.reached(ticket).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = phase.wait_for(|phase| *phase == Phase::Aborted) => break,
                () = self.outbox.woken() => {}
                () = reached => {}
            }
        }
        if writable {
            self.farewell().await;
        }
    }

    /// Routes what is durable, then lets its acknowledgements wait for the session log.
    async fn settle(&self, work: &mut Vec<Inbound>) {
        let mut done = 0;
        for inbound in work.drain(..) {
            let mut ticket = 0;
            for route in &inbound.routes {
                let from = Some(&*self.session);
                let routed = self
                    .shared
                    .router
                    .route(&route.message, from, route.arrived);
                ticket = routed.ticket.max(ticket);
                done += routed.work;
                if done > TURN_WORK {
                    done = 0;
                    tokio::task::yield_now().await;
                }
            }
            if !inbound.arrived.is_empty() {
                let mut batch = self.session.is_logged().then(|| self.shared.log.begin());
                for packet_id in &inbound.arrived {
                    self.session.has_arrived(*packet_id, batch.as_mut());
                }
                ticket = batch.map_or(0, |batch| batch.end()).max(ticket);
            }
            self.outbox.gate(ticket, inbound);
        }
    }

    /// Says why the connection ends, where the client understands that, and ends it.
    async fn farewell(&mut self) {
        let code = self.outbox.closing().and_then(CloseReason::code);
        if let Some(code) = code
            && self.sender.version == Version::V5
        {
            let packet = answer::disconnect(code);
            let _ = tokio::time::timeout(FAREWELL, self.socket.write_all(&packet)).await;
        }
        let _ = tokio::time::timeout(FAREWELL, self.socket.shutdown()).await;
    }

    /// Writes all of `out`; a client that does not read is waited for, but not forever.
    async fn write(&mut self, out: &[u8]) -> Result<(), CloseReason> {
        let mut phase = self.shared.phase.clone();
        let outbox = &self.outbox;
        let ended = async {
            match outbox.closed().await {
                CloseReason::Shutdown => {
                    let _ = phase.wait_for(|phase| *phase == Phase::Aborted).await;
                    CloseReason::Shutdown
                }
                reason => reason,
            }
        };
        let patience = self.shared.limits.write_timeout;
        let writing = tokio::time::timeout(patience, self.socket.write_all(out));
        tokio::select! {
            biased;
            written = writing => match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(CloseReason::SocketFailed),
                Err(_) => Err(CloseReason::WriteTimeout),
            },
            reason = ended => Err(reason),
        }
    }
}
