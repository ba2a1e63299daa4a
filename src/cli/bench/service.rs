//! A service as a process of its own, as a user runs it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fieldwright_ingest::clock::{process_now, process_sleep};
use serde_json::{Value, json};

use super::Failure;
use crate::cli::Client;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running service; it is killed when this is dropped.
pub struct Service {
    process: Child,
    endpoints: Value,
}

impl Service {
    /// Starts one on a folder, with settings such as `INGEST__FLUSH_ROWS`, and waits until it
    /// listens.
    pub async fn start(data: &Path, settings: &[(&str, &str)]) -> Result<Self, Failure> {
        let file = data.join("endpoints.json");
        // What another one left behind.
        let _ = std::fs::remove_file(&file);
        let mut command = Command::new(std::env::current_exe().map_err(Failure::failed)?);
        command.args(["serve", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]);
        command.arg("--data").arg(data);
        command.env("FIELDWRIGHT__POSTGRES__LISTEN", "127.0.0.1:0");
        for (name, value) in settings {
            command.env(format!("FIELDWRIGHT__{name}"), value);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().map_err(Failure::failed)?;
        let began = process_now();
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Ok(endpoints) = serde_json::from_str(&text) {
                return Ok(Self { process, endpoints });
            }
            let ended = process.try_wait().map_err(Failure::failed)?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                let _ = process.kill();
                return Err(Failure::Failed(format!(
                    "the service did not start on {}; try `fieldwright serve --data {}`",
                    data.display(),
                    data.display()
                )));
            }
            process_sleep(Duration::from_millis(2)).await;
        }
    }

    /// Where devices connect.
    pub fn mqtt(&self) -> Result<SocketAddr, Failure> {
        let address = self.endpoints["mqtt"].as_str().unwrap_or_default();
        let address = address.trim_start_matches("mqtt://");
        address.parse().map_err(Failure::failed)
    }

    /// Where PostgreSQL clients connect.
    pub fn postgres(&self) -> Result<String, Failure> {
        let url = self.endpoints["postgres"].as_str().map(str::to_owned);
        url.ok_or_else(|| Failure::Failed("the service opened no PostgreSQL door".into()))
    }

    /// The rows of a query over HTTP.
    pub async fn rows(&self, sql: &str) -> Result<Value, Failure> {
        let client = Client::new(self.endpoints["http"].as_str().unwrap_or_default(), None)?;
        let answer = client.post("/api/v1/sql", &json!({ "query": sql })).await?;
        Ok(answer["rows"].clone())
    }

    /// Bytes of memory that are resident.
    pub fn resident(&self) -> Result<u64, Failure> {
        let path = PathBuf::from(format!("/proc/{}/status", self.process.id()));
        let text = std::fs::read_to_string(path).map_err(Failure::failed)?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024)
            .ok_or_else(|| Failure::Failed("the system does not tell resident memory".into()))
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Result<(), Failure> {
        self.process.kill().map_err(Failure::failed)?;
        self.process.wait().map_err(Failure::failed)?;
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
