//! Trust for `mqtts://`: the system's certificates or those of one file.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::ConsumerError;

/// The settings of a TLS client that trusts `ca_file`, or the system when there is none.
pub(super) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, ConsumerError> {
    let roots = match ca_file {
        Some(path) => from_file(path)?,
        None => from_system()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ConsumerError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn from_file(path: &Path) -> Result<RootCertStore, ConsumerError> {
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>| ConsumerError::CaFile {
        path: path.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.into()))?
    {
        let certificate = certificate.map_err(|error| unusable(error.into()))?;
        roots
            .add(certificate)
            .map_err(|error| unusable(error.into()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate".into()));
    }
    Ok(roots)
}

fn from_system() -> Result<RootCertStore, ConsumerError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Old stores hold a few certificates that the library does not accept: not fatal.
    let (_, ignored) = roots.add_parsable_certificates(found.certs);
    if ignored > 0 {
        tracing::debug!(ignored, "system certificates that TLS does not accept");
    }
    if roots.is_empty() {
        return Err(ConsumerError::NoSystemCertificates);
    }
    Ok(roots)
}
