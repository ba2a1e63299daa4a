//! How old the assets are and what failed goes to prognosis: installation, registration, and the
//! failures that close-out codes confirmed. The whole picture is told whenever it has changed, and
//! once a day of business time, since those who live grow older.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fieldwright_analytics::detect::AssetLives;
use fieldwright_ingest::clock::process_sleep;
use fieldwright_workorders::registry::lives::{self, Lives};
use tokio::sync::watch;

use super::Parts;

/// How often to look whether it has changed: the picture is read as a whole.
const LOOK_AGAIN: Duration =
    Duration::from_secs(if cfg!(test) { 0 } else { 10 }).saturating_add(Duration::from_millis(50));
/// Ages are told again after so much business time.
const AGED: TimeDelta = TimeDelta::days(1);

/// Tells until told to stop.
pub async fn follow(parts: Parts, mut stopped: watch::Receiver<bool>) {
    let mut told: Option<(Vec<Lives>, DateTime<Utc>)> = None;
    while !*stopped.borrow() {
        match tell(&parts, told.take()).await {
            Ok(now) => told = Some(now),
            Err(error) => {
                tracing::error!(%error, "cannot tell how old the assets are; trying again")
            }
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = process_sleep(LOOK_AGAIN) => {}
        }
    }
}

async fn tell(
    parts: &Parts,
    told: Option<(Vec<Lives>, DateTime<Utc>)>,
) -> anyhow::Result<(Vec<Lives>, DateTime<Utc>)> {
    let (all, now) = (lives::all(&parts.db).await?, parts.clock.now());
    if let Some((known, at)) = told
        && known == all
        && now - at < AGED
    {
        return Ok((known, at));
    }
    let lives = all.iter().cloned().map(of_asset).collect();
    parts.detection.take_lives(lives).await;
    Ok((all, now))
}

fn of_asset(lives: Lives) -> AssetLives {
    AssetLives {
        asset: lives.tag,
        class: lives.class,
        installed_at: lives.installed_at,
        seen_since: lives.registered_at,
        failures: lives.failures,
    }
}
