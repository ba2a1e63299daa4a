//! Sends the rows of a file, a few hundred at a time, and waits for each answer.

use std::time::Duration;

use fieldwright_ingest::clock::{process_now, process_sleep};
use fieldwright_simulators::Endpoint;
use serde_json::{Map, Value as Json, json};

use super::super::{Client, Failure};
use super::reading::{Reader, Sample, Trust, Value};
use super::state::State;
use super::summary::shown;

/// Rows in one request.
const ROWS: usize = 1_000;
/// Bytes at which a request is full.
const BYTES: usize = 96 << 10;
/// How long the service may be away before the import gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// Sends to one service.
pub(super) struct Sender<'c> {
    http: Endpoint,
    token: Option<String>,
    class: &'c str,
    /// Rows in the file.
    rows: u64,
}

/// What became of a file.
#[derive(Debug)]
pub(super) struct Sent {
    /// Rows of the file that are done, from its beginning.
    pub acknowledged: u64,
    /// Of these, bad ones that were left out in this run.
    pub skipped: u64,
}

impl<'c> Sender<'c> {
    pub(super) fn new(http: Endpoint, token: Option<String>, class: &'c str, rows: u64) -> Self {
        Self {
            http,
            token,
            class,
            rows,
        }
    }

    /// The name of the service's data folder.
    ///
    /// **Errors**: nobody is there: an import that begins waits for nobody.
    pub(super) async fn service(&self) -> Result<String, Failure> {
        let said = self.client()?.get("/api/v1/service").await?;
        let id = said["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| Failure::Failed("the service does not say which one it is".into()))
    }

    /// Sends everything after what is acknowledged already.
    pub(super) async fn run(
        &self,
        reader: &mut Reader<'_>,
        mut state: State,
    ) -> Result<Sent, Failure> {
        let already = state.acknowledged();
        let (began, mut told) = (process_now(), process_now());
        let mut sent = Sent {
            acknowledged: 0,
            skipped: 0,
        };
        let mut samples = Vec::new();
        let mut bytes = 0;
        let mut read = 0;
        loop {
            let row = reader.next_row().map_err(Failure::failed)?;
            let at_end = row.is_none();
            if let Some(row) = row {
                read += 1;
                if read <= already {
                    continue;
                }
                match row.said {
                    Ok(Some(sample)) => {
                        bytes += weight(&sample);
                        samples.push((row.line, sample));
                    }
                    Ok(None) => {}
                    Err(_) => sent.skipped += 1,
                }
            }
            if at_end || samples.len() >= ROWS || bytes >= BYTES {
                if !samples.is_empty() {
                    self.deliver(&samples).await?;
                    samples.clear();
                    bytes = 0;
                }
                if read > state.acknowledged() {
                    state.note(read)?;
                }
                if told.elapsed() >= TOLD_EVERY {
                    told = process_now();
                    let rate = (read - already.min(read)) as f64 / began.elapsed().as_secs_f64();
                    eprintln!(
                        "import: {read} of {} rows acknowledged ({} %), {rate:.0} rows/s",
                        self.rows,
                        read * 100 / self.rows.max(1)
                    );
                }
            }
            if at_end {
                sent.acknowledged = read;
                return Ok(sent);
            }
        }
    }

    /// One request, again and again while the service is away.
    async fn deliver(&self, samples: &[(u64, Sample)]) -> Result<(), Failure> {
        let body = body(self.class, samples);
        let began = process_now();
        loop {
            let failure = match self.post(&body).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            match failure {
                Failure::Unavailable(_) if began.elapsed() < PATIENCE => {}
                Failure::Unavailable(text) => return Err(Failure::Unavailable(text)),
                other => {
                    let (first, last) = (samples[0].0, samples[samples.len() - 1].0);
                    return Err(Failure::Refused(format!(
                        "the service refused the rows of lines {first} to {last}: {other}; what \
                         was acknowledged before them is stored"
                    )));
                }
            }
            process_sleep(PAUSE).await;
        }
    }

    async fn post(&self, body: &Json) -> Result<(), Failure> {
        let client = self.client()?;
        client.post("/api/v1/readings", body).await.map(drop)
    }

    fn client(&self) -> Result<Client, Failure> {
        let http = self.http.resolve();
        let http = http.map_err(|error| Failure::Unavailable(super::super::with_causes(&error)))?;
        Client::new(&http, self.token.clone())
    }
}

/// The body of `POST /api/v1/readings`.
pub(super) fn body(class: &str, samples: &[(u64, Sample)]) -> Json {
    let samples = samples.iter().map(|(_, sample)| {
        let metrics: Map<String, Json> = sample
            .metrics
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    Value::Number(number) => json!(number),
                    Value::Text(text) => json!(text),
                };
                (name.clone(), value)
            })
            .collect();
        let mut object = json!({
            "asset": sample.asset,
            "time": shown(sample.time),
            "metrics": metrics,
        });
        match sample.trust {
            Trust::Good => {}
            Trust::Uncertain => object["quality"] = json!("uncertain"),
            Trust::Bad => object["quality"] = json!("bad"),
        }
        object
    });
    json!({"class": class, "samples": samples.collect::<Vec<_>>()})
}

/// About the bytes that a sample takes in a body.
fn weight(sample: &Sample) -> usize {
    let metrics = sample.metrics.iter().map(|(name, value)| {
        name.len()
            + match value {
                Value::Number(_) => 24,
                Value::Text(text) => text.len() + 8,
            }
    });
    sample.asset.len() + 80 + metrics.sum::<usize>()
}
