//! The last part of `fieldwright bench latency`: from the PUBLISH that crosses a declared threshold
//! to the committed alarm row, at a steady rate of messages.
//!
//! A whole service runs in this process. Held against the loop that appends and syncs: between the
//! two ends stand two syncs, one after the other, that of the journal and that of the store.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use fieldwright_analytics::alarms::EventKind;
use fieldwright_ingest::clock::{process_now, process_sleep, wall_now};

use super::Failure;
use super::feeder::{connect, frame};
use super::lines::RING;
use crate::app::App;
use crate::config::{Layers, Settings};
use crate::wiring::Parts;

/// How the fleet of this benchmark is watched.
const CLASS: &str = "[detect.classes.bench.thresholds.too_hot]\nmetric = \"value\"\n\
    above = 95.0\nmin_duration = \"0s\"\nseverity = \"low\"\n";
/// Assets; each crosses its threshold once and stays there.
const ASSETS: usize = 600;
/// From one crossing to the next.
const STAGGER: Duration = Duration::from_millis(40);
/// The pace is kept in bursts this far apart.
const BURST: Duration = Duration::from_millis(1);
/// Before the first crossing, so that nothing is measured that happens once.
const WARMING: Duration = Duration::from_secs(3);

type Instants = Arc<Mutex<HashMap<String, Instant>>>;

/// Milliseconds from each crossing PUBLISH to its committed alarm.
///
/// **Errors** when the service does not start, or alarms are missing.
pub async fn crossings(disk: &Path, rate: f64) -> Result<Vec<f64>, Failure> {
    let dir = tempfile::Builder::new()
        .prefix("fieldwright-thresholds-")
        .tempdir_in(disk)
        .map_err(Failure::failed)?;
    let app = App::start(settings(dir.path())?, dir.path()).await?;
    let raised: Instants = Arc::default();
    let follower = tokio::spawn(follow(app.parts().clone(), Arc::clone(&raised)));
    let address = app.endpoints().mqtt.replace("mqtt://", "");
    let sent = tokio::task::spawn_blocking(move || publish(&address, rate)).await;
    let waiting = process_now();
    let count = || raised.lock().expect("no holder panics").len();
    while count() < ASSETS && waiting.elapsed() < Duration::from_secs(20) {
        process_sleep(Duration::from_millis(50)).await;
    }
    follower.abort();
    app.shutdown().await?;
    let sent = sent.map_err(Failure::failed)?.map_err(Failure::failed)?;
    let raised = raised.lock().expect("no holder panics");
    let times: Vec<f64> = sent
        .iter()
        .filter_map(|(asset, sent)| Some((*sent, *raised.get(asset)?)))
        .map(|(sent, committed)| committed.saturating_duration_since(sent).as_secs_f64() * 1e3)
        .collect();
    if times.len() < ASSETS {
        return Err(Failure::Failed(format!(
            "{} of {ASSETS} crossings became alarms",
            times.len()
        )));
    }
    Ok(times)
}

fn settings(dir: &Path) -> Result<Settings, Failure> {
    let path = dir.join("bench.toml");
    std::fs::write(&path, CLASS).map_err(Failure::failed)?;
    let free = Some("127.0.0.1:0".to_owned());
    let flags = [("http.listen", free.clone(), ""), ("mqtt.listen", free, "")];
    let layers = Layers::read(Some(&path), [], &flags)?;
    Ok(Settings::from_layers(&layers)?)
}

/// Gives when each asset's crossing was written to the socket.
///
/// The device is a socket of its own thread, as where acknowledgements are measured: what a client
/// library takes is not the service's.
fn publish(address: &str, rate: f64) -> std::io::Result<HashMap<String, Instant>> {
    let address = address.parse().map_err(std::io::Error::other)?;
    let mut stream = connect(address, "crossing")?;
    let mut answers = stream.try_clone()?;
    let reading = std::thread::spawn(move || {
        let mut buffer = [0u8; 16 * 1024];
        while answers.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });

    let start = wall_now() - TimeDelta::hours(1);
    let began = process_now();
    let (mut sent, mut crossed) = (0_u64, HashMap::new());
    let lasting = WARMING + STAGGER * u32::try_from(ASSETS).unwrap_or(u32::MAX);
    let (mut packets, mut crossing) = (Vec::new(), Vec::new());
    while began.elapsed() < lasting || crossed.len() < ASSETS {
        let due = (began.elapsed().as_secs_f64() * rate) as u64;
        while sent < due {
            let asset = usize::try_from(sent).unwrap_or(0) % ASSETS;
            let turn = WARMING + STAGGER * u32::try_from(asset).unwrap_or(0);
            let is_out = began.elapsed() >= turn;
            let tag = format!("bench-{asset}");
            append(&mut packets, &tag, start, sent, is_out);
            if is_out && !crossed.contains_key(&tag) {
                crossing.push(tag);
            }
            sent += 1;
        }
        let now = process_now();
        crossed.extend(crossing.drain(..).map(|tag| (tag, now)));
        stream.write_all(&packets)?;
        packets.clear();
        std::thread::park_timeout(BURST);
    }
    eprintln!(
        "{:.0} messages/s over {:.0} s, {} crossings",
        sent as f64 / began.elapsed().as_secs_f64(),
        began.elapsed().as_secs_f64(),
        crossed.len()
    );
    // DISCONNECT; what was sent is taken before.
    stream.write_all(&[0xE0, 0])?;
    stream.shutdown(Shutdown::Write)?;
    reading.join().map_err(|_| std::io::ErrorKind::Other)?;
    Ok(crossed)
}

fn append(packets: &mut Vec<u8>, tag: &str, start: DateTime<Utc>, number: u64, is_out: bool) {
    let time = start.timestamp_millis() + i64::try_from(number).unwrap_or(0);
    let value = if is_out { 99.0 } else { 20.0 };
    let payload = format!("{{\"time\":{time},\"metrics\":{{\"value\":{value}}}}}");
    let identifier = (number % RING as u64) as u16 + 1;
    frame(
        packets,
        &format!("fieldwright/bench/{tag}"),
        &payload,
        identifier,
    );
}

async fn follow(parts: Parts, raised: Instants) {
    let mut news = parts.alarms.news();
    let mut after = 0;
    while news.changed().await.is_ok() {
        let committed = process_now();
        while let Ok(events) = parts.alarms.events_after(after, 1_000).await {
            let Some(last) = events.last() else { break };
            after = last.seq;
            let mut raised = raised.lock().expect("no holder panics");
            let raises = events.iter().filter(|e| e.kind == EventKind::Raised);
            for event in raises {
                raised.entry(event.asset.clone()).or_insert(committed);
            }
        }
    }
}
