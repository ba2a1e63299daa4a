//! Where the service can be reached right now: it may come back at another port.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The address of a service, looked up again at every new connection.
#[derive(Clone)]
pub enum Endpoint {
    /// An address that never changes.
    Fixed(String),
    /// The entry `key` of an `endpoints.json` file.
    File {
        /// Path of the file.
        path: PathBuf,
        /// `http` or `mqtt`.
        key: &'static str,
    },
    /// Whatever the caller knows; `None` while there is no service.
    Callback(Arc<dyn Fn() -> Option<String> + Send + Sync>),
}

/// Why there is no address at the moment.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The file is not there or cannot be read.
    #[error("cannot read the addresses in {path}; is the service running with this data folder?")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not the JSON object that it should be.
    #[error("the addresses in {path} are not readable JSON; start the service again")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The file has no such entry.
    #[error("{path} names no `{key}` address; start the service again")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The entry.
        key: &'static str,
    },
    /// The callback knows no address.
    #[error("no address of the service is known yet; wait until it says that it is ready")]
    Unknown,
}

impl Endpoint {
    /// The HTTP address in the `endpoints.json` at `path`.
    pub fn http_file(path: impl Into<PathBuf>) -> Self {
        Self::File {
            path: path.into(),
            key: "http",
        }
    }

    /// The MQTT address in the `endpoints.json` at `path`.
    pub fn mqtt_file(path: impl Into<PathBuf>) -> Self {
        Self::File {
            path: path.into(),
            key: "mqtt",
        }
    }

    /// An address asked from the caller at every new connection.
    pub fn callback(ask: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self::Callback(Arc::new(ask))
    }

    /// The address now, without a trailing slash.
    ///
    /// **Errors**: when no address is known at the moment.
    pub fn resolve(&self) -> Result<String, EndpointError> {
        let address = match self {
            Self::Fixed(address) => address.clone(),
            Self::File { path, key } => read_file(path, key)?,
            Self::Callback(ask) => ask().ok_or(EndpointError::Unknown)?,
        };
        Ok(address.trim_end_matches('/').to_owned())
    }
}

impl From<&str> for Endpoint {
    fn from(address: &str) -> Self {
        Self::Fixed(address.to_owned())
    }
}

impl From<String> for Endpoint {
    fn from(address: String) -> Self {
        Self::Fixed(address)
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(address) => write!(f, "Endpoint({address})"),
            Self::File { path, key } => write!(f, "Endpoint({key} of {})", path.display()),
            Self::Callback(_) => f.write_str("Endpoint(asked)"),
        }
    }
}

fn read_file(path: &Path, key: &'static str) -> Result<String, EndpointError> {
    let text = std::fs::read_to_string(path).map_err(|source| EndpointError::Read {
        path: path.to_owned(),
        source,
    })?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|source| EndpointError::Parse {
            path: path.to_owned(),
            source,
        })?;
    value
        .get(key)
        .and_then(serde_json::Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| EndpointError::Missing {
            path: path.to_owned(),
            key,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("endpoints.json");
        let endpoint = Endpoint::http_file(&path);
        assert!(matches!(
            endpoint.resolve(),
            Err(EndpointError::Read { .. })
        ));
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(
            endpoint.resolve(),
            Err(EndpointError::Parse { .. })
        ));
        std::fs::write(&path, r#"{"mqtt":"mqtt://127.0.0.1:2"}"#).unwrap();
        assert!(matches!(
            endpoint.resolve(),
            Err(EndpointError::Missing { .. })
        ));
        std::fs::write(&path, r#"{"http":"http://127.0.0.1:1/"}"#).unwrap();
        assert_eq!(endpoint.resolve().unwrap(), "http://127.0.0.1:1");
    }

    #[test]
    fn a_callback_may_know_nothing() {
        assert!(Endpoint::callback(|| None).resolve().is_err());
        assert_eq!(Endpoint::from("http://a/").resolve().unwrap(), "http://a");
    }
}
