//! Why a consumer does not start.

use std::path::PathBuf;

/// Why a consumer did not start: always a wrong configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The address of the broker cannot be used.
    #[error("the broker's address {url:?} cannot be used: {problem}")]
    Url {
        /// What was given, without user and password.
        url: String,
        /// What is wrong and what to write instead.
        problem: &'static str,
    },
    /// A session needs a name.
    #[error("a consumer needs a client id: it names its session at the broker")]
    NoClientId,
    /// Nothing to subscribe to.
    #[error("a consumer needs at least one topic to subscribe to")]
    NoTopics,
    /// A filter is not legal MQTT.
    #[error("the topic filter {filter:?} is not legal")]
    Filter {
        /// The filter as it was given.
        filter: String,
        /// The rule that it breaks.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Not as many connections as a consumer may have.
    #[error("a consumer has 1 to {most} connections, not {connections}")]
    Connections {
        /// What was given.
        connections: usize,
        /// The limit.
        most: usize,
    },
    /// Several connections would each receive every message.
    #[error(
        "with several connections every topic must be shared, or each of them receives every \
         message: write $share/GROUP/{filter} instead of {filter}"
    )]
    NotShared {
        /// The filter as it was given.
        filter: String,
    },
    /// The file of trusted certificates cannot be used.
    #[error("could not read certificates from {path:?}: it must be a PEM file of CA certificates")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Our own certificate or its key cannot be used.
    #[error(
        "could not read our certificate from {path:?}: certificate and key must be PEM files that \
         belong together"
    )]
    ClientCertificate {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system offers no certificates.
    #[error("the system has no CA certificates to trust: name a PEM file for mqtts://")]
    NoSystemCertificates,
    /// The TLS library refused its settings.
    #[error("could not set up TLS")]
    Tls(#[source] rustls::Error),
    /// The file that remembers our sessions cannot be read.
    #[error(
        "could not read which sessions we have from {path:?}: remove the file if it is damaged"
    )]
    Sessions {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
