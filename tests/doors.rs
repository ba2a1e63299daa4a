//! Foreign clients at the doors of SQL and at the write door, judged from outside.
//!
//! Clients in Python run where their packages are: `FIELDWRIGHT_PYTHON` names the interpreter,
//! otherwise it is `python3`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::service::{Service, skip};

/// Four readings of two assets, as a client of InfluxDB writes them.
const LINES: &str = "judge,asset=j-1 a=1.5,b=10 1767312000000000000\n\
    judge,asset=j-1 a=2.5,b=11 1767312001000000000\n\
    judge,asset=j-1 a=3.5,b=12 1767312002000000000\n\
    judge,asset=j-2 a=0.5 1767312003000000000\n";

/// An answer of the API: its status, its headers in lower case, its body.
struct Answered {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answered {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }
}

fn send(service: &Service, method: &str, path: &str, headers: &[&str], body: &[u8]) -> TcpStream {
    let address = service.http();
    let address = address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    stream
}

fn ask(service: &Service, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answered {
    let mut whole = Vec::new();
    let mut stream = send(service, method, path, headers, body);
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.read_to_end(&mut whole).unwrap();
    let end = whole
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8_lossy(&whole[..end]).to_lowercase();
    let status = head[9..12].parse().unwrap();
    let mut body = whole.split_off(end + 4);
    if head.contains("transfer-encoding: chunked") {
        body = unchunked(&body);
    }
    Answered { status, head, body }
}

/// The parts of a chunked body; panics where the end is missing.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = bytes
            .windows(2)
            .position(|two| two == b"\r\n")
            .expect("a chunk");
        let size = std::str::from_utf8(&bytes[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[line + 2..line + 2 + size]);
        bytes = &bytes[line + 2 + size + 2..];
    }
}

fn sql(service: &Service, question: Value, accept: &str) -> Answered {
    let accept = format!("accept: {accept}");
    let headers = ["content-type: application/json", accept.as_str()];
    let body = question.to_string();
    ask(service, "POST", "/api/v1/sql", &headers, body.as_bytes())
}

fn write(service: &Service, lines: &[u8], headers: &[&str]) -> Answered {
    ask(
        service,
        "POST",
        "/api/v2/write?org=any&bucket=plant",
        headers,
        lines,
    )
}

fn judged(service: &Service) {
    let written = write(service, LINES.as_bytes(), &[]);
    assert_eq!(written.status, 204, "{}", written.text());
}

fn endpoint(service: &Service, name: &str) -> String {
    let text = std::fs::read_to_string(service.dir.join("endpoints.json")).unwrap();
    let endpoints: Value = serde_json::from_str(&text).unwrap();
    endpoints[name].as_str().unwrap().to_owned()
}

fn python() -> String {
    std::env::var("FIELDWRIGHT_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// Runs a judge where its packages are.
fn judge(script: &str, packages: &[&str], arguments: &[&str]) {
    let imports = format!("import {}", packages.join(", "));
    let found = Command::new(python()).args(["-c", &imports]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        let remedy = format!("pip install {}", packages.join(" "));
        return skip(packages[0], &remedy);
    }
    let path = format!("{}/tests/judges/{script}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(python())
        .arg(path)
        .args(arguments)
        .output()
        .unwrap();
    assert_passed(&output);
}

fn assert_passed(output: &Output) {
    let (said, failed) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}\n{failed}");
    assert!(said.contains("ok "), "{said}\n{failed}");
}

#[test]
fn postgresql_clients_are_at_home() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    judged(&service);
    let url = endpoint(&service, "postgres");
    judge("postgres_wire.py", &["psycopg", "sqlalchemy"], &[&url]);
    psql(&url);
}

/// psql lists tables and describes one.
fn psql(url: &str) {
    let asked = |command: &str| {
        let url = url.replace("postgres://", "postgres://judge@");
        Command::new("psql")
            .args([
                "-X",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                command,
                &url,
            ])
            .stdin(Stdio::null())
            .output()
    };
    let Ok(listed) = asked("\\dt") else {
        return skip("psql", "apt-get install postgresql-client");
    };
    for (command, expected) in [
        ("\\dt", "judge"),
        ("\\d judge", "double precision"),
        ("\\l", "fieldwright"),
        ("\\dn", "public"),
        (
            "SELECT asset, max(a) FROM judge GROUP BY asset ORDER BY asset",
            "j-1|3.5",
        ),
    ] {
        let output = asked(command).unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let failed = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{command}: {said}{failed}");
    }
    assert!(listed.status.success());
    let refused = asked("DROP TABLE judge").unwrap();
    assert!(!refused.status.success());
    let failed = String::from_utf8_lossy(&refused.stderr);
    assert!(failed.contains("only reads"), "{failed}");
}

#[test]
fn postgresql_clients_may_encrypt() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let config = dir.path().join("fieldwright.toml");
    let tls = format!(
        "[mqtt.tls]\nlisten = '127.0.0.1:0'\ncertificate_file = '{}'\nkey_file = '{}'\n",
        certificate.display(),
        key.display()
    );
    std::fs::write(&config, tls).unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let service = Service::start(&data, &["--config", config.to_str().unwrap()]);
    let url = endpoint(&service, "postgres");
    let url = url.replace("postgres://", "postgres://judge@");
    let asked = Command::new("psql")
        .args(["-X", "-A", "-t", "-c", "SELECT 40 + 2"])
        .arg(format!("{url}?sslmode=require"))
        .stdin(Stdio::null())
        .output();
    match asked {
        Err(_) => skip("psql", "apt-get install postgresql-client"),
        Ok(output) => assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "42\n",
            "{output:?}"
        ),
    }
}

#[test]
fn adbc_clients_are_at_home() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    judged(&service);
    let url = endpoint(&service, "flight");
    let packages = ["adbc_driver_flightsql", "pyarrow"];
    judge("flight_sql.py", &packages, &[&url]);
}

#[test]
fn the_token_guards_every_door() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let service = Service::start(&data, &["--token-file", token.to_str().unwrap()]);
    assert_eq!(write(&service, LINES.as_bytes(), &[]).status, 401);
    let refused = write(&service, LINES.as_bytes(), &["authorization: Token wrong"]);
    assert_eq!(refused.json()["code"], "unauthorized", "{}", refused.text());
    let written = write(&service, LINES.as_bytes(), &["authorization: Token s3cret"]);
    assert_eq!(written.status, 204, "{}", written.text());
    assert_eq!(ask(&service, "GET", "/ping", &[], b"").status, 204);
    let postgres = endpoint(&service, "postgres");
    judge(
        "postgres_wire.py",
        &["psycopg", "sqlalchemy"],
        &[&postgres, "s3cret"],
    );
    let flight = endpoint(&service, "flight");
    judge(
        "flight_sql.py",
        &["adbc_driver_flightsql", "pyarrow"],
        &[&flight, "s3cret"],
    );
}

/// A message that no rule matches is acknowledged and in no table, so its figure must tell.
#[test]
fn an_unmapped_message_is_counted_where_operators_look() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let address = service.mqtt();
    let mut stream = TcpStream::connect(address.strip_prefix("mqtt://").unwrap()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    // CONNECT of MQTT 3.1.1 and a PUBLISH at quality of service 1 on `chat/a`.
    stream
        .write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01u")
        .unwrap();
    stream.write_all(b"\x32\x0c\0\x06chat/a\0\x07hi").unwrap();
    let mut answers = [0; 8];
    stream.read_exact(&mut answers).unwrap();
    assert_eq!(answers, [0x20, 2, 0, 0, 0x40, 2, 0, 7]);
    let metrics = ask(&service, "GET", "/metrics", &[], b"");
    let lines = metrics.text();
    for line in [
        "fieldwright_mqtt_messages_unmapped 1",
        "fieldwright_mqtt_connections 1",
        "fieldwright_mqtt_publishes_denied 0",
    ] {
        assert!(lines.lines().any(|found| found == line), "{line}:\n{lines}");
    }
}

#[test]
fn influx_clients_are_at_home() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    judge("influx_write.py", &["influxdb_client"], &[&service.http()]);
}

#[test]
fn telegraf_writes_gzip_and_bad_lines_are_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(LINES.as_bytes()).unwrap();
    // What Telegraf's influxdb_v2 output sends.
    let headers = [
        "user-agent: Telegraf/1.30.0",
        "content-type: text/plain; charset=utf-8",
        "content-encoding: gzip",
        "accept: application/json",
        "authorization: Token whatever",
    ];
    let written = write(&service, &encoder.finish().unwrap(), &headers);
    assert_eq!(written.status, 204, "{}", written.text());
    let count = || {
        let rows = service.sql("SELECT count(*) AS n, sum(a) AS a FROM judge");
        (
            rows[0]["n"].as_i64().unwrap(),
            rows[0]["a"].as_f64().unwrap(),
        )
    };
    assert_eq!(count(), (4, 8.0));
    for (lines, code) in [
        (
            "judge,asset=j-3 a=1 1767312009000000000\nno line at all\n",
            400,
        ),
        ("judge,asset=j-3 a= 1767312009000000000\n", 400),
    ] {
        let refused = write(&service, lines.as_bytes(), &[]);
        assert_eq!(refused.status, code, "{}", refused.text());
        assert_eq!(refused.json()["code"], "invalid");
        assert!(refused.json()["message"].as_str().unwrap().len() > 20);
    }
    // One machine with two measurements that share a field and an instant: readings of two classes.
    let two = "judge_cpu,host=h-1 usage=1 1767312009000000000\n\
               judge_mem,host=h-1 usage=2 1767312009000000000\n";
    assert_eq!(write(&service, two.as_bytes(), &[]).status, 204);
    let json = ["content-type: application/json"];
    let verified = ask(&service, "POST", "/api/v1/verify", &json, b"{}");
    assert_eq!(verified.json()["ok"], true, "{}", verified.text());
    let large = format!(
        "judge,asset=j-3 a=1 1767312009000000000\n{}",
        "#".repeat(300_000)
    );
    let refused = write(&service, large.as_bytes(), &[]);
    assert_eq!((refused.status, count()), (413, (4, 8.0)));
    let v1 = ask(
        &service,
        "POST",
        "/write?db=plant&precision=s",
        &[],
        b"judge,asset=j-4 a=2 1767312009",
    );
    assert_eq!((v1.status, count()), (204, (5, 10.0)), "{}", v1.text());
    assert_eq!(
        ask(&service, "GET", "/health", &[], b"").json()["status"],
        "pass"
    );
}

#[test]
fn sql_is_answered_in_every_format_within_lower_limits() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    judged(&service);
    let query = "SELECT asset, a FROM judge ORDER BY asset, time";
    let csv = sql(&service, json!({ "query": query }), "text/csv");
    assert_eq!(
        csv.text(),
        "asset,a\r\nj-1,1.5\r\nj-1,2.5\r\nj-1,3.5\r\nj-2,0.5\r\n"
    );
    let cut = sql(
        &service,
        json!({"query": query, "format": "csv", "row_limit": 2}),
        "*/*",
    );
    assert_eq!(cut.text(), "asset,a\r\nj-1,1.5\r\nj-1,2.5\r\n");
    assert!(
        cut.head.contains("fieldwright-truncated: true"),
        "{}",
        cut.head
    );
    let whole = sql(
        &service,
        json!({"query": query, "format": "csv", "row_limit": 4}),
        "*/*",
    );
    assert!(
        whole.head.contains("fieldwright-truncated: false"),
        "{}",
        whole.head
    );
    let cut = sql(&service, json!({"query": query, "row_limit": 3}), "*/*").json();
    assert_eq!(
        (cut["rows"].as_array().unwrap().len(), &cut["truncated"]),
        (3, &json!(true))
    );
    let arrow = sql(&service, json!({"query": query, "format": "arrow"}), "*/*");
    let reader = arrow::ipc::reader::StreamReader::try_new(&arrow.body[..], None).unwrap();
    let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 4);
    let endless = "SELECT count(*) FROM generate_series(1, 1000000) a \
                   CROSS JOIN generate_series(1, 1000000) b";
    let late = sql(
        &service,
        json!({"query": endless, "time_limit_ms": 50}),
        "*/*",
    );
    assert_eq!(
        (late.status, &late.json()["refusal"]),
        (503, &json!("sql_timed_out"))
    );
    let wide = "SELECT a.value, b.value FROM generate_series(1, 1000000) a \
                CROSS JOIN generate_series(1, 1000) b ORDER BY b.value, a.value";
    let wide = sql(
        &service,
        json!({"query": wide, "memory_limit_mib": 1}),
        "*/*",
    );
    assert_eq!(
        (wide.status, &wide.json()["refusal"]),
        (503, &json!("sql_out_of_memory"))
    );
}

#[test]
fn queries_are_listed_and_canceled() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let endless = "SELECT count(*) FROM generate_series(1, 1000000) a \
                   CROSS JOIN generate_series(1, 1000000) b";
    let question = json!({"query": endless, "query_id": "mine"}).to_string();
    let headers = ["content-type: application/json"];
    let running = || ask(&service, "GET", "/api/v1/sql", &[], b"").json()["items"].clone();
    let wait = |expected: usize| {
        let started = Instant::now();
        while running().as_array().unwrap().len() != expected {
            assert!(started.elapsed() < Duration::from_secs(20), "{}", running());
        }
    };
    let mut asked = send(
        &service,
        "POST",
        "/api/v1/sql",
        &headers,
        question.as_bytes(),
    );
    wait(1);
    assert_eq!(
        (&running()[0]["query_id"], &running()[0]["door"]),
        (&json!("mine"), &json!("http"))
    );
    let again = ask(
        &service,
        "POST",
        "/api/v1/sql",
        &headers,
        question.as_bytes(),
    );
    assert_eq!(again.status, 409, "{}", again.text());
    let canceled = ask(&service, "DELETE", "/api/v1/sql/mine", &[], b"");
    assert_eq!(canceled.status, 204);
    let mut told = String::new();
    asked.read_to_string(&mut told).unwrap();
    assert!(told.contains("sql_canceled"), "{told}");
    assert_eq!(
        ask(&service, "DELETE", "/api/v1/sql/mine", &[], b"").status,
        404
    );
    // Whoever closes the connection cancels too.
    let asked = send(
        &service,
        "POST",
        "/api/v1/sql",
        &headers,
        question.as_bytes(),
    );
    wait(1);
    drop(asked);
    wait(0);
}

#[test]
fn last_values_are_listed_by_asset() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    judged(&service);
    let one = ask(&service, "GET", "/api/v1/assets/j-1/last-values", &[], b"").json();
    let values = one["classes"][0]["values"].as_array().unwrap();
    let a = values.iter().find(|value| value["metric"] == "a").unwrap();
    assert_eq!((&a["value"], &a["quality"]), (&json!(3.5), &json!("good")));
    assert_eq!(a["time"], "2026-01-02T00:00:02Z");
    assert!(a["age_s"].as_f64().is_some());
    let unknown = ask(
        &service,
        "GET",
        "/api/v1/assets/nobody/last-values",
        &[],
        b"",
    );
    assert_eq!(unknown.status, 404);
    let page = |query: &str| {
        let path = format!("/api/v1/last-values?{query}");
        ask(&service, "GET", &path, &[], b"").json()
    };
    let first = page("class=judge&limit=1");
    assert_eq!(first["items"][0]["asset"], "j-1");
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = page(&format!("class=judge&limit=1&cursor={cursor}"));
    assert_eq!(second["items"][0]["asset"], "j-2");
    assert_eq!(second["next_cursor"], Value::Null);
    assert_eq!(page("asset=j-2")["items"].as_array().unwrap().len(), 1);
}
