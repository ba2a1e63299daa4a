//! Messages that come from no connection: wills, and commands of the service itself.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::message::{Message, expiry};
use super::stats::add;
use super::topics::is_mapped;
use crate::commands::Outgoing;
use crate::mqtt::packet::Will;
use crate::mqtt::topic;
use crate::source::{Delivery, Envelope, Receipt};

/// Publishes what a client wanted to be said when it was gone: to the pipeline, too, where a
/// mapping rule matches.
pub(super) async fn publish_will(shared: &Shared, will: Will) {
    let message = Message {
        topic: Bytes::from(will.topic),
        payload: will.payload,
        properties: will.properties,
        qos: will.qos,
        retain: will.retain,
        expires_at: will.expiry.map(expiry),
    };
    if is_mapped(shared.mapping.as_deref(), &message.topic) {
        let (confirm, confirmed) = oneshot::channel();
        let Ok(place) = shared.intake.place().await else {
            return;
        };
        add(&shared.counters.messages_in, 1);
        let envelope = Envelope {
            topic: message.topic.clone(),
            payload: message.payload.clone().into(),
            received_at: shared.clock.now(),
        };
        place.send(Delivery {
            envelopes: vec![envelope],
            receipt: Receipt::new(move || {
                let _ = confirm.send(());
            }),
        });
        if confirmed.await.is_err() {
            return;
        }
    } else {
        add(&shared.counters.unmapped_messages, 1);
        shared.log_rates.unmapped.tell(&message.topic);
    }
    shared.router.route(&message, None, 0);
}

/// Sends the service's own messages to their subscribers; they never go to the pipeline.
pub(super) async fn publish_commands(
    shared: std::sync::Arc<Shared>,
    mut commands: mpsc::Receiver<Outgoing>,
) {
    let limits = shared.limits.clone();
    while let Some(command) = commands.recv().await {
        let name = command.topic.as_bytes();
        if let Err(error) = topic::check_name(name, limits.topic_bytes, limits.topic_levels) {
            tracing::error!(topic = command.topic, %error, "a message of the service has no legal topic");
            continue;
        }
        let message = Message {
            topic: Bytes::from(command.topic),
            payload: command.payload,
            properties: Bytes::new(),
            qos: command.qos.min(2),
            retain: command.retain,
            expires_at: None,
        };
        let routed = shared.router.route(&message, None, 0);
        // One after the other: the log is what slows the sender down.
        shared.log.reached(routed.ticket).await;
    }
}
