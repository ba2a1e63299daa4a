//! The command line keeps its contract: exit codes, streams, forms.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::service::{Service, run, stderr, stdout};

fn check(arguments: &[&str], code: i32, said: &str) {
    let output = run(arguments);
    let talk = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{talk}");
    assert!(
        talk.contains(said),
        "{arguments:?}: `{said}` is not in:\n{talk}"
    );
}

#[test]
fn exit_codes_say_what_a_caller_can_do() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing").display().to_string();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let data = dir.path().join("data").display().to_string();

    check(&["serve", "--nonsense"], 2, "--nonsense");
    check(&["serve", "--data", &data, "--clock", "fast"], 2, "clock");
    check(
        &["serve", "--data", &data, "--store", "mysql://x/y"],
        2,
        "store.url",
    );
    check(
        &["serve", "--data", &data, "--http", "0.0.0.0:0"],
        2,
        "token",
    );
    check(
        &[
            "serve",
            "--data",
            &data,
            "--http",
            &taken,
            "--mqtt",
            "127.0.0.1:0",
        ],
        5,
        &taken,
    );
    check(
        &[
            "serve",
            "--data",
            &data,
            "--http",
            "127.0.0.1:0",
            "--mqtt",
            &taken,
        ],
        5,
        &taken,
    );
    check(&["sql", "--data", &missing, "SELECT 1"], 4, "missing");
    check(
        &["sql", "--api", "http://127.0.0.1:1", "SELECT 1"],
        5,
        "no answer",
    );
    check(&["verify", "--data", &missing], 4, "missing");
}

#[test]
fn a_wrong_configuration_lists_all_mistakes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fieldwright.toml");
    std::fs::write(
        &path,
        "[http]\nport = 1\n[sql]\nrow_limit = 'x'\n[what]\nis = 'this'\n",
    )
    .unwrap();
    let path = path.display().to_string();
    for said in ["http.port", "sql.row_limit", "what.is"] {
        check(&["config", "check", "--config", &path], 2, said);
        check(&["serve", "--config", &path], 2, said);
    }
    check(&["config", "check"], 0, "");
}

#[test]
fn json_output_is_json_lines_and_nothing_else() {
    for arguments in [
        &["config", "show", "--output", "json"][..],
        &["config", "check", "--output", "json"],
    ] {
        let output = run(arguments);
        assert!(output.status.success());
        let text = stdout(&output);
        assert!(!text.is_empty());
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
    let document: serde_json::Value = serde_json::from_str(&stdout(&run(&["openapi"]))).unwrap();
    assert!(document["paths"]["/api/v1/sql"]["post"].is_object());
}

#[test]
fn a_log_in_a_file_has_no_colors() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens at this broker, so there is something to tell.
    let _service = Service::start(dir.path(), &["--broker", "mqtt://127.0.0.1:1"]);
    let patience = Instant::now() + Duration::from_secs(30);
    let log = loop {
        let log = std::fs::read_to_string(dir.path().join("stderr.log")).unwrap();
        if log.contains("MQTT broker could not be reached") {
            break log;
        }
        assert!(Instant::now() < patience, "nothing is told:\n{log}");
        std::thread::park_timeout(Duration::from_millis(20));
    };
    assert!(!log.contains('\x1b'), "{log:?}");
}

#[test]
fn every_command_teaches_itself() {
    for command in [
        "demo", "serve", "replay", "sql", "detect", "simulate", "verify", "config", "bench",
    ] {
        let output = run(&[command, "--help"]);
        assert!(output.status.success(), "{command}");
        assert!(
            stdout(&output).contains("Example"),
            "{command} --help shows no example"
        );
    }
}

#[test]
fn a_folder_has_one_service_and_answers_with_and_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let data = dir.path().display().to_string();
    check(
        &[
            "serve",
            "--data",
            &data,
            "--http",
            "127.0.0.1:0",
            "--mqtt",
            "127.0.0.1:0",
        ],
        5,
        "in use",
    );
    let assets = service.sql("SELECT count(*) AS n FROM assets")[0]["n"]
        .as_i64()
        .unwrap();
    assert!(assets >= 20, "the seeds hold {assets} assets");
    check(&["verify", "--data", &data], 0, "invariants hold");
    check(&["serve", "--data", &data, "--clock", "60x"], 5, "in use");
    service.stop();
    let offline = crate::service::sql(dir.path(), "SELECT count(*) AS n FROM assets");
    assert_eq!(offline[0]["n"].as_i64(), Some(assets));
    check(&["verify", "--data", &data], 0, "invariants hold");
    check(&["serve", "--data", &data, "--clock", "60x"], 2, "clock");
    check(
        &["sql", "--data", &data, "DROP TABLE assets"],
        3,
        "only reads",
    );
    check(
        &["sql", "--data", &data, "SELECT * FROM nowhere"],
        2,
        "nowhere",
    );
}

#[test]
fn jobs_of_detection_are_listed_and_told_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let data = dir.path().display().to_string();
    let jobs = |more: &[&str]| run(&[&["detect", "jobs", "--data", &data], more].concat());
    assert_eq!(stdout(&jobs(&[])), "", "there is none yet");
    check(
        &["detect", "jobs", "--cancel", "9", "--data", &data],
        4,
        "no job 9",
    );

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let asked = reqwest::Client::new()
        .post(format!("{}/api/v1/detect/jobs", service.http()))
        .header("content-type", "application/json")
        .body(
            serde_json::json!({
                "kind": "train", "asset": "nobody", "from": "2026-03-01T00:00:00Z",
                "to": "2026-03-02T00:00:00Z",
            })
            .to_string(),
        );
    let status = runtime.block_on(async { asked.send().await.unwrap().status() });
    assert!(status.is_success(), "{status}");
    let patience = Instant::now() + Duration::from_secs(30);
    let job: serde_json::Value = loop {
        let job = serde_json::from_str(&stdout(&jobs(&["--output", "json"])));
        let job: serde_json::Value = job.unwrap();
        if job["ended_at"].is_string() {
            break job;
        }
        assert!(Instant::now() < patience, "it never ends: {job}");
        std::thread::park_timeout(Duration::from_millis(20));
    };
    assert_eq!(
        (&job["asset"], &job["state"]),
        (&"nobody".into(), &"failed".into())
    );
    let number = job["number"].to_string();
    let told = stdout(&jobs(&["--cancel", &number]));
    assert!(
        told.contains("train of nobody") && told.contains("failed"),
        "{told}"
    );
    service.stop();
    check(&["detect", "jobs", "--data", &data], 5, "no service runs");
}
