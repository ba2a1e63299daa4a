//! Promise 1 and 2 under `kill -9`: an outside publisher keeps a ledger of what was acknowledged,
//! the service is killed at random instants during the full circle, and afterwards every
//! acknowledged reading is in SQL exactly once and no order, invoice or payment is doubled.
//!
//! `FIELDWRIGHT_CRASH_KILLS` says how often to kill (3 by default, 20 for the full test).

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldwright_simulators::api::Api;
use fieldwright_simulators::ledger_publisher::{self, Ledger, LedgerConfig};
use fieldwright_simulators::world::World;
use fieldwright_simulators::{
    CancelSource, Endpoint, Simulation, SimulationConfig, SimulationHandle, Talk, scenario,
};

use crate::service::{Service, run, sql, stderr};

/// The circle must close in spite of all kills.
const PATIENCE: Duration = Duration::from_secs(400);
const SEED: u64 = 1;

#[test]
fn killed_with_its_own_endpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mqtt = Endpoint::mqtt_file(dir.path().join("endpoints.json"));
    crash(dir.path(), &[], mqtt);
}

#[test]
fn killed_behind_mosquitto() {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(dir.path()) else {
        crate::service::skip("mosquitto", "apt-get install mosquitto");
        return;
    };
    let url = broker.url.clone();
    crash(
        dir.path(),
        &["--broker", &url],
        Endpoint::Fixed(url.clone()),
    );
}

fn crash(dir: &Path, flags: &[&str], mqtt: Endpoint) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let data = dir.join("data");
    std::fs::create_dir(&data).unwrap();
    let mut flags = flags.to_vec();
    flags.extend(["--clock", "600x"]);
    let mut service = Service::start(&data, &flags);
    // Behind a broker the consumer's session must exist before the first message is published.
    wait_until_ready(&service);
    // The plant looks for the service's address where the service writes it, after each restart.
    let mqtt = match mqtt {
        Endpoint::File { .. } => Endpoint::mqtt_file(data.join("endpoints.json")),
        other => other,
    };
    let (world, enough, ledger) = runtime.block_on(start_world(&data, mqtt));

    let kills = std::env::var("FIELDWRIGHT_CRASH_KILLS").map_or(3, |text| text.parse().unwrap());
    let mut random = Lcg(0x5EED);
    for kill in 0..kills {
        // The kills are spread over the circle: a story that is over is hard to interrupt.
        let stage = kill * STAGES.len() / kills;
        wait_for_stage(&service, stage);
        let pause = Duration::from_millis(random.next() % 1_500);
        std::thread::park_timeout(pause);
        service.kill();
        let (number, after) = (kill + 1, STAGES[stage].0);
        eprintln!(
            "kill {number} of {kills}: {} ms after {after}",
            pause.as_millis()
        );
        service = Service::start(&data, &flags);
    }

    let started = Instant::now();
    let paid = "SELECT count(*) AS n FROM invoices WHERE settlement = 'paid'";
    while service.sql(paid)[0]["n"] == 0 {
        assert!(
            started.elapsed() < PATIENCE,
            "no invoice is paid after {PATIENCE:?}"
        );
        std::thread::park_timeout(Duration::from_millis(500));
    }
    enough.cancel();
    let ledger = runtime.block_on(ledger).unwrap();
    world.cancel();
    runtime.block_on(world.finish()).unwrap();
    service.stop();

    assert_each_once(&data, &ledger);
    assert_nothing_doubled(&data);
    let verified = run(&["verify", "--data", &data.display().to_string()]);
    assert!(verified.status.success(), "{}", stderr(&verified));
}

/// What has happened, and the query that counts it.
const STAGES: [(&str, &str); 6] = [
    ("the start", "SELECT 1 AS n"),
    ("an alarm", "SELECT count(*) AS n FROM alarms"),
    (
        "a technician is on the way",
        "SELECT count(*) AS n FROM bookings WHERE status <> 'scheduled'",
    ),
    (
        "the work is done",
        "SELECT count(*) AS n FROM bookings WHERE status = 'completed'",
    ),
    ("an invoice", "SELECT count(*) AS n FROM invoices"),
    ("a receipt", "SELECT count(*) AS n FROM receipts"),
];

fn wait_for_stage(service: &Service, stage: usize) {
    let started = Instant::now();
    let (what, query) = STAGES[stage];
    while service.sql(query)[0]["n"] == 0 {
        assert!(
            started.elapsed() < PATIENCE,
            "no sign of {what} after {PATIENCE:?}"
        );
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

type LedgerTask = tokio::task::JoinHandle<Ledger>;

async fn start_world(data: &Path, mqtt: Endpoint) -> (SimulationHandle, CancelSource, LedgerTask) {
    let http = Endpoint::http_file(data.join("endpoints.json"));
    let clock = World::meet(Api::new(http.clone(), None))
        .await
        .unwrap()
        .clock;
    let world = Simulation::start(SimulationConfig {
        scenario: scenario("small_plant").unwrap(),
        seed: SEED,
        api: http,
        token: None,
        broker: mqtt.clone(),
        truth_path: data.with_file_name("truth.json"),
        fault: true,
        talk: Talk::silent(),
    });
    let (enough, is_enough) = CancelSource::new();
    let config = LedgerConfig {
        broker: mqtt,
        client_id: "ledger".into(),
        class: "ledger".into(),
        assets: (1..=5).map(|number| format!("ledger-{number}")).collect(),
        metric: "counter".into(),
        rate: 200.0,
        count: None,
        window: 500,
        now: Arc::new(move || clock.now()),
        record: None,
    };
    let ledger = tokio::spawn(async move {
        // Never abandoned: what was handed over must be acknowledged in the end.
        let (_keep, never) = CancelSource::new();
        ledger_publisher::publish(config, is_enough, never)
            .await
            .unwrap()
    });
    (world, enough, ledger)
}

fn wait_until_ready(service: &Service) {
    let started = Instant::now();
    let url = format!("{}/readyz", service.http());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let is_ready =
        || runtime.block_on(async { Some(reqwest::get(&url).await.ok()?.status().is_success()) });
    while is_ready() != Some(true) {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "not ready after 30 s"
        );
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Promise 1: nothing missing, nothing twice, nothing changed.
pub fn assert_each_once(data: &Path, ledger: &Ledger) {
    assert!(
        ledger.acknowledged.len() > 100,
        "only {} acknowledged",
        ledger.acknowledged.len()
    );
    let mut stored: HashMap<(String, String), (u32, f64)> = HashMap::new();
    let assets: BTreeSet<&str> = ledger.acknowledged.iter().map(|e| &*e.asset).collect();
    // Asset by asset: one answer carries so many rows.
    let rows = assets.into_iter().flat_map(|asset| {
        let of = format!("metric = 'counter' AND asset = '{asset}'");
        sql(
            data,
            &format!("SELECT asset, time, value FROM readings WHERE {of}"),
        )
    });
    for row in rows {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let entry = stored
            .entry((text("asset"), instant(&text("time"))))
            .or_default();
        entry.0 += 1;
        entry.1 = row["value"].as_f64().unwrap();
    }
    let mut wrong = Vec::new();
    for entry in &ledger.acknowledged {
        let time = entry.time.timestamp_micros().to_string();
        match stored.get(&(entry.asset.clone(), time)) {
            Some((1, value)) if *value == entry.value => {}
            other => wrong.push(format!("{entry:?}: {other:?}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} readings are wrong, first: {}",
        wrong.len(),
        wrong[0]
    );
    eprintln!(
        "{} acknowledged readings are in SQL exactly once ({} sent, {} connections)",
        ledger.acknowledged.len(),
        ledger.sent,
        ledger.connections
    );
}

fn instant(text: &str) -> String {
    let at = chrono::DateTime::parse_from_rfc3339(text).unwrap();
    at.timestamp_micros().to_string()
}

/// Promise 2: one condition, one order, one invoice, one payment.
fn assert_nothing_doubled(data: &Path) {
    for (what, query) in [
        (
            "orders of one asset and failure mode",
            "SELECT asset_id, failure_mode FROM work_orders GROUP BY asset_id, failure_mode HAVING count(*) > 1",
        ),
        (
            "invoices of one order",
            "SELECT work_order_id FROM invoices GROUP BY work_order_id HAVING count(*) > 1",
        ),
        (
            "receipts of one invoice",
            "SELECT reference FROM receipts GROUP BY reference HAVING count(*) > 1",
        ),
    ] {
        let doubled = sql(data, query);
        assert!(doubled.is_empty(), "{what}: {doubled:?}");
    }
    let orders = sql(data, "SELECT count(*) AS n FROM work_orders");
    assert_eq!(orders[0]["n"], 1, "the world has one fault");
}

/// A broker of its own on a free port, with everything that the contract asks for.
struct Mosquitto {
    child: Child,
    url: String,
}

impl Mosquitto {
    fn start(dir: &Path) -> Option<Self> {
        let binary = [
            "/usr/sbin/mosquitto",
            "/usr/bin/mosquitto",
            "/usr/local/sbin/mosquitto",
        ]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let store = dir.join("mosquitto");
        std::fs::create_dir(&store).unwrap();
        let user = if is_root() { "user root\n" } else { "" };
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\n{user}persistence true\n\
             persistence_location {}/\nmax_queued_messages 0\nmax_inflight_messages 0\n",
            store.display()
        );
        let path = dir.join("mosquitto.conf");
        std::fs::write(&path, config).unwrap();
        let child = Command::new(binary)
            .arg("-c")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "mosquitto does not listen"
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Some(Self {
            child,
            url: format!("mqtt://127.0.0.1:{port}"),
        })
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_root() -> bool {
    std::env::var("USER").is_ok_and(|user| user == "root")
        || std::env::var("HOME").is_ok_and(|home| home == "/root")
}

/// A small seeded generator: the instants of the kills repeat from run to run.
pub struct Lcg(pub u64);

impl Lcg {
    pub fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}
