//! A historian's file is imported once, whatever is killed meanwhile.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::service::{Service, binary, run, sql, stderr, stdout};

const ROWS: usize = 40_000;
const START: i64 = 1_772_434_800_000;

/// A file of two assets with two metrics, and its map.
fn files(dir: &Path) -> (String, String) {
    let mut csv = String::from("when;tag;Flow (l/s);state\n");
    for row in 0..ROWS {
        let (time, tag) = (START + row as i64 * 500, ["P-1", "P-2"][row % 2]);
        writeln!(csv, "{time};{tag};{},5;s{}", row % 100, row % 7).unwrap();
    }
    let map = "asset_column = 'tag'\ndecimal_comma = true\ntime = { column = 'when', format = 'ms' }\n\
               [metrics]\n'Flow (l/s)' = 'flow'\nstate = 'state'\n";
    let (file, map_file) = (dir.join("log.csv"), dir.join("log.toml"));
    std::fs::write(&file, csv).unwrap();
    std::fs::write(&map_file, map).unwrap();
    (file.display().to_string(), map_file.display().to_string())
}

fn acknowledged(file: &str) -> u64 {
    let text = std::fs::read(format!("{file}.import.json")).unwrap_or_default();
    let state: Value = serde_json::from_slice(&text).unwrap_or_default();
    state["acknowledged"].as_u64().unwrap_or(0)
}

#[test]
fn an_import_that_was_killed_goes_on_and_counts_every_row_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let (file, map) = files(dir.path());
    let service = Service::start(&data, &[]);
    let data_text = data.display().to_string();
    let arguments = [
        "import", &file, "--class", "pump", "--map", &map, "--data", &data_text,
    ];

    let dry = run(&[&arguments[..], &["--dry-run", "--output", "json"]].concat());
    assert!(dry.status.success(), "{}", stderr(&dry));
    let summary: Value = serde_json::from_str(stdout(&dry).trim()).unwrap();
    assert_eq!(summary["rows"], ROWS);
    assert_eq!(summary["assets"], 2);
    assert_eq!(summary["metrics"]["flow"], ROWS);
    assert_eq!(acknowledged(&file), 0);

    let mut import = binary()
        .args(arguments)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while acknowledged(&file) < 3_000 {
        assert!(Instant::now() < patience, "the import does not begin");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    import.kill().unwrap();
    import.wait().unwrap();
    let before = acknowledged(&file);
    assert!(before < ROWS as u64, "it was faster than the test");

    // The service, too: the import waits for it and goes on.
    let going_on = std::thread::spawn({
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    });
    while acknowledged(&file) < before + 2_000 && !going_on.is_finished() {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    service.kill();
    let _service = Service::start(&data, &[]);
    let output = going_on.join().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("going on after row"),
        "{}",
        stderr(&output)
    );
    assert_eq!(acknowledged(&file), ROWS as u64);

    let query = "SELECT count(*) AS n, count(DISTINCT asset) AS assets, \
                 count(DISTINCT time) AS times FROM readings WHERE metric = 'flow'";
    let found = sql(&data, query);
    assert_eq!(found[0]["n"], ROWS, "{found:?}");
    assert_eq!(found[0]["assets"], 2);
    assert_eq!(found[0]["times"], ROWS);
    let sum = sql(&data, "SELECT sum(flow) AS s, count(state) AS t FROM pump");
    let expected: f64 = (0..ROWS).map(|row| (row % 100) as f64 + 0.5).sum();
    assert_eq!(sum[0]["s"].as_f64(), Some(expected));
    assert_eq!(sum[0]["t"], ROWS);

    // Again changes nothing.
    let again = run(&arguments);
    assert!(again.status.success(), "{}", stderr(&again));
    assert_eq!(sql(&data, query)[0]["n"], ROWS);

    assert!(
        stderr(&again).contains("acknowledged all rows already"),
        "{}",
        stderr(&again)
    );

    bad_rows_refuse_the_file(dir.path(), &data);
}

/// What one service has acknowledged says nothing about another one.
#[test]
fn the_same_file_goes_into_a_second_service() {
    let dir = tempfile::tempdir().unwrap();
    let (file, map) = (dir.path().join("log.csv"), dir.path().join("log.toml"));
    std::fs::write(
        &file,
        "t,a\n2026-03-02T07:00:00Z,1\n2026-03-02T07:00:01Z,2\n",
    )
    .unwrap();
    std::fs::write(&map, "asset = 'P-1'\ntime = { column = 't' }\n").unwrap();
    let [file, map] = [file, map].map(|path| path.display().to_string());
    let import = |place: &str, name: &str| {
        run(&[
            "import", &file, "--class", "pump", "--map", &map, place, name,
        ])
    };
    let mut said = Vec::new();
    for name in ["trial", "production"] {
        let data = dir.path().join(name);
        std::fs::create_dir(&data).unwrap();
        let _service = Service::start(&data, &[]);
        let output = import("--data", &data.display().to_string());
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        said.push(stderr(&output));
        let found = sql(&data, "SELECT count(*) AS n FROM pump");
        assert_eq!(found[0]["n"], 2, "{name}");
    }
    let anew = "another service or data folder; beginning anew";
    assert!(!said[0].contains(anew), "{said:?}");
    assert!(said[1].contains(anew), "{said:?}");
    // All rows are acknowledged, but nobody is here to say that it has them.
    let nobody = import("--api", "http://127.0.0.1:1");
    assert_eq!(nobody.status.code(), Some(5), "{}", stderr(&nobody));
}

/// A bad row refuses the file whole, with its line, unless it may be left out.
fn bad_rows_refuse_the_file(dir: &Path, data: &Path) {
    let file = dir.join("bad.csv");
    let csv = "t,a\n2026-03-02T07:00:00Z,1\nyesterday,2\n2026-03-02T07:00:01Z,3\n";
    std::fs::write(&file, csv).unwrap();
    let map = dir.join("bad.toml");
    std::fs::write(&map, "asset = 'F-1'\ntime = { column = 't' }\n").unwrap();
    let texts = [&file, &map].map(|path| path.display().to_string());
    let data_text = data.display().to_string();
    let arguments = [
        "import", &texts[0], "--class", "fan", "--map", &texts[1], "--data", &data_text,
    ];
    let refused = run(&arguments);
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("line 3"), "{}", stderr(&refused));
    let none = sql(
        data,
        "SELECT count(*) AS n FROM readings WHERE asset = 'F-1'",
    );
    assert_eq!(none[0]["n"], 0);
    let taken = run(&[&arguments[..], &["--skip-bad", "1"]].concat());
    assert!(taken.status.success(), "{}", stderr(&taken));
    let some = sql(
        data,
        "SELECT count(*) AS n FROM readings WHERE asset = 'F-1'",
    );
    assert_eq!(some[0]["n"], 2);
}
