//! Which service or folder a command speaks to.
//!
//! `--api` names a running service. `--data` names a folder: while somebody holds its lock, its
//! service is asked (by `endpoints.json`); otherwise the folder is opened directly, whatever an
//! old `endpoints.json` says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use fieldwright_ingest::clock::process_sleep;
use fieldwright_simulators::Endpoint;

use super::Failure;
use crate::data_dir::{self, DataDir, DataDirError, read_endpoints};

/// The folder that commands use when none is named.
pub const DEFAULT_DATA_DIR: &str = "fieldwright-data";

/// How long we wait for a service that holds the lock but has not yet said where it listens.
const STARTING_WAIT: Duration = Duration::from_secs(10);

/// Options of every command that speaks to a service or a folder.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Base address of a running service, such as http://127.0.0.1:8080.
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    pub api: Option<String>,
    /// Data folder; its running service is found by endpoints.json.
    #[arg(long, value_name = "DIR", env = "FIELDWRIGHT_DATA")]
    pub data: Option<PathBuf>,
    /// File with the bearer token of the service, where it asks for one.
    #[arg(long, value_name = "FILE", env = "FIELDWRIGHT_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
}

/// What a target turned out to be.
#[derive(Debug)]
pub enum Found {
    /// A running service.
    Service {
        /// Base address of its HTTP API.
        http: String,
        /// Its MQTT address, when a folder told us.
        mqtt: Option<String>,
    },
    /// A folder that nobody else owns; ours until dropped.
    Folder(DataDir),
}

impl Target {
    /// Finds the service, or takes the folder.
    pub async fn find(&self) -> Result<Found, Failure> {
        if let Some(api) = &self.api {
            if !api.starts_with("http://") {
                return Err(Failure::Usage(format!(
                    "--api is `{api}`; write it as http://HOST:PORT such as http://127.0.0.1:8080"
                )));
            }
            return Ok(Found::Service {
                http: api.trim_end_matches('/').to_owned(),
                mqtt: None,
            });
        }
        let dir = self.data_dir();
        match DataDir::take_existing(&dir) {
            Ok(folder) => Ok(Found::Folder(folder)),
            Err(DataDirError::InUse(_)) => {
                let endpoints = wait_for_endpoints(&dir).await?;
                Ok(Found::Service {
                    http: endpoints.http,
                    mqtt: Some(endpoints.mqtt),
                })
            }
            Err(DataDirError::Missing(dir)) if self.data.is_none() => {
                Err(Failure::NotFound(format!(
                    "no service named and no data folder {} here; name one with --api URL or --data DIR",
                    dir.display()
                )))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Where a running service takes HTTP and MQTT; a folder that nobody serves will not do.
    ///
    /// Found by a folder, both are looked up again at every new connection: a service that is
    /// restarted may come back at another port.
    pub async fn endpoints(&self) -> Result<(Endpoint, Option<Endpoint>), Failure> {
        match self.find().await? {
            Found::Service { http, mqtt: None } => Ok((Endpoint::Fixed(http), None)),
            Found::Service { mqtt: Some(_), .. } => {
                let file = self.data_dir().join("endpoints.json");
                Ok((Endpoint::http_file(&file), Some(Endpoint::mqtt_file(&file))))
            }
            Found::Folder(folder) => Err(Failure::Unavailable(format!(
                "no service runs on {}; start one with `fieldwright serve --data {}`",
                folder.path().display(),
                folder.path().display()
            ))),
        }
    }

    /// The bearer token, if a file names one.
    pub fn token(&self) -> Result<Option<String>, Failure> {
        self.token_file.as_deref().map(read_secret).transpose()
    }

    fn data_dir(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| DEFAULT_DATA_DIR.into())
    }
}

/// The first line of a file that holds a secret.
pub fn read_secret(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Failure::Usage(format!(
            "{} is empty; it must hold the secret",
            path.display()
        ))),
    }
}

async fn wait_for_endpoints(dir: &Path) -> Result<data_dir::Endpoints, Failure> {
    const STEP: Duration = Duration::from_millis(100);
    let mut waited = Duration::ZERO;
    loop {
        if let Some(endpoints) = read_endpoints(dir) {
            return Ok(endpoints);
        }
        if waited >= STARTING_WAIT {
            return Err(Failure::Unavailable(format!(
                "the data folder {} is in use, but its owner does not say where it listens; try again",
                dir.display()
            )));
        }
        process_sleep(STEP).await;
        waited += STEP;
    }
}
