//! `[mqtt.tls]` and `[mqtt.limits]`: the endpoint's own door and what it lets through.

use std::net::SocketAddr;
use std::path::PathBuf;

use fieldwright_ingest::mqtt::{EndpointLimits, TlsConfig};
use serde::Deserialize;

use super::empty_is_none;

/// `[mqtt.tls]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttTls {
    /// Where the endpoint listens with TLS; `None`: nowhere.
    #[serde(deserialize_with = "empty_is_none")]
    listen: Option<String>,
    #[serde(deserialize_with = "empty_is_none")]
    certificate_file: Option<PathBuf>,
    #[serde(deserialize_with = "empty_is_none")]
    key_file: Option<PathBuf>,
    #[serde(deserialize_with = "empty_is_none")]
    client_ca_file: Option<PathBuf>,
}

/// `[mqtt.limits]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttLimits {
    connections: usize,
    half_open: usize,
    sessions: usize,
    session_expiry_s: u32,
    queued_messages: usize,
    queued_mib: usize,
    all_queued_mib: usize,
    retained_messages: usize,
    retained_mib: usize,
    subscriptions: usize,
    packet_kib: usize,
    receive_maximum: u16,
    messages_per_second: u32,
    bytes_per_second: u32,
    keep_alive_s: u16,
}

impl MqttTls {
    /// What the endpoint needs; `None` when TLS is not offered.
    ///
    /// **Errors**: what is missing or cannot be read as an address, a sentence each.
    pub fn endpoint(&self) -> Result<Option<TlsConfig>, Vec<String>> {
        let Some(listen) = &self.listen else {
            return Ok(None);
        };
        let mut found = Vec::new();
        let address = listen.parse::<SocketAddr>();
        if address.is_err() {
            found.push(format!(
                "mqtt.tls.listen is `{listen}`; write ADDRESS:PORT such as 0.0.0.0:8883"
            ));
        }
        let mut file = |name: &str, path: &Option<PathBuf>| {
            if path.is_none() {
                found.push(format!(
                    "mqtt.tls.{name} is empty: TLS needs a certificate and its key, as PEM files"
                ));
            }
            path.clone().unwrap_or_default()
        };
        let certificate_file = file("certificate_file", &self.certificate_file);
        let key_file = file("key_file", &self.key_file);
        match address {
            Ok(listen) if found.is_empty() => Ok(Some(TlsConfig {
                listen,
                certificate_file,
                key_file,
                client_ca_file: self.client_ca_file.clone(),
            })),
            _ => Err(found),
        }
    }
}

impl MqttLimits {
    /// The endpoint's limits; what is not configured keeps its default.
    pub fn endpoint(&self) -> EndpointLimits {
        EndpointLimits {
            connections: self.connections,
            half_open: self.half_open,
            sessions: self.sessions,
            session_expiry_s: self.session_expiry_s,
            outgoing_messages: self.queued_messages,
            outgoing_bytes: self.queued_mib << 20,
            all_outgoing_bytes: self.all_queued_mib << 20,
            retained_messages: self.retained_messages,
            retained_bytes: self.retained_mib << 20,
            subscriptions: self.subscriptions,
            packet_bytes: self.packet_kib << 10,
            receive_maximum: self.receive_maximum,
            messages_per_second: self.messages_per_second,
            bytes_per_second: self.bytes_per_second,
            keep_alive_s: self.keep_alive_s,
            ..EndpointLimits::default()
        }
    }

    /// What cannot work, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        let positive = [
            ("connections", self.connections),
            ("half_open", self.half_open),
            ("queued_messages", self.queued_messages),
            ("subscriptions", self.subscriptions),
            ("packet_kib", self.packet_kib),
            ("receive_maximum", self.receive_maximum.into()),
        ];
        for (name, value) in positive {
            if value == 0 {
                found.push(format!("mqtt.limits.{name} is 0, but must be 1 or more"));
            }
        }
        for (name, value, most) in [
            ("queued_messages", self.queued_messages, 65_000),
            ("packet_kib", self.packet_kib, 262_143),
            ("connections", self.connections, 1_000_000),
        ] {
            if value > most {
                found.push(format!("mqtt.limits.{name} is {value}, but at most {most}"));
            }
        }
        found
    }
}
