//! Whoever works on an asset makes it look odd: a booking in progress suppresses its alarms.
//!
//! The window opens with the event time of `booking.started` and closes with that of the end of
//! the visit. It has an end of its own, so that a visit that nobody reports as over does not make
//! an asset blind for good.

use std::time::Duration;

use chrono::{DateTime, Utc};
use fieldwright_analytics::alarms::{
    AlarmError, Declaration, MAX_REASON, MAX_WINDOW, SuppressionId, SuppressionKind,
};
use fieldwright_ingest::clock::process_sleep;
use fieldwright_workorders::store::outbox::{self, Event};
use tokio::sync::watch;

use super::{Parts, cursor};

/// Name of this follower's cursor.
const FOLLOWER: &str = "maintenance";
/// Events read at once.
const PAGE: i64 = 500;
/// Pause after the store failed.
const RETRY: Duration = Duration::from_millis(500);

/// What an event of a booking says about its asset.
#[derive(Debug, PartialEq, Eq)]
enum Visit {
    Began {
        asset: String,
        number: String,
        by: String,
        at: DateTime<Utc>,
    },
    Over {
        by: String,
        at: DateTime<Utc>,
    },
}

/// Follows the events of bookings until told to stop.
pub async fn follow(parts: Parts, mut stopped: watch::Receiver<bool>) {
    let mut events = parts.db.events();
    while !*stopped.borrow() {
        events.borrow_and_update();
        let pause = match catch_up(&parts).await {
            Ok(true) => continue,
            Ok(false) => None,
            Err(error) => {
                tracing::error!(?error, "cannot follow the visits to assets; trying again");
                Some(RETRY)
            }
        };
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            changed = events.changed(), if pause.is_none() => if changed.is_err() { return },
            () = process_sleep(pause.unwrap_or_default()), if pause.is_some() => {}
        }
    }
}

/// Takes one page; gives whether there was something.
async fn catch_up(parts: &Parts) -> anyhow::Result<bool> {
    let after = cursor::read(&parts.db, FOLLOWER).await?;
    let events = outbox::events_after(&parts.db, after, PAGE).await?;
    let Some(last) = events.last() else {
        return Ok(false);
    };
    for event in &events {
        if let Some(visit) = visit(event) {
            take(parts, &event.subject, visit).await?;
        }
    }
    let seq = last.seq;
    parts
        .db
        .write(|tx| Box::pin(async move { cursor::write(tx, FOLLOWER, seq).await }))
        .await?;
    Ok(true)
}

/// Done again after a crash, this changes nothing.
async fn take(parts: &Parts, booking: &str, visit: Visit) -> Result<(), AlarmError> {
    let now = parts.clock.now();
    let key = format!("booking:{booking}");
    match visit {
        Visit::Began {
            asset,
            number,
            by,
            at,
        } => {
            let reason = format!("{by} works on it: {number}");
            let wanted = Declaration {
                fingerprint: key.clone(),
                key,
                kind: SuppressionKind::Maintenance,
                asset: Some(asset),
                class: None,
                cause: None,
                during: None,
                from: at,
                until: Some(at + MAX_WINDOW),
                reason: reason.chars().take(MAX_REASON).collect(),
                by,
            };
            match parts.alarms.declare(wanted, now).await {
                Err(AlarmError::Refused(refusal)) => {
                    tracing::warn!(%refusal, booking, "a visit does not suppress alarms");
                }
                declared => drop(declared?),
            }
        }
        Visit::Over { by, at } => {
            let id = SuppressionId::of(&key);
            match parts.alarms.end_suppression(&id, &by, at, now).await {
                // Most visits that are given up never began.
                Err(AlarmError::NoSuppression(_)) => {}
                Err(AlarmError::Refused(refusal)) => {
                    tracing::warn!(%refusal, booking, "the end of a visit ends no suppression");
                }
                ended => drop(ended?),
            }
        }
    }
    Ok(())
}

fn visit(event: &Event) -> Option<Visit> {
    let begins = match event.kind.as_str() {
        "booking.started" => true,
        "booking.completed" | "booking.no_access" | "booking.canceled" => false,
        _ => return None,
    };
    let text = |pointer: &str| Some(event.data.pointer(pointer)?.as_str()?.to_owned());
    let said = text("/at").and_then(|at| at.parse().ok());
    let at = said.unwrap_or(event.time);
    let by = text("/resource").or_else(|| text("/actor"));
    let by = by.unwrap_or_else(|| "booking".to_owned());
    if !begins {
        return Some(Visit::Over { by, at });
    }
    Some(Visit::Began {
        asset: text("/asset/tag")?,
        number: text("/number").unwrap_or_default(),
        by,
        at,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_of_bookings_are_read() {
        let time: DateTime<Utc> = "2026-03-02T07:00:00Z".parse().unwrap();
        let event = |kind: &str| Event {
            seq: 1,
            kind: kind.into(),
            subject: "bkg_1".into(),
            time,
            data: json!({
                "number": "WO-7", "asset": {"tag": "P-101"}, "resource": "Tom",
                "at": "2026-03-02T06:00:00Z",
            }),
        };
        let at = "2026-03-02T06:00:00Z".parse().unwrap();
        let by = || "Tom".to_owned();
        let began = Visit::Began {
            asset: "P-101".into(),
            number: "WO-7".into(),
            by: by(),
            at,
        };
        assert_eq!(visit(&event("booking.started")), Some(began));
        for kind in ["booking.completed", "booking.no_access", "booking.canceled"] {
            assert_eq!(visit(&event(kind)), Some(Visit::Over { by: by(), at }));
        }
        assert_eq!(visit(&event("booking.created")), None);
        assert_eq!(visit(&event("work_order.created")), None);
    }
}
