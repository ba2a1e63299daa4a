//! A small service without sockets.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use fieldwright_analytics::alarms::{AlarmBook, MemoryAlarmStore};
use fieldwright_analytics::detect::{DetectConfig, Detection, DetectionParts};
use fieldwright_analytics::sql::{SnapshotSource, SqlEngine, SqlLimits};
use fieldwright_ingest::clock::{ManualClock, SharedClock, wall_now};
use fieldwright_ingest::{Ingest, IngestConfig};
use fieldwright_workorders::registry::seed;
use fieldwright_workorders::store::{Ctx, Db, SeededIds};
use futures::FutureExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::api::auth::Access;
use crate::api::clock::ClockMode;
use crate::api::health::Readiness;
use crate::api::metrics::{Gauge, Gauges};
use crate::api::request::{Limits, Requests};
use crate::api::state::ApiState;
use crate::api::verify::Verifier;

/// A service in a folder of its own.
pub struct World {
    pub state: ApiState,
    pub clock: Arc<ManualClock>,
    router: Router,
    _dir: TempDir,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    pub json: Value,
}

impl World {
    /// Monday morning, everything seeded, nobody needs a token.
    pub async fn new() -> Self {
        Self::with_access(Access::local(None)).await
    }

    pub async fn with_access(access: Access) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let monday: DateTime<Utc> = "2026-03-02T07:00:00Z".parse().unwrap();
        let clock = Arc::new(ManualClock::new(monday));
        let shared: SharedClock = clock.clone();
        let ids = Arc::new(SeededIds::new(7));
        let db = Db::open_file(&dir.path().join("store.db")).await.unwrap();
        let ctx = Ctx::new(monday, wall_now(), "seed", ids.clone());
        seed::seed(&db, &ctx).await.unwrap();
        let (config, folder) = (IngestConfig::default(), dir.path().to_owned());
        let (ingest, feed) = Ingest::start(config, &folder, shared.clone()).unwrap();
        let snapshots = ingest.snapshots();
        let source: SnapshotSource = Arc::new(move || snapshots.load());
        let store = Arc::new(MemoryAlarmStore::default());
        let alarms = Arc::new(AlarmBook::open(store).await.unwrap());
        let parts = DetectionParts {
            config: detection_config(),
            data_dir: dir.path(),
            feed,
            sql: None,
            alarms: alarms.clone(),
            limits: Vec::new(),
            clock: shared.clone(),
        };
        let detection = Detection::start(parts, source.clone()).await.unwrap();
        let sql = SqlEngine::new(source, None, shared.clone(), SqlLimits::default());
        let state = ApiState {
            service_id: "folder-7".into(),
            clock: shared,
            clock_mode: ClockMode::Scaled,
            db,
            ingest: Arc::new(ingest),
            alarms,
            detection: Arc::new(detection),
            sql: Arc::new(sql),
            ids,
            access,
            readiness: Readiness::new().with("store", || async { Ok("open".to_owned()) }.boxed()),
            verifier: Verifier::new(|| {
                let item = json!({"number": 1, "name": "it holds", "ok": true, "detail": ""});
                async { Ok(vec![item]) }.boxed()
            }),
            gaps: crate::api::gaps::GapSource::new(Vec::new),
            gauges: Gauges::default().with(|| {
                let name = "fieldwright_outbox_pending";
                async move {
                    vec![Gauge {
                        name,
                        help: "Events not yet taken.",
                        value: 3.0,
                    }]
                }
                .boxed()
            }),
            requests: Arc::new(Requests::new(Limits {
                at_once: 8,
                timeout: Duration::from_secs(20),
                ..Limits::default()
            })),
        };
        Self {
            router: crate::api::router(state.clone()),
            state,
            clock,
            _dir: dir,
        }
    }

    /// Lets business time pass.
    pub fn pass_minutes(&self, minutes: i64) {
        let now = self.state.clock.now();
        self.clock.set(now + TimeDelta::minutes(minutes));
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if headers.iter().all(|(name, _)| *name != "host") {
            request = request.header("host", "localhost");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer {
            status: parts.status,
            headers: parts.headers,
            json: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            bytes,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", &format!("/api/v1{path}"), &[], "").await
    }

    /// The items of a list.
    pub async fn items(&self, path: &str) -> Vec<Value> {
        let answer = self.get(path).await.expect(200);
        answer.json["items"].as_array().unwrap().clone()
    }

    /// A command with or without key and version.
    pub async fn post(&self, path: &str, key: &str, version: &Value, body: Value) -> Answer {
        let version = format!("\"{version}\"");
        let mut headers = vec![("content-type", "application/json")];
        if !key.is_empty() {
            headers.push(("idempotency-key", key));
        }
        if version != "\"null\"" {
            headers.push(("if-match", &version));
        }
        self.send(
            "POST",
            &format!("/api/v1{path}"),
            &headers,
            &body.to_string(),
        )
        .await
    }
}

/// The settings that every service starts with, a class that is learned in half an hour, and one
/// whose detectors never judge, with a declared life.
fn detection_config() -> DetectConfig {
    let mut table: toml::Table = toml::from_str(&crate::config::default_toml()).unwrap();
    let mut detect = table.remove("detect").unwrap();
    let rig = r#"
        window = "1m"
        step = "1m"
        learning = "30m"
        min_duration = "3m"
        degradation = { every = "1m", kept = 120, sureness = 3.0 }
        components = { drive = ["b"] }
        detectors.pca.with = { drift_lag = "5m", limit_factor = 6.0, adapt_half_life = "2h" }
        thresholds.too_hot = { metric = "b", above = 900.0, min_duration = "0s", severity = "low" }
    "#;
    let classes = detect["classes"].as_table_mut().unwrap();
    classes.insert("rig".to_owned(), toml::from_str(rig).unwrap());
    let mill = r#"
        window = "1m"
        step = "1m"
        learning = "10d"
        stale_after = "30m"
        life = { metrics = ["a"], cap = "40m", every = "1m" }
    "#;
    classes.insert("mill".to_owned(), toml::from_str(mill).unwrap());
    detect.try_into().unwrap()
}

impl Answer {
    /// The same answer, once its status is as expected.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status.as_u16(), status, "{text}");
        self
    }

    /// The refusal of a problem.
    #[track_caller]
    pub fn refused(self, status: u16, refusal: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.json["refusal"], refusal, "{}", answer.json);
        assert_eq!(answer.json["type"], format!("/api/docs/problems/{refusal}"));
        assert!(
            answer.json["request_id"]
                .as_str()
                .is_some_and(|id| !id.is_empty())
        );
        answer
    }
}
