//! The state of the service as a Sparkplug host, told at our own endpoint.

use fieldwright_ingest::clock::SharedClock;
use fieldwright_ingest::commands::{Publisher, host_state};

/// Tells nodes that name this host as their primary one whether it takes data.
#[derive(Debug)]
pub struct Host {
    host_id: String,
    publisher: Publisher,
    clock: SharedClock,
}

impl Host {
    /// A host that is online from now on.
    pub async fn online(host_id: String, publisher: Publisher, clock: SharedClock) -> Self {
        let host = Self {
            host_id,
            publisher,
            clock,
        };
        host.tell(true).await;
        host
    }

    /// Says that nothing is taken any more.
    ///
    /// After a crash the retained state stays *online* until the next start; nodes see the end of
    /// their connections all the same, for the endpoint is the broker.
    pub async fn offline(&self) {
        self.tell(false).await;
    }

    async fn tell(&self, online: bool) {
        let at = self.clock.now().timestamp_millis();
        // A door that is closed has nobody who could hear it.
        let _ = self
            .publisher
            .publish(host_state(&self.host_id, online, at))
            .await;
    }
}
