//! Messages that leave the service for devices, such as a Sparkplug rebirth request.
//!
//! The pipeline puts them into a bounded channel ([`crate::Ingest::commands`]); whoever holds the
//! door to the devices, our endpoint or a consumer's second client, offers a [`Publisher`] that
//! sends them. The composition root joins the two.

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::mpsc;

pub use crate::codec::sparkplug::host_state;

/// Commands that may wait to be sent; further ones are left out and counted. Whoever asked asks
/// again when the need is still there.
pub const WAITING_COMMANDS: usize = 1024;

/// A message to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Topic, without wildcards.
    pub topic: String,
    /// Payload.
    pub payload: Bytes,
    /// Quality of service, 0 to 2.
    pub qos: u8,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
}

/// The commands of a pipeline in order; it ends when the [`crate::Ingest`] is gone.
pub type Commands = mpsc::Receiver<Outgoing>;

/// Sends messages through the door that made it. Cheap to clone; its queue is bounded.
#[derive(Debug, Clone)]
pub struct Publisher {
    queue: mpsc::Sender<Outgoing>,
}

/// Nobody sends any more; the message was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the MQTT door has closed")]
pub struct PublisherClosed;

impl Publisher {
    /// A publisher and the end from which the door takes what it is to send.
    pub fn channel() -> (Self, mpsc::Receiver<Outgoing>) {
        let (queue, messages) = mpsc::channel(WAITING_COMMANDS);
        (Self { queue }, messages)
    }

    /// Hands over a message; waits while the queue is full.
    ///
    /// **Errors**: the door has closed.
    pub async fn publish(&self, message: Outgoing) -> Result<(), PublisherClosed> {
        self.queue.send(message).await.map_err(|_| PublisherClosed)
    }

    /// Sends every command of a pipeline; ends when either side has.
    pub async fn follow(self, mut commands: Commands) {
        loop {
            let command = tokio::select! {
                command = commands.recv() => command,
                () = self.queue.closed() => return,
            };
            let Some(command) = command else { return };
            if self.publish(command).await.is_err() {
                return;
            }
        }
    }
}

/// The pipeline's end of the channel: it never waits.
#[derive(Debug, Clone)]
pub(crate) struct CommandSender(mpsc::Sender<Outgoing>);

/// The pipeline's channel.
pub(crate) fn channel() -> (CommandSender, Commands) {
    let (sender, commands) = mpsc::channel(WAITING_COMMANDS);
    (CommandSender(sender), commands)
}

impl CommandSender {
    /// Hands over a command if there is room; false when it was left out.
    pub(crate) fn send(&self, command: Outgoing) -> bool {
        self.0.try_send(command).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(number: usize) -> Outgoing {
        Outgoing {
            topic: format!("t/{number}"),
            payload: Bytes::new(),
            qos: 0,
            retain: false,
        }
    }

    #[tokio::test]
    async fn commands_reach_the_door_in_order_and_a_full_channel_leaves_out() {
        let (sender, commands) = channel();
        let taken = (0..WAITING_COMMANDS + 3)
            .filter(|number| sender.send(command(*number)))
            .count();
        assert_eq!(taken, WAITING_COMMANDS);
        drop(sender);
        let (publisher, mut door) = Publisher::channel();
        publisher.clone().follow(commands).await;
        for number in 0..WAITING_COMMANDS {
            assert_eq!(door.recv().await, Some(command(number)));
        }
        drop(door);
        assert_eq!(publisher.publish(command(0)).await, Err(PublisherClosed));
    }
}
