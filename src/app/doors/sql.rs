//! The doors of SQL for other tools.

use std::path::Path;
use std::sync::Arc;

use fieldwright_analytics::doors::Token;
use fieldwright_analytics::doors::flight_sql::{FlightConfig, FlightDoor, FlightLimits};
use fieldwright_analytics::doors::postgres::{PostgresConfig, PostgresDoor, PostgresLimits};
use fieldwright_analytics::sql::SqlEngine;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::app::AppError;
use crate::config::Settings;

/// The doors of SQL that the configuration opens.
#[derive(Debug)]
pub struct SqlDoors {
    postgres: Option<PostgresDoor>,
    flight: Option<FlightDoor>,
}

impl SqlDoors {
    /// Opens them over the one engine.
    pub async fn open(
        settings: &Settings,
        token: Option<&str>,
        engine: &Arc<SqlEngine>,
    ) -> Result<Self, AppError> {
        let token = Token::new(token);
        let postgres = match settings.postgres.listen {
            None => None,
            Some(listen) => {
                let config = PostgresConfig {
                    listen,
                    token: token.clone(),
                    tls: certificate(settings)?,
                    limits: PostgresLimits::default(),
                };
                Some(PostgresDoor::open(config, Arc::clone(engine)).await?)
            }
        };
        let flight = match settings.flight.listen {
            None => None,
            Some(listen) => {
                let config = FlightConfig {
                    listen,
                    token,
                    limits: FlightLimits::default(),
                };
                Some(FlightDoor::open(config, Arc::clone(engine)).await?)
            }
        };
        Ok(Self { postgres, flight })
    }

    /// Where PostgreSQL clients connect.
    pub fn postgres(&self) -> Option<String> {
        let door = self.postgres.as_ref()?;
        Some(format!("postgres://{}/fieldwright", door.local_addr()))
    }

    /// Where Flight SQL clients connect.
    pub fn flight(&self) -> Option<String> {
        let door = self.flight.as_ref()?;
        Some(format!("grpc://{}", door.local_addr()))
    }

    /// Closes them; queries under way end.
    pub async fn close(self) {
        if let Some(door) = self.postgres {
            door.close().await;
        }
        if let Some(door) = self.flight {
            door.close().await;
        }
    }
}

/// The certificate that MQTT has serves PostgreSQL's clients, too.
fn certificate(settings: &Settings) -> Result<Option<Arc<ServerConfig>>, AppError> {
    let tls = settings.mqtt.tls.endpoint();
    let Some(tls) = tls.expect("checked with the rest of the configuration") else {
        return Ok(None);
    };
    let unreadable = |path: &Path, error: pem::Error| AppError::Certificate {
        path: path.display().to_string(),
        problem: error.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(&tls.certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(&tls.certificate_file, error))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key_file)
        .map_err(|error| unreadable(&tls.key_file, error))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| AppError::Certificate {
            path: tls.certificate_file.display().to_string(),
            problem: error.to_string(),
        })?;
    Ok(Some(Arc::new(config)))
}
