//! Everything in the endpoint that could grow, and where it stops.

use std::time::Duration;

/// Everything in the endpoint that could grow, and where it stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointLimits {
    /// Connections past their CONNECT.
    pub connections: usize,
    /// Sockets that have not yet sent their CONNECT; then the oldest is closed for a newcomer.
    pub half_open: usize,
    /// Time to send a complete CONNECT.
    pub connect_timeout: Duration,
    /// **Units** bytes of one packet; raised to what the pipeline's largest payload takes.
    ///
    /// Of a larger PUBLISH of MQTT 3.1.1 only the beginning is kept, for the quarantine; the rest
    /// is read and dropped. Any other larger packet closes the connection unread.
    pub packet_bytes: usize,
    /// **Units** bytes of a CONNECT: a name, a password and a will, before anybody is known.
    pub connect_bytes: usize,
    /// **Units** bytes of all larger CONNECT packets that are on their way or being checked.
    pub all_connect_bytes: usize,
    /// **Units** bytes.
    pub client_id_bytes: usize,
    /// **Units** bytes of a topic name or filter.
    pub topic_bytes: usize,
    /// Levels of a topic name or filter.
    pub topic_levels: usize,
    /// Topic aliases of one connection, in either direction.
    pub topic_aliases: u16,
    /// Subscriptions of one client, and filters in one packet.
    pub subscriptions: usize,
    /// **Units** bytes that the subscriptions of all clients take, as reckoned.
    pub all_subscription_bytes: usize,
    /// Messages of one delivery to the pipeline.
    pub delivery_messages: usize,
    /// Messages of one connection that wait for their receipt; then its socket is not read.
    pub unacknowledged_messages: usize,
    /// **Units** bytes of all connections that wait for their receipt.
    pub unacknowledged_bytes: usize,
    /// Unacknowledged messages of quality of service 1 and 2 that an MQTT 5 client may send; more
    /// closes its connection.
    pub receive_maximum: u16,
    /// Messages per second of one client, 0 for any number; past that it is read more slowly.
    pub messages_per_second: u32,
    /// **Units** bytes per second of one client, 0 for any number; past that it is read more
    /// slowly.
    pub bytes_per_second: u32,
    /// The longest keep-alive in seconds, told to MQTT 5 clients that ask for more or for none;
    /// 0 leaves it to the client.
    pub keep_alive_s: u16,
    /// Sessions that outlive their connection.
    pub sessions: usize,
    /// **Units** seconds that a session outlives its connection at most.
    pub session_expiry_s: u32,
    /// Messages that wait for one subscriber, sent ones included; at most 65,000.
    pub outgoing_messages: usize,
    /// **Units** bytes that wait for one subscriber.
    pub outgoing_bytes: usize,
    /// **Units** bytes that wait for all subscribers.
    pub all_outgoing_bytes: usize,
    /// Messages sent to one subscriber and not yet acknowledged by it; at most 65,000.
    pub outgoing_in_flight: usize,
    /// Retained messages of all topics.
    pub retained_messages: usize,
    /// **Units** bytes of all retained messages.
    pub retained_bytes: usize,
    /// Time in which a client must take what is written to it.
    pub write_timeout: Duration,
    /// Time that a newcomer waits for the connection that has its client id to end.
    pub takeover_timeout: Duration,
    /// Time that a shutdown waits for outstanding receipts.
    pub shutdown_timeout: Duration,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            half_open: 1_000,
            connect_timeout: Duration::from_secs(10),
            packet_bytes: 1 << 20,
            connect_bytes: 128 << 10,
            all_connect_bytes: 16 << 20,
            client_id_bytes: 256,
            topic_bytes: 1_024,
            topic_levels: 32,
            topic_aliases: 32,
            subscriptions: 1_000,
            all_subscription_bytes: 256 << 20,
            delivery_messages: 1_000,
            unacknowledged_messages: 20_000,
            unacknowledged_bytes: 256 << 20,
            receive_maximum: 4_096,
            messages_per_second: 0,
            bytes_per_second: 0,
            keep_alive_s: 0,
            sessions: 10_000,
            session_expiry_s: 30 * 24 * 3_600,
            outgoing_messages: 20_000,
            outgoing_bytes: 16 << 20,
            all_outgoing_bytes: 256 << 20,
            outgoing_in_flight: 1_000,
            retained_messages: 10_000,
            retained_bytes: 64 << 20,
            write_timeout: Duration::from_secs(30),
            takeover_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

impl EndpointLimits {
    /// Brings values that could not work into their range.
    pub(super) fn settle(&mut self, readable: usize) {
        self.outgoing_messages = self.outgoing_messages.clamp(1, 65_000);
        self.outgoing_in_flight = self.outgoing_in_flight.clamp(1, 65_000);
        self.delivery_messages = self.delivery_messages.max(1);
        self.receive_maximum = self.receive_maximum.max(1);
        // Nothing that the pipeline would read may be cut.
        self.packet_bytes = self.packet_bytes.max(readable);
    }
}
