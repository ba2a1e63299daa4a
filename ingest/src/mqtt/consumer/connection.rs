//! The connections to the broker, one after the other.
//!
//! The MQTT client is driven here and nowhere else, and acknowledgements are written here, between
//! two polls, straight into its socket. They do not take the client's request channel: that one
//! flushes after every packet, loses a request when a poll is canceled in the middle of writing
//! it, and could carry an acknowledgement over to the next connection, where its packet id means
//! another message.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use rumqttc::{
    ConnectReturnCode, ConnectionError, Event, EventLoop, Incoming, MqttOptions, NetworkOptions,
    Packet, PubAck, QoS, Request, StateError, Subscribe, SubscribeFilter, SubscribeReasonCode,
};
use tokio::sync::{Notify, watch};

use super::gaps::{Gap, Gaps};
use super::inbox::Inbox;
use super::stats::{Counters, add};
use super::{ConsumerConfig, address};
use crate::clock::{SharedClock, process_sleep};
use crate::mqtt::ack_line::ReceiptLost;
use crate::mqtt::queue::DeliveryQueue;

/// How long the rest of a broken connection is read.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Why one connection ended.
enum End {
    /// It broke, with what is known about it.
    Broken(String),
    /// The pipeline takes nothing more.
    PipelineStopped,
    /// The consumer was told to stop.
    Stopped,
}

impl From<ConnectionError> for End {
    fn from(error: ConnectionError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<StateError> for End {
    fn from(error: StateError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Drives the client until it is told to stop.
pub(super) struct Worker {
    config: Arc<ConsumerConfig>,
    client: EventLoop,
    intake: DeliveryQueue,
    clock: SharedClock,
    counters: Arc<Counters>,
    gaps: Arc<Gaps>,
    stopped: watch::Receiver<bool>,
    wake: Arc<Notify>,
    inbox: Inbox,
    /// The subscription request that the broker has not yet answered.
    subscribing: Option<u16>,
    /// Whether the broker has confirmed every filter for the session that it holds.
    subscribed: bool,
    /// When anything came last from the broker, business clock.
    heard: Option<DateTime<Utc>>,
}

impl Worker {
    pub(super) fn new(
        config: Arc<ConsumerConfig>,
        options: MqttOptions,
        intake: DeliveryQueue,
        clock: SharedClock,
        counters: Arc<Counters>,
        gaps: Arc<Gaps>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let mut client = EventLoop::new(options, 1);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(config.limits.network_timeout.as_secs().max(1));
        network.set_tcp_nodelay(true);
        client.set_network_options(network);
        let wake = Arc::new(Notify::new());
        let limits = config.limits.clone();
        Self {
            inbox: Inbox::new(limits, clock.clone(), counters.clone(), wake.clone()),
            config,
            client,
            intake,
            clock,
            counters,
            gaps,
            stopped,
            wake,
            subscribing: None,
            subscribed: false,
            heard: None,
        }
    }

    pub(super) async fn run(mut self) {
        let url = address::without_credentials(&self.config.url);
        let mut backoff = self.config.limits.backoff_min;
        loop {
            let mut stopped = self.stopped.clone();
            let connected = tokio::select! {
                biased;
                () = told(&mut stopped) => return,
                connected = self.connect() => connected,
            };
            match connected {
                Ok(session_present) => {
                    backoff = self.config.limits.backoff_min;
                    let end = match self.open_session(session_present).await {
                        Ok(()) => self.converse().await,
                        Err(end) => end,
                    };
                    self.forget_connection();
                    match end {
                        End::Stopped => return,
                        End::PipelineStopped => {
                            tracing::info!(url, "MQTT consumer stops: the pipeline has stopped");
                            return;
                        }
                        End::Broken(error) => {
                            tracing::warn!(url, error, "MQTT broker lost; connecting again");
                        }
                    }
                }
                Err(error) => {
                    add(&self.counters.connect_failures, 1);
                    self.forget_connection();
                    log_refusal(&url, &error, backoff);
                }
            }
            tokio::select! {
                biased;
                () = told(&mut stopped) => return,
                () = process_sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(self.config.limits.backoff_max);
        }
    }

    /// Connects; returns whether the broker still had the session.
    async fn connect(&mut self) -> Result<bool, ConnectionError> {
        loop {
            if let Event::Incoming(Incoming::ConnAck(answer)) = self.client.poll().await? {
                return Ok(answer.session_present);
            }
        }
    }

    /// Starts the epoch, and subscribes unless the session is known to have every filter.
    ///
    /// A session that is present proves nothing by itself: the connection that made it may have
    /// died before the SUBSCRIBE was answered, and the filters may have changed since another run.
    async fn open_session(&mut self, session_present: bool) -> Result<(), End> {
        let url = address::without_credentials(&self.config.url);
        let client_id = self.client.mqtt_options.client_id();
        // The first connection of this run finds the session of an earlier one, or a gap.
        let had_session = self.inbox.epoch() > 0 || self.gaps.had_session(&client_id, &url);
        self.inbox.begin_epoch();
        tracing::info!(
            url,
            client_id,
            session_present,
            epoch = self.inbox.epoch(),
            "MQTT broker connected"
        );
        let now = self.clock.now();
        if !session_present && had_session {
            add(&self.counters.possible_gaps, 1);
            tracing::warn!(
                client_id,
                epoch = self.inbox.epoch(),
                "MQTT broker has lost our session: messages published while we were away may \
                 be missing (possible gap)"
            );
            self.gaps.add(Gap {
                client_id,
                from: self.heard,
                to: now,
                connection: self.inbox.epoch(),
            });
        }
        self.heard = Some(now);
        self.subscribed &= session_present;
        if self.subscribed {
            self.counters.set_connected(true);
            return Ok(());
        }
        let filters = self
            .config
            .topics
            .iter()
            .map(|topic| SubscribeFilter::new(topic.clone(), QoS::AtLeastOnce));
        let request = Request::Subscribe(Subscribe::new_many(filters));
        if let Some(packet) = self.client.state.handle_outgoing_packet(request)? {
            if let Packet::Subscribe(subscribe) = &packet {
                self.subscribing = Some(subscribe.pkid);
            }
            self.write([packet]).await?;
        }
        Ok(())
    }

    /// Receives, delivers and acknowledges until the connection ends.
    async fn converse(&mut self) -> End {
        let mut stopped = self.stopped.clone();
        loop {
            if let Err(end) = self.acknowledge().await {
                self.read_rest().await;
                return end;
            }
            let intake = self.intake.clone();
            let reads = self.inbox.has_room();
            // Dropping a poll that waits is safe: all that it read is in the client's state, and
            // nothing of ours is ever in its request channel.
            let event = tokio::select! {
                biased;
                () = told(&mut stopped) => return self.drain().await,
                () = self.wake.notified() => continue,
                // While nothing is read the client does not ping, and the broker would hang up
                // only to send everything again.
                () = process_sleep(self.config.limits.keep_alive), if !reads => {
                    if let Err(end) = self.write([Packet::PingReq]).await {
                        return end;
                    }
                    continue;
                }
                place = intake.place(), if self.inbox.has_received() => {
                    let Ok(place) = place else { return End::PipelineStopped };
                    let delivery = self.inbox.next_delivery();
                    place.send(delivery);
                    continue;
                }
                event = self.client.poll(), if reads => event,
            };
            if let Err(end) = self.receive(event) {
                return end;
            }
        }
    }

    /// Takes an event and all that are there already, without waiting for more.
    fn receive(&mut self, first: Result<Event, ConnectionError>) -> Result<(), End> {
        let mut event = first;
        self.heard = Some(self.clock.now());
        loop {
            self.take(event?);
            if !self.inbox.has_room() || self.inbox.is_full() {
                return Ok(());
            }
            match self.client.poll().now_or_never() {
                Some(next) => event = next,
                None => return Ok(()),
            }
        }
    }

    /// Reads what a broker had still written when writing to it failed.
    async fn read_rest(&mut self) {
        while self.inbox.has_room()
            && let Ok(Ok(event)) = tokio::time::timeout(LAST_WORDS, self.client.poll()).await
        {
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Incoming(Incoming::Publish(publish)) => self.inbox.take(publish),
            Event::Incoming(Incoming::SubAck(answer)) if Some(answer.pkid) == self.subscribing => {
                self.subscribing = None;
                // A filter without an answer counts as refused.
                let mut refused = self
                    .config
                    .topics
                    .len()
                    .saturating_sub(answer.return_codes.len());
                for (code, topic) in answer.return_codes.iter().zip(&self.config.topics) {
                    if *code == SubscribeReasonCode::Failure {
                        refused += 1;
                        tracing::error!(
                            topic,
                            "MQTT broker refused a subscription: check what this user may read"
                        );
                    }
                }
                add(&self.counters.subscriptions_refused, refused);
                self.subscribed = refused == 0;
                if self.subscribed {
                    let url = address::without_credentials(&self.config.url);
                    self.gaps
                        .has_session(&self.client.mqtt_options.client_id(), &url);
                }
                self.counters.set_connected(self.subscribed);
            }
            _ => {}
        }
    }

    /// Writes the acknowledgements of everything that is confirmed, in receive order.
    async fn acknowledge(&mut self) -> Result<(), End> {
        // In order, nothing behind a lost receipt can be acknowledged: have it all sent again.
        let acks = self.inbox.confirmed().map_err(|ReceiptLost| {
            End::Broken("the pipeline could not make a message durable".to_owned())
        })?;
        if acks.is_empty() {
            return Ok(());
        }
        let count = acks.len();
        self.write(acks.into_iter().map(|id| Packet::PubAck(PubAck::new(id))))
            .await?;
        add(&self.counters.acknowledgements_out, count);
        Ok(())
    }

    /// Writes packets and flushes once; never canceled, so never half done.
    async fn write(&mut self, packets: impl IntoIterator<Item = Packet>) -> Result<(), End> {
        let Some(network) = self.client.network.as_mut() else {
            return Err(End::Broken("the connection is gone".to_owned()));
        };
        let writing = async {
            for packet in packets {
                network.write(packet).await?;
            }
            network.flush().await
        };
        match tokio::time::timeout(self.config.limits.network_timeout, writing).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(End::Broken("the broker does not read".to_owned())),
        }
    }

    /// Waits for what is outstanding, acknowledges it and says goodbye.
    async fn drain(&mut self) -> End {
        let patience = self.config.limits.shutdown_timeout;
        let drained = tokio::time::timeout(patience, self.settle()).await;
        match drained {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Stopped,
            Err(_) => tracing::warn!(
                waited_s = patience.as_secs(),
                "MQTT consumer: not every message was durable before the shutdown limit; \
                 the broker will send the rest again"
            ),
        }
        let _ = self.write([Packet::Disconnect]).await;
        End::Stopped
    }

    async fn settle(&mut self) -> Result<(), End> {
        loop {
            self.acknowledge().await?;
            if self.inbox.has_received() {
                let intake = self.intake.clone();
                let Ok(place) = intake.place().await else {
                    return Err(End::PipelineStopped);
                };
                let delivery = self.inbox.next_delivery();
                place.send(delivery);
            } else if self.inbox.is_settled() {
                return Ok(());
            } else {
                self.wake.notified().await;
            }
        }
    }

    /// Leaves nothing of a broken connection behind that could reach the next one.
    fn forget_connection(&mut self) {
        self.counters.set_connected(false);
        self.subscribing = None;
        self.client.clean();
        self.client.pending.clear();
        // Events that the client has read but not yet told would be taken for the next
        // connection's: their packet ids would acknowledge other messages there.
        for event in std::mem::take(&mut self.client.state.events) {
            if let Event::Incoming(Incoming::Publish(publish)) = event {
                self.inbox.take(publish);
            }
        }
        self.inbox.end_epoch();
    }
}

/// Waits until the consumer is told to stop.
pub(super) async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn log_refusal(url: &str, error: &ConnectionError, backoff: Duration) {
    let retry_in_ms = backoff.as_millis() as u64;
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => tracing::error!(
            url,
            retry_in_ms,
            "MQTT broker refused user and password: check the broker's credentials"
        ),
        error => tracing::warn!(url, %error, retry_in_ms, "MQTT broker could not be reached"),
    }
}
