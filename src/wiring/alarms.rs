//! From an alarm to intake: each occurrence once, whatever is killed.

use std::time::Duration;

use fieldwright_analytics::alarms::{AlarmEvent, EventKind};
use fieldwright_ingest::clock::process_sleep;
use fieldwright_workorders::cases::{self, Worse};
use fieldwright_workorders::orders::OrderError;
use fieldwright_workorders::orders::intake::{self, AlarmReport, Intake, UNSAID_CONFIDENCE_BP};
use fieldwright_workorders::problem::{Family, Problem as _};
use fieldwright_workorders::store::audit::{self, Change};
use fieldwright_workorders::store::{Ctx, Tx, outbox};
use fieldwright_workorders::triage::Forecast;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Parts, cursor};

/// Name of this follower's cursor.
pub const FOLLOWER: &str = "alarms";
/// Events read at once.
const PAGE: usize = 100;
/// Pause after the store failed.
const RETRY: Duration = Duration::from_millis(500);
/// Tries of one event that fails although the store answers; then it is put aside.
const MAX_TRIES: u32 = 20;

/// Follows the alarms' feed until told to stop.
pub async fn follow(parts: Parts, mut stopped: watch::Receiver<bool>) {
    let mut news = parts.alarms.news();
    let mut stuck = Stuck::default();
    loop {
        // Seen before reading: what is committed meanwhile wakes us again.
        news.borrow_and_update();
        match catch_up(&parts, &mut stuck).await {
            Ok(0) => {
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => return,
                    changed = news.changed() => if changed.is_err() { return },
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "cannot take alarms in; trying again");
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => return,
                    () = process_sleep(RETRY) => {}
                }
            }
        }
        if *stopped.borrow() {
            return;
        }
    }
}

/// The event that fails at the moment, and how often it has.
#[derive(Debug, Default)]
struct Stuck {
    seq: i64,
    tries: u32,
}

impl Stuck {
    /// Counts a failure; true when the event has had its tries.
    fn is_hopeless(&mut self, seq: i64, error: &OrderError) -> bool {
        if error.family() == Family::Unavailable {
            return false;
        }
        if self.seq != seq {
            *self = Self { seq, tries: 0 };
        }
        self.tries += 1;
        self.tries >= MAX_TRIES
    }
}

/// Takes in one page; gives how many events it held.
async fn catch_up(parts: &Parts, stuck: &mut Stuck) -> anyhow::Result<usize> {
    let after = cursor::read(&parts.db, FOLLOWER).await?;
    let events = parts.alarms.events_after(after, PAGE).await?;
    for event in &events {
        match take_in(parts, event).await {
            Ok(()) => {}
            Err(error) if stuck.is_hopeless(event.seq, &error) => {
                put_aside(parts, event, &error).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(events.len())
}

/// One event that can never be taken in must not hold up all later alarms: it is logged, written
/// to the audit trail, and left to a person.
async fn put_aside(parts: &Parts, event: &AlarmEvent, error: &OrderError) -> anyhow::Result<()> {
    tracing::error!(
        %error, alarm = %event.alarm, asset = event.asset, seq = event.seq,
        "an event of an alarm cannot be taken in and is put aside; see the audit trail"
    );
    let ctx = &parts.acting("alarms");
    let detail = &json!({ "seq": event.seq, "error": error.to_string(), "event": facts(event) });
    parts
        .db
        .write(|tx| {
            Box::pin(async move {
                let change = Change {
                    noun: "alarm",
                    subject: event.alarm.as_str(),
                    verb: "put_aside",
                    before: None,
                    after: 0,
                    detail: detail.clone(),
                };
                audit::record(tx, ctx, change).await?;
                cursor::write(tx, FOLLOWER, event.seq).await?;
                Ok::<_, OrderError>(())
            })
        })
        .await?;
    Ok(())
}

async fn take_in(parts: &Parts, event: &AlarmEvent) -> Result<(), OrderError> {
    let ctx = &parts.acting(&event.cause);
    let key = &occurrence_key(event);
    let forecast = match event.kind {
        EventKind::Raised | EventKind::Evidence => parts.forecast(&event.class, &event.asset),
        _ => None,
    };
    // A close follows a return; told again, the first instant stays.
    if matches!(event.kind, EventKind::Returned | EventKind::Closed) {
        intake::alarm_returned(&parts.db, ctx, key, event.time).await?;
    }
    parts
        .db
        .write(|tx| {
            Box::pin(async move {
                match event.kind {
                    EventKind::Raised => raised(tx, ctx, event, (key, forecast)).await?,
                    EventKind::Returned => {
                        let data = facts(event);
                        outbox::publish(tx, ctx, "alarm.returned", event.alarm.as_str(), data)
                            .await?;
                    }
                    EventKind::Evidence => {
                        cases::worse(tx, ctx, key, &worse(event, forecast)).await?;
                    }
                    _ => {}
                }
                cursor::write(tx, FOLLOWER, event.seq).await?;
                Ok::<_, OrderError>(())
            })
        })
        .await
}

async fn raised(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    event: &AlarmEvent,
    (key, forecast): (&str, Option<Forecast>),
) -> Result<(), OrderError> {
    outbox::publish(tx, ctx, "alarm.raised", event.alarm.as_str(), facts(event)).await?;
    let report = AlarmReport {
        alarm_id: key.to_owned(),
        asset_tag: event.asset.clone(),
        class: event.class.clone(),
        cause: event.cause.clone(),
        severity: event.severity.to_string(),
        raised_at: event.time,
        summary: event.summary.clone(),
        evidence: event.data.clone(),
        began_at: event.data["began_at"]
            .as_str()
            .and_then(|text| text.parse().ok()),
        confidence_bp: confidence_bp(&event.data),
        failure_ppm: failure_ppm(&event.data),
        watching: whole(&event.data["watching"], 1.0).unwrap_or_default(),
        model: event.data["model"].as_str().map(str::to_owned),
        ratio_milli: whole(&event.data["ratio"], 1_000.0).map(i64::from),
        forecast,
    };
    match intake::alarm_in(tx, ctx, &report).await? {
        Intake::Waiting(reason) => tracing::info!(
            asset = event.asset,
            alarm_id = key,
            reason,
            "an alarm waits for its asset"
        ),
        Intake::Kept(case, tier) => tracing::info!(
            asset = event.asset,
            alarm_id = key,
            %case,
            %tier,
            "an alarm is worth no order yet"
        ),
        Intake::Created(_) | Intake::Attached(_) | Intake::AlreadySo => {}
    }
    Ok(())
}

fn worse(event: &AlarmEvent, forecast: Option<Forecast>) -> Worse {
    Worse {
        at: event.time,
        severity: event.severity.to_string(),
        confidence_bp: confidence_bp(&event.data),
        failure_ppm: failure_ppm(&event.data),
        ratio_milli: whole(&event.data["ratio"], 1_000.0).map(i64::from),
        summary: event.summary.clone(),
        forecast,
    }
}

/// How sure the detector is: what it says, else its score, whose half is the alarm limit.
fn confidence_bp(evidence: &Value) -> u32 {
    whole(&evidence["confidence"], 10_000.0)
        .or_else(|| whole(&evidence["score"], 10_000.0))
        .map_or(UNSAID_CONFIDENCE_BP, |bp| bp.min(10_000))
}

fn failure_ppm(evidence: &Value) -> Option<u32> {
    whole(&evidence["failure_probability"], 1_000_000.0).map(|ppm| ppm.min(1_000_000))
}

/// A measured share as whole parts of `unit`: here the detectors' floats end.
fn whole(share: &Value, unit: f64) -> Option<u32> {
    let parts = (share.as_f64()? * unit).round();
    // The cast saturates, and what is no number never gets here: JSON has none.
    (parts >= 0.0).then_some(parts as u32)
}

/// An alarm that comes again while it is open keeps its id; for intake it is a new occurrence.
fn occurrence_key(event: &AlarmEvent) -> String {
    match event.occurrence {
        0 | 1 => event.alarm.as_str().to_owned(),
        later => format!("{}#{later}", event.alarm.as_str()),
    }
}

fn facts(event: &AlarmEvent) -> serde_json::Value {
    json!({
        "asset": event.asset,
        "class": event.class,
        "cause": event.cause,
        "severity": event.severity.to_string(),
        "summary": event.summary,
        "occurrence": event.occurrence,
        "event_time": event.time,
    })
}
