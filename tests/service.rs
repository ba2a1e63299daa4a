//! A real service as a child process, on free ports, in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The binary under test.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldwright"));
    // Settings of the developer's shell must not reach the test.
    for (name, _) in std::env::vars() {
        if name.starts_with("FIELDWRIGHT_") {
            command.env_remove(name);
        }
    }
    command.env("RUST_LOG", "warn");
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Output {
    binary()
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Says on the real stderr that something is not tested here; with `FIELDWRIGHT_REQUIRE` naming
/// it, that is a failure.
pub fn skip(what: &str, remedy: &str) {
    use std::io::Write as _;
    let required = std::env::var("FIELDWRIGHT_REQUIRE").unwrap_or_default();
    assert!(
        !required.contains(what),
        "{what} is required here: {remedy}"
    );
    let line = format!("SKIPPED: {what} is not on this machine ({remedy})\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// A running `serve`; killed when dropped.
pub struct Service {
    child: Child,
    /// Its data folder.
    pub dir: PathBuf,
}

impl Service {
    /// Starts `serve` on free ports and waits until it listens.
    pub fn start(dir: &Path, more: &[&str]) -> Self {
        let mut arguments = vec!["serve", "--http", "127.0.0.1:0"];
        if !more.contains(&"--broker") {
            arguments.extend(["--mqtt", "127.0.0.1:0"]);
        }
        arguments.extend(more);
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("stderr.log"))
            .unwrap();
        let child = binary()
            .args(arguments)
            .arg("--data")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut service = Self {
            child,
            dir: dir.to_owned(),
        };
        service.wait_until_ready();
        service
    }

    fn wait_until_ready(&mut self) {
        let started = Instant::now();
        let log = self.dir.join("stderr.log");
        while self.endpoints().is_none() {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!(
                    "serve ended with {status}:\n{}",
                    std::fs::read_to_string(&log).unwrap()
                );
            }
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "serve is not ready after 60 s:\n{}",
                std::fs::read_to_string(&log).unwrap()
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn endpoints(&self) -> Option<serde_json::Value> {
        let text = std::fs::read_to_string(self.dir.join("endpoints.json")).ok()?;
        let endpoints: serde_json::Value = serde_json::from_str(&text).ok()?;
        // An old file of a killed service is not ours: only what answers counts.
        let http = endpoints["http"].as_str()?;
        let address = http.strip_prefix("http://")?;
        std::net::TcpStream::connect(address).ok()?;
        Some(endpoints)
    }

    /// Base address of the API.
    pub fn http(&self) -> String {
        self.endpoints().unwrap()["http"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// MQTT address.
    pub fn mqtt(&self) -> String {
        self.endpoints().unwrap()["mqtt"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Rows of a query, as JSON objects.
    pub fn sql(&self, query: &str) -> Vec<serde_json::Value> {
        sql(&self.dir, query)
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the ordered end that it promises.
    #[cfg(unix)]
    pub fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        let status = self.child.wait().unwrap();
        assert!(
            status.success(),
            "an ordered stop ends with 0, not {status}"
        );
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Rows of a query against a folder, served or not, as JSON objects.
pub fn sql(dir: &Path, query: &str) -> Vec<serde_json::Value> {
    let output = binary()
        .args(["sql", "--output", "json", query, "--data"])
        .arg(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{query}\n{}", stderr(&output));
    stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
