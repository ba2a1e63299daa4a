//! MQTT as others understand it: a quick choice of Eclipse Paho's client suites, run unchanged.
//!
//! The suites are not ours and lie outside of the repository; where they are missing this says so.
//! `docs/development.md` has the command for all of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::service::{Service, skip};

/// The runner with another choice of tests.
const RUN: &str = "\
import sys, run_paho
run_paho.SUITES = {version: (run_paho.SUITES[version][0], tests)
                   for version, tests in zip(sys.argv[1::2], sys.argv[2::2])}
sys.argv = sys.argv[:1] + ['--port', sys.argv.pop(), '--cap', '60', '--json']
run_paho.main()
";

fn suites() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/judges/paho");
    let python = Command::new("python3").arg("--version").output().is_ok();
    if python && folder.join("run_paho.py").is_file() {
        return Some(folder);
    }
    skip(
        "paho",
        "python3 and Eclipse Paho's suites in ../shared/judges/paho",
    );
    None
}

/// Runs tests of both suites against one service; every one must pass.
fn check(suites: &Path, more: &[&str], three: &str, five: &str) {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), more);
    let port = service.mqtt().rsplit(':').next().unwrap().to_owned();
    let output = Command::new("python3")
        .args(["-c", RUN, "3", three, "5", five, &port])
        .env("PYTHONPATH", suites)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(suites)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let line = String::from_utf8_lossy(&output.stdout);
    let totals: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
    for (version, tests) in [("3", three), ("5", five)] {
        let of = tests.split_whitespace().count();
        assert_eq!(totals[version]["of"], of, "{line}");
        assert_eq!(totals[version]["passed"], of, "{told}");
    }
}

/// Both at once: the suites mostly wait.
#[test]
fn a_choice_of_the_paho_suites_passes() {
    let Some(suites) = suites() else { return };
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes/paho.toml");
    let recipe = recipe.to_str().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            check(
                &suites,
                &[],
                "test_retained_messages test_zero_length_clientid test_redelivery_on_reconnect",
                "test_user_properties test_assigned_clientid",
            );
        });
        scope.spawn(|| {
            check(
                &suites,
                &[],
                "test_offline_message_queueing",
                "test_client_topic_alias test_flow_control1 test_maximum_packet_size",
            );
        });
        scope.spawn(|| {
            check(
                &suites,
                &["--config", recipe],
                "test_subscribe_failure",
                "test_subscribe_failure test_server_keep_alive",
            );
        });
    });
}
