//! The story of a service, told line by line from outside.
//!
//! The narrator knows what any stranger can know: it follows `GET /api/v1/events` and asks for
//! the things that the events name. Every line begins with one of ten words.

mod lines;

use std::time::Duration;

use chrono::{DateTime, Utc};
use fieldwright_ingest::clock::process_sleep;
use serde_json::{Value, json};

use crate::cli::{Client, Failure, Output};

/// How often the feed is asked.
const POLL: Duration = Duration::from_millis(150);
/// How many polls lie between two lines about readings.
const POLLS_PER_READING_LINE: u32 = 40;
/// Events asked for at once.
const PAGE: usize = 200;

/// Tells what a service does.
#[derive(Debug)]
pub struct Narrator {
    client: Client,
    output: Output,
    after: i64,
    polls: u32,
    told: Told,
}

/// What the story has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Alarms raised.
    pub alarms: usize,
    /// Work orders created.
    pub orders: usize,
    /// Orders reopened because telemetry did not return to its band.
    pub reopened: usize,
    /// Invoices paid in full while the ledger balanced.
    pub circles: usize,
}

/// One line of the story.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// One of the ten words.
    pub word: &'static str,
    /// Business time of what happened.
    pub time: DateTime<Utc>,
    /// The rest of the sentence.
    pub text: String,
    /// The facts, for programs.
    pub data: Value,
}

impl Narrator {
    /// A narrator that begins after what has happened already.
    pub async fn start(client: Client, output: Output) -> Result<Self, Failure> {
        let mut narrator = Self {
            client,
            output,
            after: 0,
            polls: 0,
            told: Told::default(),
        };
        while !narrator.next_events().await?.is_empty() {}
        Ok(narrator)
    }

    /// What has been told.
    pub fn told(&self) -> Told {
        self.told
    }

    /// Tells what happened since the last time, then waits a little.
    pub async fn tell_once(&mut self) -> Result<(), Failure> {
        if self.polls.is_multiple_of(POLLS_PER_READING_LINE)
            && let Some(line) =
                lines::readings(&self.client, self.polls / POLLS_PER_READING_LINE).await?
        {
            self.print(&line);
        }
        self.polls = self.polls.wrapping_add(1);
        for event in self.next_events().await? {
            for line in lines::of_event(&self.client, &event).await? {
                self.count(&event, &line);
                self.print(&line);
            }
        }
        process_sleep(POLL).await;
        Ok(())
    }

    async fn next_events(&mut self) -> Result<Vec<Value>, Failure> {
        let path = format!("/api/v1/events?after={}&limit={PAGE}", self.after);
        let page = self.client.get(&path).await?;
        let events = page["items"].as_array().cloned().unwrap_or_default();
        if let Some(seq) = events.last().and_then(|event| event["seq"].as_i64()) {
            self.after = seq;
        }
        Ok(events)
    }

    fn count(&mut self, event: &Value, line: &Line) {
        match event["kind"].as_str().unwrap_or_default() {
            "alarm.raised" => self.told.alarms += 1,
            "work_order.created" => self.told.orders += 1,
            "work_order.reopened" => self.told.reopened += 1,
            _ if line.word == "balanced" => self.told.circles += 1,
            _ => {}
        }
    }

    fn print(&self, line: &Line) {
        let time = line.time.format("%Y-%m-%d %H:%M:%SZ");
        self.output.line(
            format!("{:<10}  {time}  {}", line.word, line.text),
            &json!({
                "word": line.word,
                "time": line.time,
                "text": line.text,
                "data": line.data,
            }),
        );
    }
}
