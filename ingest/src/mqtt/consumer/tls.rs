//! Trust for `mqtts://`: the system's certificates or those of one file.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::{ClientCertificate, ConsumerConfig, ConsumerError};

/// The settings of a TLS client that trusts `ca_file`, or the system when there is none, and that
/// shows its own certificate where it has one.
pub(super) fn client_config(config: &ConsumerConfig) -> Result<ClientConfig, ConsumerError> {
    let roots = match config.ca_file.as_deref() {
        Some(path) => from_file(path)?,
        None => from_system()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ConsumerError::Tls)?
        .with_root_certificates(roots);
    match &config.client_certificate {
        None => Ok(client.with_no_client_auth()),
        Some(own) => {
            let (chain, key) = own.read()?;
            client
                .with_client_auth_cert(chain, key)
                .map_err(|error| own.unusable(&own.certificate_file, error.into()))
        }
    }
}

impl ClientCertificate {
    fn read(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ConsumerError> {
        let path = &self.certificate_file;
        let chain = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| self.unusable(path, error.into()))?;
        if chain.is_empty() {
            return Err(self.unusable(path, "it holds no certificate".into()));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key_file)
            .map_err(|error| self.unusable(&self.key_file, error.into()))?;
        Ok((chain, key))
    }

    fn unusable(
        &self,
        path: &Path,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> ConsumerError {
        let path = path.to_owned();
        ConsumerError::ClientCertificate { path, source }
    }
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
