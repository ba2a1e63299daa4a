//! What the API is given: handles, probes and figures.

use std::sync::Arc;
use std::time::Duration;

use fieldwright_analytics::sql::SqlEngine;
use fieldwright_ingest::Ingest;
use fieldwright_ingest::mqtt::{ConsumerStats, EndpointStats};
use futures::FutureExt as _;
use tokio::net::TcpListener;

use super::doors::MqttDoor;
use super::offline::all_invariants;
use crate::api::ApiState;
use crate::api::auth::Access;
use crate::api::clock::ClockMode;
use crate::api::gaps::GapSource;
use crate::api::health::Readiness;
use crate::api::metrics::{Gauge, Gauges};
use crate::api::request::{Limits, Requests};
use crate::api::verify::Verifier;
use crate::wiring::Parts;

/// How much longer than a query its request may take.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Everything that handlers work with.
pub fn api_state(
    parts: &Parts,
    ingest: &Arc<Ingest>,
    sql: &Arc<SqlEngine>,
    mqtt: &MqttDoor,
    token: Option<&str>,
    listener: &TcpListener,
    service_id: &str,
) -> ApiState {
    let access = match token {
        Some(token) => Access::token(token),
        None => Access::local(listener.local_addr().ok()),
    };
    let clock_mode = match parts.clock.rate() == 1.0 {
        true => ClockMode::Real,
        false => ClockMode::Scaled,
    };
    ApiState {
        service_id: service_id.into(),
        clock: Arc::clone(&parts.clock),
        clock_mode,
        db: parts.db.clone(),
        ingest: Arc::clone(ingest),
        detection: Arc::clone(&parts.detection),
        alarms: Arc::clone(&parts.alarms),
        sql: Arc::clone(sql),
        ids: Arc::clone(&parts.ids),
        access,
        readiness: readiness(parts, ingest, mqtt),
        verifier: verifier(parts, sql),
        gaps: gaps(mqtt),
        gauges: gauges(parts, mqtt),
        requests: Arc::new(Requests::new(limits(sql))),
    }
}

/// A request may take longer than a query, whose own words about its limit say more.
fn limits(sql: &SqlEngine) -> Limits {
    let limits = Limits::default();
    let timeout = limits.timeout.max(sql.limits().time + LAST_WORDS);
    Limits { timeout, ..limits }
}

/// What must work before the service is ready.
fn readiness(parts: &Parts, ingest: &Arc<Ingest>, mqtt: &MqttDoor) -> Readiness {
    let (db, ingest, mqtt) = (parts.db.clone(), Arc::clone(ingest), mqtt.clone());
    Readiness::new()
        .with("store", move || {
            let db = db.clone();
            async move {
                let asked = sqlx::query("SELECT 1").execute(db.pool()).await;
                asked
                    .map(|_| "answers".to_owned())
                    .map_err(|error| error.to_string())
            }
            .boxed()
        })
        .with("journal", move || {
            let trouble = ingest.stats().disk_trouble;
            async move { trouble.map_or_else(|| Ok("takes readings".to_owned()), Err) }.boxed()
        })
        .with("mqtt", move || {
            let answer = match (mqtt.is_open(), mqtt.address()) {
                (true, address) => Ok(format!("open at {address}")),
                (false, address) => Err(format!("not connected to {address}; trying again")),
            };
            async move { answer }.boxed()
        })
}

fn verifier(parts: &Parts, sql: &Arc<SqlEngine>) -> Verifier {
    let (db, sql) = (parts.db.clone(), Arc::clone(sql));
    Verifier::new(move || {
        let (db, sql) = (db.clone(), Arc::clone(&sql));
        async move {
            all_invariants(&db, &sql)
                .await
                .map_err(|error| error.to_string())
        }
        .boxed()
    })
}

fn gaps(mqtt: &MqttDoor) -> GapSource {
    let mqtt = mqtt.clone();
    GapSource::new(move || match &mqtt {
        MqttDoor::Endpoint(..) => Vec::new(),
        MqttDoor::Consumer(consumer, _) => consumer.gaps(),
    })
}

/// Figures that no part of the API has by itself.
fn gauges(parts: &Parts, mqtt: &MqttDoor) -> Gauges {
    let (parts, mqtt) = (parts.clone(), mqtt.clone());
    Gauges::default().with(move || {
        let parts = parts.clone();
        let is_open = mqtt.is_open();
        let of_door = match &mqtt {
            MqttDoor::Endpoint(endpoint, _) => endpoint_figures(&endpoint.stats()).to_vec(),
            MqttDoor::Consumer(consumer, _) => consumer_figures(&consumer.stats()).to_vec(),
        };
        async move {
            let mut figures = vec![Gauge {
                name: "fieldwright_mqtt_open",
                help: "1 while readings can arrive, 0 while the broker is away.",
                value: f64::from(u8::from(is_open)),
            }];
            figures.extend(of_door);
            // A store that is away is told by /readyz; a guess here would only mislead.
            if let Ok(pending) = crate::wiring::alarms_pending(&parts).await {
                figures.push(Gauge {
                    name: "fieldwright_outbox_pending",
                    help: "Events of alarms that have not reached the work half yet.",
                    value: pending as f64,
                });
            }
            figures
        }
        .boxed()
    })
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Gauge {
    let value = value as f64;
    Gauge { name, help, value }
}

/// Figures of our own endpoint.
fn endpoint_figures(stats: &EndpointStats) -> [Gauge; 12] {
    [
        gauge(
            "fieldwright_mqtt_connections",
            "Connections that are open.",
            stats.connections,
        ),
        gauge(
            "fieldwright_mqtt_connections_made",
            "Connections that clients made, since the start.",
            stats.connections_total,
        ),
        gauge(
            "fieldwright_mqtt_connections_refused",
            "Connections turned away by a limit, since the start.",
            stats.connections_refused,
        ),
        gauge(
            "fieldwright_mqtt_sessions",
            "Sessions, connected or not.",
            stats.sessions,
        ),
        gauge(
            "fieldwright_mqtt_messages_received",
            "Messages received and handed to the pipeline, since the start.",
            stats.messages_in,
        ),
        gauge(
            "fieldwright_mqtt_messages_unmapped",
            "Messages that no mapping rule matches: acknowledged and in no table, since the start.",
            stats.unmapped_messages,
        ),
        gauge(
            "fieldwright_mqtt_publishes_denied",
            "Messages whose client must not publish them, since the start.",
            stats.denied_publishes,
        ),
        gauge(
            "fieldwright_mqtt_messages_sent",
            "Messages sent to subscribers, since the start.",
            stats.messages_out,
        ),
        gauge(
            "fieldwright_mqtt_messages_dropped",
            "Messages that a full queue of a subscriber left out, since the start.",
            stats.dropped_queue_full,
        ),
        gauge(
            "fieldwright_mqtt_messages_undeliverable",
            "Messages too old or too large for their subscriber, since the start.",
            stats.dropped_undeliverable,
        ),
        gauge(
            "fieldwright_mqtt_retained_dropped",
            "Retained messages not kept because of a limit, since the start.",
            stats.dropped_retained,
        ),
        gauge(
            "fieldwright_mqtt_stale_receipts",
            "Receipts that came after their connection had ended; they acknowledged nothing.",
            stats.stale_receipts,
        ),
    ]
}

/// Figures of the consumer of a broker.
fn consumer_figures(stats: &ConsumerStats) -> [Gauge; 5] {
    [
        gauge(
            "fieldwright_mqtt_possible_gaps",
            "Reconnects at which the broker had lost our session, since the start.",
            stats.possible_gaps,
        ),
        gauge(
            "fieldwright_mqtt_connections_made",
            "Connections made to the broker, since the start.",
            stats.connections,
        ),
        gauge(
            "fieldwright_mqtt_stale_receipts",
            "Receipts that came after their connection had ended; they acknowledged nothing.",
            stats.stale_receipts,
        ),
        gauge(
            "fieldwright_mqtt_unacknowledged",
            "Messages received from the broker and not yet acknowledged.",
            stats.unacknowledged,
        ),
        gauge(
            "fieldwright_mqtt_subscriptions_refused",
            "Subscriptions that the broker refused, since the start.",
            stats.subscriptions_refused,
        ),
    ]
}
