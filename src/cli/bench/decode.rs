//! Decoding alone: messages through the intake's codecs into finished columns, on one thread.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use clap::Args;
use fieldwright_ingest::IngestConfig;
use fieldwright_ingest::clock::process_now;
use fieldwright_ingest::source::Envelope;
use fieldwright_ingest::trial::Trial;

use super::Figure;
use crate::cli::Failure;

/// Messages of one round; each round begins with nothing known.
const MESSAGES: usize = 200_000;
/// Messages of one batch, as the intake closes them.
const BATCH: usize = 8_192;
/// Trucks that take turns.
const TRUCKS: usize = 400;
/// 2026-03-02T07:00:00Z. **Units**: seconds since 1970.
const START: i64 = 1_772_434_800;

/// Topic and payload of one message.
type Writer = fn(usize) -> (String, String);

/// Decode messages of 7 values without network and disk.
#[derive(Debug, Args)]
pub struct DecodeBench {
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Where the machine's own figures are taken.
    #[arg(long, default_value = ".")]
    disk: PathBuf,
}

impl DecodeBench {
    pub fn disk(&self) -> &std::path::Path {
        &self.disk
    }

    pub async fn run(self) -> Result<Vec<Figure>, Failure> {
        let rounds = self.rounds.max(1);
        tokio::task::spawn_blocking(move || figures(rounds))
            .await
            .map_err(Failure::failed)?
    }
}

fn figures(rounds: usize) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    let kinds = [
        ("decode/line_protocol", line as Writer),
        ("decode/json", json),
    ];
    for (name, write) in kinds {
        let received_at = DateTime::<Utc>::from_timestamp(START + MESSAGES as i64, 0)
            .expect("an instant of this century");
        let messages: Vec<Envelope> = (0..MESSAGES)
            .map(|number| {
                let (topic, payload) = write(number);
                Envelope {
                    topic: Bytes::from(topic),
                    payload: payload.into(),
                    received_at,
                }
            })
            .collect();
        let mut rates = Vec::new();
        for _ in 0..rounds {
            let mut trial = Trial::new(&IngestConfig::default()).map_err(Failure::failed)?;
            let begun = process_now();
            let mut rows = 0;
            for batch in messages.chunks(BATCH) {
                rows += trial.take(batch.iter().cloned()).rows;
            }
            let took: Duration = process_now() - begun;
            assert_eq!(rows, MESSAGES as u64, "every message is a row");
            rates.push(MESSAGES as f64 / took.as_secs_f64());
        }
        rates.sort_by(f64::total_cmp);
        figures.push(Figure::plain(name, rates[rates.len() / 2], "messages/s"));
    }
    Ok(figures)
}

/// The seven values of a truck, different for each message.
fn values(number: usize) -> (f64, f64, usize, usize, usize, usize, f64) {
    let wave = (number * 7919) % 10_007;
    (
        52.0 + wave as f64 / 100_000.0,
        4.0 + wave as f64 / 50_000.0,
        wave % 500,
        wave % 100,
        wave % 360,
        wave % 100,
        (wave % 500) as f64 / 10.0,
    )
}

fn line(number: usize) -> (String, String) {
    let truck = number % TRUCKS;
    let (latitude, longitude, elevation, velocity, heading, grade, fuel) = values(number);
    let payload = format!(
        "trucks,name=truck_{truck},fleet=South,driver=Trish,model=H-2,device_version=v2.3,\
         load_capacity=1500,fuel_capacity=150,nominal_fuel_consumption=12 \
         latitude={latitude:.5},longitude={longitude:.5},elevation={elevation}i,\
         velocity={velocity},heading={heading},grade={grade},fuel_consumption={fuel:.1} {}",
        (START + number as i64) * 1_000_000_000
    );
    ("influx/trucks".to_owned(), payload)
}

fn json(number: usize) -> (String, String) {
    let truck = number % TRUCKS;
    let (latitude, longitude, elevation, velocity, heading, grade, fuel) = values(number);
    let payload = format!(
        "{{\"time\":{},\"metrics\":{{\"latitude\":{latitude:.5},\"longitude\":{longitude:.5},\
         \"elevation\":{elevation},\"velocity\":{velocity},\"heading\":{heading},\
         \"grade\":{grade},\"fuel_consumption\":{fuel:.1}}}}}",
        (START + number as i64) * 1_000
    );
    (format!("fieldwright/truck/truck_{truck}"), payload)
}
