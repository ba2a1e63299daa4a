//! The whole configuration: four layers, one commented file of defaults, every mistake at once.

mod endpoint;
mod layers;
mod mistakes;

use std::net::SocketAddr;
use std::path::PathBuf;

use fieldwright_analytics::detect::DetectConfig;
use fieldwright_ingest::IngestConfig;
use fieldwright_ingest::mqtt::User;
use serde::Deserialize;

pub use endpoint::{MqttLimits, MqttTls};
pub use layers::{Layers, Origin, Shown};

use crate::business_clock::ClockSpec;

/// The configuration in force, typed and checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The HTTP API.
    pub http: Http,
    /// Where readings come from.
    pub mqtt: Mqtt,
    /// The business clock that a person asked for; `None` when only the default speaks.
    pub clock: Option<ClockSpec>,
    /// URL of the operational store; `None`: SQLite in the data folder.
    pub store_url: Option<String>,
    /// PostgreSQL's wire protocol.
    pub postgres: Door,
    /// Arrow Flight SQL.
    pub flight: Door,
    /// Limits of SQL.
    pub sql: Sql,
    /// The ingest crate's own.
    pub ingest: IngestConfig,
    /// The analytics crate's own.
    pub detect: DetectConfig,
}

/// `[http]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where the API listens.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// A file with the bearer token.
    #[serde(deserialize_with = "empty_is_none")]
    pub token_file: Option<PathBuf>,
}

/// `[mqtt]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mqtt {
    /// Where our own endpoint listens.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Who may connect to our own endpoint, and what they may do.
    pub users: Vec<User>,
    /// Filters that nobody may subscribe to at our own endpoint.
    pub refused_filters: Vec<String>,
    /// TLS at our own endpoint.
    pub tls: MqttTls,
    /// Limits of our own endpoint.
    pub limits: MqttLimits,
    /// Another broker to consume from instead.
    #[serde(deserialize_with = "empty_is_none")]
    pub broker: Option<String>,
    /// Subscriptions at that broker.
    pub topics: Vec<String>,
    /// Name of the persistent session at that broker.
    pub client_id: String,
    /// Connections to that broker; with more than one the topics must be shared ones.
    pub connections: usize,
    /// User at that broker.
    #[serde(deserialize_with = "empty_is_none")]
    pub user: Option<String>,
    /// File with the password for that broker.
    #[serde(deserialize_with = "empty_is_none")]
    pub password_file: Option<PathBuf>,
    /// PEM file of certificate authorities for that broker.
    #[serde(deserialize_with = "empty_is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM file with our own certificate for that broker.
    #[serde(deserialize_with = "empty_is_none")]
    pub client_certificate_file: Option<PathBuf>,
    /// PEM file with its key.
    #[serde(deserialize_with = "empty_is_none")]
    pub client_key_file: Option<PathBuf>,
    /// Name of the Sparkplug host whose state is told.
    #[serde(deserialize_with = "empty_is_none")]
    pub sparkplug_host_id: Option<String>,
}

/// `[postgres]` and `[flight]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Door {
    /// Where it listens; nothing: it stays closed.
    #[serde(deserialize_with = "optional_address")]
    pub listen: Option<SocketAddr>,
}

/// `[sql]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    /// **Units**: seconds.
    pub time_limit_s: u64,
    /// Rows in one JSON answer.
    pub row_limit: usize,
    /// **Units**: MiB.
    pub memory_mib: usize,
    /// Memory for decoded columns of files. **Units** MiB.
    pub cache_mib: usize,
}

/// Everything that is wrong with a configuration, a sentence each.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} mistake{}:\n{}", .0.len(), if .0.len() == 1 { "" } else { "s" }, .0.iter().map(|m| format!("  {m}")).collect::<Vec<_>>().join("\n"))]
pub struct Mistakes(pub Vec<String>);

/// All defaults with their reasons: ours and those of the crates.
pub fn default_toml() -> String {
    [
        include_str!("default.toml"),
        fieldwright_ingest::DEFAULT_TOML,
        fieldwright_analytics::detect::DEFAULT_TOML,
        fieldwright_condition::DEFAULT_TOML,
    ]
    .join("\n")
}

impl Settings {
    /// Types and checks what the layers say.
    ///
    /// **Errors**: all mistakes of all sections, not only the first.
    pub fn from_layers(layers: &Layers) -> Result<Self, Mistakes> {
        let mut found = mistakes::against_defaults(layers);
        let http: Option<Http> = section(layers, "http", &mut found);
        let mqtt: Option<Mqtt> = section(layers, "mqtt", &mut found);
        let postgres: Option<Door> = section(layers, "postgres", &mut found);
        let flight: Option<Door> = section(layers, "flight", &mut found);
        let sql: Option<Sql> = section(layers, "sql", &mut found);
        let ingest: Option<IngestConfig> = section(layers, "ingest", &mut found);
        let detect: Option<DetectConfig> = section(layers, "detect", &mut found);
        if let Some(ingest) = &ingest {
            found.extend(
                ingest
                    .validate()
                    .into_iter()
                    .map(|m| format!("[ingest] {m}")),
            );
        }
        if let Some(detect) = &detect {
            found.extend(
                detect
                    .validate()
                    .into_iter()
                    .map(|m| format!("[detect] {m}")),
            );
        }
        let clock = layers.text("clock.mode").and_then(|mode| {
            mode.parse::<ClockSpec>()
                .map_err(|error| found.push(format!("[clock] mode: {error}")))
                .ok()
        });
        if let Some(mqtt) = &mqtt {
            found.extend(mistakes::of_mqtt(mqtt));
        }
        let store_url = layers.text("store.url").filter(|url| !url.is_empty());
        if let Some(url) = &store_url {
            found.extend(mistakes::of_store_url(url));
        }
        let sections = (http, mqtt, postgres, flight, sql, ingest, detect);
        match sections {
            (
                Some(http),
                Some(mqtt),
                Some(postgres),
                Some(flight),
                Some(sql),
                Some(ingest),
                Some(detect),
            ) if found.is_empty() => Ok(Self {
                http,
                mqtt,
                postgres,
                flight,
                clock: clock.filter(|_| layers.origin("clock.mode") != Origin::Default),
                store_url,
                sql,
                ingest,
                detect,
            }),
            _ => Err(Mistakes(found)),
        }
    }
}

fn section<T: serde::de::DeserializeOwned>(
    layers: &Layers,
    name: &str,
    found: &mut Vec<String>,
) -> Option<T> {
    let value = layers.section(name)?;
    match value.try_into() {
        Ok(section) => Some(section),
        Err(error) => {
            let text = error.to_string().trim().replace('\n', " ");
            // An unknown key has been reported by its full path already.
            if !text.starts_with("unknown field") || found.is_empty() {
                found.push(format!("[{name}] {text}"));
            }
            None
        }
    }
}

fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parse_address(&String::deserialize(deserializer)?)
}

fn parse_address<E: serde::de::Error>(text: &str) -> Result<SocketAddr, E> {
    text.parse().map_err(|_| {
        E::custom(format!(
            "listen is `{text}`; write ADDRESS:PORT such as 127.0.0.1:8080, or port 0 for a free one"
        ))
    })
}

fn optional_address<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    parse_address(&text).map(Some)
}

fn empty_is_none<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: From<String>,
{
    let text = String::deserialize(deserializer)?;
    Ok((!text.is_empty()).then(|| T::from(text)))
}

#[cfg(test)]
mod tests;
