//! The doors of SQL for other tools.

use std::sync::Arc;

use fieldwright_analytics::doors::flight_sql::{FlightConfig, FlightDoor, FlightLimits};
use fieldwright_analytics::doors::postgres::{PostgresConfig, PostgresDoor, PostgresLimits};
use fieldwright_analytics::doors::{DoorError, Token};
use fieldwright_analytics::sql::SqlEngine;

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
    ) -> Result<Self, DoorError> {
        let token = Token::new(token);
        let postgres = match settings.postgres.listen {
            None => None,
            Some(listen) => {
                let config = PostgresConfig {
                    listen,
                    token: token.clone(),
                    tls: None,
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
