//! The doors of the service: HTTP, SQL for other tools, and MQTT as endpoint or as consumer of a
//! broker.

mod host;
mod http;
mod sql;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use fieldwright_ingest::Ingest;
use fieldwright_ingest::clock::SharedClock;
use fieldwright_ingest::commands::Commands;
use fieldwright_ingest::mqtt::{
    ClientCertificate, Consumer, ConsumerConfig, Endpoint, EndpointConfig,
};
use tokio::net::TcpListener;

use super::AppError;
use crate::config::Settings;

use host::Host;

pub use http::HttpDoor;
pub use sql::SqlDoors;

/// Remembers in the data folder which sessions the broker has.
const SESSIONS_FILE: &str = "mqtt-sessions.json";
/// Folder of our own endpoint's sessions and retained messages.
const MQTT_FOLDER: &str = "mqtt";

/// Where readings come from.
#[derive(Debug, Clone)]
pub enum MqttDoor {
    /// Our own endpoint, and the Sparkplug host whose state it tells.
    Endpoint(Arc<Endpoint>, Option<Arc<Host>>),
    /// A consumer of another broker, with that broker's address.
    Consumer(Arc<Consumer>, String),
}

impl MqttDoor {
    /// Opens the endpoint, or connects to the configured broker.
    pub async fn open(
        settings: &Settings,
        token: Option<&str>,
        data_dir: &Path,
        ingest: &Ingest,
        clock: &SharedClock,
    ) -> Result<Self, AppError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| AppError::Mqtt(error);
        let Some(broker) = &settings.mqtt.broker else {
            let tls = settings.mqtt.tls.endpoint();
            let config = EndpointConfig {
                tls: tls.expect("checked with the rest of the configuration"),
                password: token.map(str::to_owned),
                users: settings.mqtt.users.clone(),
                refused_filters: settings.mqtt.refused_filters.clone(),
                rules: Some(settings.ingest.rules.clone()),
                folder: Some(data_dir.join(MQTT_FOLDER)),
                limits: settings.mqtt.limits.endpoint(),
                ..EndpointConfig::new(settings.mqtt.listen)
            };
            let endpoint = Endpoint::start(config, ingest.intake(), Arc::clone(clock)).await;
            let endpoint = endpoint.map_err(|error| failed(error.into()))?;
            let host = match settings.mqtt.sparkplug_host_id.clone() {
                Some(id) => {
                    let clock = Arc::clone(clock);
                    Some(Arc::new(
                        Host::online(id, endpoint.publisher(), clock).await,
                    ))
                }
                None => None,
            };
            return Ok(Self::Endpoint(Arc::new(endpoint), host));
        };
        let config = ConsumerConfig {
            url: broker.clone(),
            topics: settings.mqtt.topics.clone(),
            client_id: settings.mqtt.client_id.clone(),
            credentials: credentials(settings)?,
            ca_file: settings.mqtt.ca_file.clone(),
            connections: settings.mqtt.connections,
            client_certificate: client_certificate(settings),
            sessions_file: Some(data_dir.join(SESSIONS_FILE)),
            sparkplug_host_id: settings.mqtt.sparkplug_host_id.clone(),
            ..ConsumerConfig::default()
        };
        let consumer = Consumer::start(config, ingest.intake(), Arc::clone(clock));
        let consumer = consumer.map_err(|error| failed(error.into()))?;
        Ok(Self::Consumer(Arc::new(consumer), broker.clone()))
    }

    /// Sends what the pipeline has for devices, such as a Sparkplug rebirth request.
    pub fn follow(&self, commands: Commands) {
        let publisher = match self {
            Self::Endpoint(endpoint, _) => endpoint.publisher(),
            Self::Consumer(consumer, _) => consumer.publisher(),
        };
        tokio::spawn(publisher.follow(commands));
    }

    /// The address for devices.
    pub fn address(&self) -> String {
        match self {
            Self::Endpoint(endpoint, _) => format!("mqtt://{}", endpoint.local_addr()),
            Self::Consumer(_, broker) => broker.clone(),
        }
    }

    /// The address for devices that speak TLS, where our endpoint offers it.
    pub fn tls_address(&self) -> Option<String> {
        match self {
            Self::Endpoint(endpoint, _) => endpoint
                .tls_addr()
                .map(|address| format!("mqtts://{address}")),
            Self::Consumer(..) => None,
        }
    }

    /// Whether readings can arrive.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Endpoint(..) => true,
            Self::Consumer(consumer, _) => consumer.is_connected(),
        }
    }

    /// Reads nothing more, waits for what is being synced, acknowledges it, closes.
    pub async fn close(self) {
        match self {
            Self::Endpoint(endpoint, host) => {
                if let Some(host) = host {
                    host.offline().await;
                }
                endpoint.shutdown().await;
            }
            Self::Consumer(consumer, _) => consumer.shutdown().await,
        }
    }
}

/// The bearer token, when a file names one.
pub fn token(settings: &Settings) -> Result<Option<String>, AppError> {
    settings
        .http
        .token_file
        .as_deref()
        .map(read_secret)
        .transpose()
}

/// Nothing but loopback without a token.
pub fn refuse_strangers(settings: &Settings, has_token: bool) -> Result<(), AppError> {
    let mqtt = &settings.mqtt;
    let mut addresses = vec![settings.http.listen];
    addresses.extend(settings.postgres.listen);
    addresses.extend(settings.flight.listen);
    // Users are as good as a token at the endpoint: nobody else comes in.
    if mqtt.broker.is_none() && mqtt.users.is_empty() {
        addresses.push(mqtt.listen);
        let tls = mqtt.tls.endpoint().ok().flatten();
        addresses.extend(tls.map(|tls| tls.listen));
    }
    match addresses
        .into_iter()
        .find(|address| !address.ip().is_loopback())
    {
        Some(address) if !has_token => Err(AppError::NotLoopback { address }),
        _ => Ok(()),
    }
}

fn client_certificate(settings: &Settings) -> Option<ClientCertificate> {
    let mqtt = &settings.mqtt;
    Some(ClientCertificate {
        certificate_file: mqtt.client_certificate_file.clone()?,
        key_file: mqtt.client_key_file.clone()?,
    })
}

fn credentials(settings: &Settings) -> Result<Option<(String, String)>, AppError> {
    let Some(user) = &settings.mqtt.user else {
        return Ok(None);
    };
    let password = settings
        .mqtt
        .password_file
        .as_deref()
        .map(read_secret)
        .transpose()?;
    Ok(Some((user.clone(), password.unwrap_or_default())))
}

fn read_secret(path: &std::path::Path) -> Result<String, AppError> {
    crate::cli::read_secret(path).map_err(|error| AppError::Token {
        path: path.display().to_string(),
        problem: error.to_string(),
    })
}

fn local_address(listener: &TcpListener) -> SocketAddr {
    listener
        .local_addr()
        .expect("a bound listener has an address")
}
