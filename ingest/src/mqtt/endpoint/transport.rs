//! The socket under a connection: plain TCP, or TLS over it. This file alone knows which.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// TLS for devices: certificate and key, and whose certificates they must show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: std::net::SocketAddr,
    /// PEM: the certificate and those between it and the root.
    pub certificate_file: PathBuf,
    /// PEM: its private key.
    pub key_file: PathBuf,
    /// PEM: authorities of the clients' certificates. With it every client must show one
    /// (mutual TLS), besides whatever else it needs to come in.
    pub client_ca_file: Option<PathBuf>,
}

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("cannot use {path} for MQTT over TLS: it must be a PEM file with {wanted}")]
    File {
        /// The file.
        path: PathBuf,
        /// What should stand in it.
        wanted: &'static str,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// No certificate in a file.
    #[error("cannot use {path} for MQTT over TLS: there is no certificate in it")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Certificate, key and authorities do not fit.
    #[error("certificate, key and client authorities for MQTT over TLS do not fit together")]
    Mismatch(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Reads the files and makes what accepts TLS connections.
pub(super) fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(mismatch)?;
    let builder = match &config.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(mismatch)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                .build()
                .map_err(mismatch)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = certificates(&config.certificate_file)?;
    let key = PrivateKeyDer::from_pem_file(&config.key_file).map_err(|source| TlsError::File {
        path: config.key_file.clone(),
        wanted: "a private key",
        source,
    })?;
    let config = builder.with_single_cert(chain, key).map_err(mismatch)?;
    Ok(Arc::new(config).into())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(|certificates| certificates.collect());
    let found = found.map_err(|source| TlsError::File {
        path: path.to_owned(),
        wanted: "certificates",
        source,
    })?;
    if found.is_empty() {
        return Err(TlsError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(found)
}

fn mismatch(error: impl std::error::Error + Send + Sync + 'static) -> TlsError {
    TlsError::Mismatch(Box::new(error))
}

/// A connected socket.
#[derive(Debug)]
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The receiving half of a socket.
#[derive(Debug)]
pub(super) enum ReadSide {
    Plain(OwnedReadHalf),
    Tls(Box<tokio::io::ReadHalf<TlsStream<TcpStream>>>),
}

/// The sending half of a socket.
#[derive(Debug)]
pub(super) enum WriteSide {
    Plain(OwnedWriteHalf),
    Tls(Box<tokio::io::WriteHalf<TlsStream<TcpStream>>>),
}

impl Socket {
    pub(super) async fn read_buf(&mut self, buffer: &mut BytesMut) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read_buf(buffer).await,
            Self::Tls(socket) => socket.read_buf(buffer).await,
        }
    }

    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes).await,
            Self::Tls(socket) => {
                socket.write_all(bytes).await?;
                socket.flush().await
            }
        }
    }

    /// Says that nothing more comes.
    pub(super) async fn shutdown(&mut self) {
        let _ = match self {
            Self::Plain(socket) => socket.shutdown().await,
            Self::Tls(socket) => socket.shutdown().await,
        };
    }

    pub(super) fn into_sides(self) -> (ReadSide, WriteSide) {
        match self {
            Self::Plain(socket) => {
                let (read, write) = socket.into_split();
                (ReadSide::Plain(read), WriteSide::Plain(write))
            }
            Self::Tls(socket) => {
                let (read, write) = tokio::io::split(*socket);
                (
                    ReadSide::Tls(Box::new(read)),
                    WriteSide::Tls(Box::new(write)),
                )
            }
        }
    }
}

impl ReadSide {
    /// Waits until something can be read, without a buffer for it; a TLS session does not know.
    pub(super) async fn readable(&self) {
        if let Self::Plain(socket) = self {
            let _ = socket.readable().await;
        }
    }

    pub(super) async fn read_buf(&mut self, buffer: &mut BytesMut) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read_buf(buffer).await,
            Self::Tls(socket) => socket.read_buf(buffer).await,
        }
    }
}

impl WriteSide {
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes).await,
            Self::Tls(socket) => {
                socket.write_all(bytes).await?;
                socket.flush().await
            }
        }
    }

    pub(super) async fn shutdown(&mut self) {
        let _ = match self {
            Self::Plain(socket) => socket.shutdown().await,
            Self::Tls(socket) => socket.shutdown().await,
        };
    }
}
