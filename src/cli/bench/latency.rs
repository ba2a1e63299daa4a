//! `fieldwright bench latency`: from a PUBLISH to its PUBACK, which means synced, and to the begin
//! of a query that has it; then to alarms and work orders.
//!
//! 10,000 messages a second from one connection through our endpoint. Held against a loop that
//! appends 64 KiB and syncs, on the same disk, before and after.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use clap::Args;
use fieldwright_analytics::sql::{SqlEngine, SqlLimits};
use fieldwright_ingest::clock::{RealClock, process_now, process_sleep, wall_now};
use tokio::runtime::Handle;

use super::alarm_latency::AlarmLatency;
use super::feeder::connect;
use super::lines::{CLASS, Lines, RING, STEP, TRUCKS};
use super::machine::syncs;
use super::pipeline::Pipeline;
use super::statistics::quantile;
use super::{Failure, Figure, threshold_latency};

/// The pace is kept in bursts this far apart.
const BURST: Duration = Duration::from_millis(1);
/// Between two looks at what is visible.
const LOOK: Duration = Duration::from_micros(100);
/// Whose newest line is looked for.
const FIRST_TRUCK: &str = "truck_0";
/// Seconds of syncs before and after.
const SYNCING: Duration = Duration::from_secs(5);

/// p50 and p99 at a steady rate.
#[derive(Debug, Args)]
pub struct LatencyBench {
    /// Messages a second.
    #[arg(long, default_value_t = 10_000.0)]
    rate: f64,
    /// Seconds at that rate.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Folder on the disk that is to be measured; the current one by default.
    #[arg(long, value_name = "DIR", default_value = ".")]
    disk: PathBuf,
    #[command(flatten)]
    alarms: AlarmLatency,
}

/// When each message of the ring was sent, and how long its acknowledgement took.
struct Watch {
    began: Instant,
    /// Nanoseconds after `began`, by place in the ring.
    sent: Vec<AtomicU64>,
    /// Messages sent, and when each message of the first truck was.
    probes: Mutex<Vec<Instant>>,
    over: AtomicBool,
}

impl LatencyBench {
    /// The folder whose disk is measured.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// Runs both halves.
    pub async fn run(self) -> Result<Vec<Figure>, Failure> {
        let mut figures = self.receipts().await?;
        figures.extend(self.crossings().await?);
        if self.alarms.assets > 0 {
            figures.extend(self.alarms.run().await?);
        }
        Ok(figures)
    }

    /// Receipts while nobody asks, then looks beside the same publishing: two processors serve the
    /// feeder, the endpoint and whoever asks.
    async fn receipts(&self) -> Result<Vec<Figure>, Failure> {
        let mut synced = self.syncs().await?;
        let (mut acked, _) = self.run_once(false).await?;
        let (_, mut seen) = self.run_once(true).await?;
        synced.extend(self.syncs().await?);
        eprintln!(
            "{} acknowledgements and {} looks; {} syncs of 64 KiB",
            acked.len(),
            seen.len(),
            synced.len()
        );
        let mut figures = Vec::new();
        for (name, is_puback, share) in [
            ("latency/puback-p50", true, 0.5),
            ("latency/puback-p99", true, 0.99),
            ("latency/visible-p50", false, 0.5),
            ("latency/visible-p99", false, 0.99),
        ] {
            let values = if is_puback { &mut acked } else { &mut seen };
            let value = quantile(values, share)
                .ok_or_else(|| Failure::Failed(format!("{name}: nothing was measured")))?;
            let baseline = quantile(&mut synced, share);
            figures.push(Figure::ratio(name, value, "ms", baseline));
        }
        Ok(figures)
    }

    /// From the PUBLISH that crosses a threshold to the committed alarm.
    async fn crossings(&self) -> Result<Vec<Figure>, Failure> {
        let mut synced = self.syncs().await?;
        let mut alarms = threshold_latency::crossings(&self.disk, self.rate).await?;
        synced.extend(self.syncs().await?);
        let mut figures = Vec::new();
        for (name, share) in [
            ("latency/threshold-alarm-p50", 0.5),
            ("latency/threshold-alarm-p99", 0.99),
        ] {
            let value = quantile(&mut alarms, share)
                .ok_or_else(|| Failure::Failed(format!("{name}: nothing was measured")))?;
            figures.push(Figure::ratio(
                name,
                value,
                "ms",
                quantile(&mut synced, share),
            ));
        }
        Ok(figures)
    }

    /// Milliseconds to each acknowledgement, and to each look that had a new line.
    async fn run_once(&self, looks: bool) -> Result<(Vec<f64>, Vec<f64>), Failure> {
        let pipeline = Pipeline::start(&self.disk)?;
        let endpoint = pipeline.endpoint().await?;
        let start = (wall_now() - TimeDelta::days(20)).timestamp() * 1_000_000_000;
        let watch = Arc::new(Watch {
            began: process_now(),
            sent: (0..RING).map(|_| AtomicU64::new(0)).collect(),
            probes: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let publishing = self.publish(endpoint.local_addr(), start, Arc::clone(&watch));
        let asking = async {
            match looks {
                true => visible(&pipeline, start, Arc::clone(&watch)).await,
                false => Ok(Vec::new()),
            }
        };
        let (acked, seen) = tokio::join!(publishing, asking);
        endpoint.shutdown().await;
        pipeline.stop(None).await?;
        Ok((acked?, seen?))
    }

    async fn syncs(&self) -> Result<Vec<f64>, Failure> {
        let dir = tempfile::Builder::new()
            .prefix("fieldwright-syncs-")
            .tempdir_in(&self.disk)
            .map_err(Failure::failed)?;
        let lasting = SYNCING.min(Duration::from_secs_f64(self.seconds));
        let path = dir.path().join("appended");
        let syncs = tokio::task::spawn_blocking(move || syncs(&path, lasting)).await;
        syncs.map_err(Failure::failed)?.map_err(Failure::failed)
    }

    /// Sends at the rate; gives the milliseconds to each acknowledgement.
    async fn publish(
        &self,
        address: SocketAddr,
        start: i64,
        watch: Arc<Watch>,
    ) -> Result<Vec<f64>, Failure> {
        let (rate, seconds) = (self.rate, self.seconds);
        let published = tokio::task::spawn_blocking(move || -> std::io::Result<Vec<f64>> {
            let lines = Lines::new(start);
            let stream = connect(address, "latency")?;
            let total = (rate * seconds) as u64;
            let reader = stream.try_clone()?;
            let watching = Arc::clone(&watch);
            let reading = std::thread::spawn(move || acknowledged(reader, total, &watching));
            send(stream, lines, total, rate, &watch)?;
            let acked = reading.join().map_err(|_| std::io::ErrorKind::Other)?;
            // One more look at what came last.
            watch.over.store(true, Ordering::Release);
            acked
        });
        let published = published.await.map_err(Failure::failed)?;
        published.map_err(Failure::failed)
    }
}

fn send(
    mut stream: TcpStream,
    mut lines: Lines,
    total: u64,
    rate: f64,
    watch: &Watch,
) -> std::io::Result<()> {
    let began = process_now();
    let mut sent = 0u64;
    while sent < total {
        let due = ((began.elapsed().as_secs_f64() * rate) as u64).min(total);
        while sent < due {
            let turn_ends = RING - (sent % RING as u64) as usize;
            let count = ((due - sent) as usize).min(turn_ends).min(256);
            let packets = lines.packets(sent, count);
            let now = process_now();
            let after = now.duration_since(watch.began).as_nanos() as u64;
            for number in sent..sent + count as u64 {
                watch.sent[(number % RING as u64) as usize].store(after, Ordering::Release);
                if number % TRUCKS as u64 == 0 {
                    watch.probes.lock().expect("no holder panics").push(now);
                }
            }
            stream.write_all(packets)?;
            sent += count as u64;
        }
        std::thread::park_timeout(BURST);
    }
    Ok(())
}

/// Milliseconds to each PUBACK.
fn acknowledged(mut stream: TcpStream, total: u64, watch: &Watch) -> std::io::Result<Vec<f64>> {
    let mut latencies = Vec::with_capacity(total as usize);
    let (mut pending, mut buffer) = (Vec::new(), [0u8; 16 * 1024]);
    while (latencies.len() as u64) < total {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let now = process_now().duration_since(watch.began).as_nanos() as u64;
        pending.extend_from_slice(&buffer[..read]);
        let whole = pending.len() / 4 * 4;
        // With QoS 1 and without pings, nothing but PUBACKs of four bytes comes.
        for packet in pending[..whole].chunks_exact(4) {
            let place = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
            let sent = watch.sent[place.saturating_sub(1)].load(Ordering::Acquire);
            latencies.push(now.saturating_sub(sent) as f64 / 1e6);
        }
        pending.drain(..whole);
    }
    Ok(latencies)
}

/// Asks for the newest line of the first truck, again and again; gives for each of its lines the
/// milliseconds from the PUBLISH to the begin of the first query whose answer has it: whoever asks
/// from then on sees it. The step between two looks is in the figure, the time of an answer is not.
async fn visible(pipeline: &Pipeline, start: i64, watch: Arc<Watch>) -> Result<Vec<f64>, Failure> {
    let engine = SqlEngine::new(
        pipeline.ingest.snapshots(),
        None,
        Arc::new(RealClock),
        SqlLimits::default(),
    );
    let sql =
        format!("SELECT CAST(time AS BIGINT) FROM {CLASS}_last WHERE asset = '{FIRST_TRUCK}'");
    // The class has no table before its first row.
    while !pipeline
        .ingest
        .snapshots()
        .load()
        .tables
        .contains_key(CLASS)
    {
        process_sleep(LOOK).await;
    }
    // A timer of the runtime would come a millisecond late.
    let runtime = Handle::current();
    let looking = tokio::task::spawn_blocking(move || {
        let (mut seen, mut latencies) = (0, Vec::new());
        loop {
            let is_over = watch.over.load(Ordering::Acquire);
            let asked = process_now();
            let answer = runtime.block_on(engine.query(&sql));
            let answer = answer.map_err(Failure::failed)?;
            let answered = process_now();
            if let Some(newest) = answer.to_json_rows()["rows"][0][0].as_i64() {
                let newest = ((newest - start / 1000) / (STEP / 1000)) as usize + 1;
                let probes = watch.probes.lock().expect("no holder panics");
                for sent in &probes[seen..newest.min(probes.len())] {
                    // It may have been sent and come into sight during the question.
                    let told = if asked >= *sent { asked } else { answered };
                    let waited = told.duration_since(*sent);
                    latencies.push(waited.as_secs_f64() * 1000.0);
                }
                seen = newest.min(probes.len());
            }
            if is_over {
                return Ok(latencies);
            }
            std::thread::park_timeout(LOOK);
        }
    });
    looking.await.map_err(Failure::failed)?
}
