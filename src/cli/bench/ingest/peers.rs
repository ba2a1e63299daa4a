//! Programs of others, as processes of their own that end with the run.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fieldwright_ingest::clock::process_sleep;
use tempfile::TempDir;

use super::super::Failure;
use super::super::feeder::{Fed, Feed, feed_as_broker};
use super::drains::{fed, listen};

/// Looks so often for a broker that is starting.
const LOOKS: usize = 250;
const LOOK: Duration = Duration::from_millis(20);

/// A Mosquitto without limits of its own on queues.
pub(super) struct Mosquitto {
    address: SocketAddr,
    process: Child,
    _dir: TempDir,
}

impl Mosquitto {
    /// Starts one; none where there is none on this machine, which is said.
    pub(super) async fn start(disk: &Path) -> Result<Option<Self>, Failure> {
        let Some(program) = program() else {
            eprintln!("  skipped: mosquitto is not installed (apt-get install mosquitto)");
            return Ok(None);
        };
        let dir = tempfile::Builder::new()
            .prefix("fieldwright-mosquitto-")
            .tempdir_in(disk)
            .map_err(Failure::failed)?;
        // A port that was free a moment ago.
        let (listener, address) = listen()?;
        drop(listener);
        let config = dir.path().join("mosquitto.conf");
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n\
             max_inflight_messages 0\nlog_type error\n",
            address.port()
        );
        std::fs::write(&config, text).map_err(Failure::failed)?;
        let process = Command::new(program)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Failure::failed)?;
        let broker = Self {
            address,
            process,
            _dir: dir,
        };
        for _ in 0..LOOKS {
            if TcpStream::connect(address).is_ok() {
                return Ok(Some(broker));
            }
            process_sleep(LOOK).await;
        }
        Err(Failure::Unavailable(
            "mosquitto did not begin to listen within 5 s".into(),
        ))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut programs = folders.map(|folder| folder.join("mosquitto"));
    programs.find(|program| program.is_file())
}

/// paho-mqtt into SQLite with the feeder as its broker; none where it cannot run, which is said.
pub(super) async fn sqlite(
    python: &Path,
    judges: &Path,
    disk: &Path,
    feed: Feed,
) -> Result<Option<Fed>, Failure> {
    let has_paho = Command::new(python)
        .args(["-c", "import paho.mqtt.client"])
        .stderr(Stdio::null())
        .status();
    if !has_paho.is_ok_and(|status| status.success()) {
        eprintln!(
            "  skipped: {} has no paho-mqtt (pip install paho-mqtt; --python says which Python)",
            python.display()
        );
        return Ok(None);
    }
    let dir = tempfile::Builder::new()
        .prefix("fieldwright-sqlite-")
        .tempdir_in(disk)
        .map_err(Failure::failed)?;
    let (listener, address) = listen()?;
    let feeding = std::thread::spawn(move || feed_as_broker(&listener, feed));
    let mut peer = Command::new(python)
        .arg(judges.join("paho_sqlite.py"))
        .arg(address.port().to_string())
        .arg(dir.path().join("readings.db"))
        .stdout(Stdio::null())
        .spawn()
        .map_err(Failure::failed)?;
    let result = fed(feeding).await;
    let status = tokio::task::spawn_blocking(move || peer.wait()).await;
    let status = status.map_err(Failure::failed)?.map_err(Failure::failed)?;
    match status.success() {
        true => result.map(Some),
        false => Err(Failure::Failed("paho_sqlite.py failed".into())),
    }
}
