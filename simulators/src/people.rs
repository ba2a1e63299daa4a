//! The people of the small world. They know what the API shows them and nothing else.
//!
//! Each of them reads, decides with a pure function and acts; a refusal because the state has
//! moved on means to read and decide again. Every action carries a key that is derived from the
//! thing and its version, so nothing is done twice, whatever is retried or killed.

pub mod customer;
pub mod reviewer;
pub mod technician;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::api::ApiError;
use crate::cancel::Cancel;
use crate::talk::Talk;
use crate::world::{WorldClock, minutes};

/// A refused action is tried again after so much business time.
const SECOND_TRY: TimeDelta = TimeDelta::minutes(30);
/// Refusals that are remembered at a time.
const MEMORY_LIMIT: usize = 1_000;

/// How people behave.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeopleSettings {
    /// Least and most time on site, drawn per visit. **Units**: minutes.
    pub work_minutes: [f64; 2],
    /// Between the repair and the signature. **Units**: minutes.
    pub test_run_minutes: f64,
    /// Name of the person who reviews completed orders.
    pub reviewer: String,
    /// How long a verified order waits for its review. **Units**: minutes.
    pub review_after_minutes: f64,
    /// How long the reviewer waits for telemetry that does not come. **Units**: hours.
    pub no_telemetry_after_hours: f64,
    /// Least and most time until a customer pays. **Units**: minutes.
    pub pay_after_minutes: [f64; 2],
    /// Shortest time between two looks at the service. **Units**: milliseconds of the wall.
    #[serde(default = "shortest_look")]
    pub look_milliseconds: u64,
    /// What a technician uses up, by class.
    #[serde(default)]
    pub parts: BTreeMap<String, Vec<PartUse>>,
}

fn shortest_look() -> u64 {
    200
}

/// A part from the price list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartUse {
    /// Code in the price list.
    pub part: String,
    /// How many.
    pub quantity: u32,
}

/// What a person knows about refusals, so that the same request is not hammered.
#[derive(Debug, Default)]
pub(crate) struct Patience(HashMap<String, DateTime<Utc>>);

impl Patience {
    /// True while a refused thing rests.
    pub(crate) fn rests(&self, id: &str, now: DateTime<Utc>) -> bool {
        self.0.get(id).is_some_and(|until| now < *until)
    }

    /// Takes in how an action on a thing went.
    ///
    /// A stale decision is decided again at once; any other refusal is told and rests.
    pub(crate) fn judge<T>(
        &mut self,
        who: &str,
        id: &str,
        now: DateTime<Utc>,
        outcome: Result<T, ApiError>,
        talk: &Talk,
    ) -> Option<T> {
        let error = match outcome {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        if error.is_stale() || matches!(error, ApiError::Canceled { .. }) {
            tracing::debug!(who, id, %error, "the state has moved on");
            return None;
        }
        talk.say(format!("{who}: {error}"));
        if self.0.len() >= MEMORY_LIMIT {
            self.0.retain(|_, until| *until > now);
            if self.0.len() >= MEMORY_LIMIT {
                self.0.clear();
            }
        }
        self.0.insert(id.to_owned(), now + SECOND_TRY);
        None
    }
}

/// Waits until the next look at the service: every few business minutes, within what a service
/// and a terminal can bear. False when it was cut short by a stop.
pub(crate) async fn until_next_look(
    clock: &WorldClock,
    every: f64,
    shortest: u64,
    cancel: &Cancel,
) -> bool {
    let pause = clock.process_time(minutes(every));
    cancel
        .sleep(pause.clamp(Duration::from_millis(shortest), Duration::from_secs(5)))
        .await
}

/// True when the API lists the verb or lists none at all.
pub(crate) fn allowed(actions: &[String], verb: &str) -> bool {
    let same = |action: &String| action.replace('_', "-") == verb;
    actions.is_empty() || actions.iter().any(same)
}

#[cfg(test)]
mod tests;
