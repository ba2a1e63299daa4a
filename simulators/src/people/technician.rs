//! Technicians: they travel when it is time, repair, test and sign.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::json;

use super::{PartUse, Patience, PeopleSettings, allowed, until_next_look};
use crate::api::records::{Booking, Changed};
use crate::api::{ApiError, Command};
use crate::cancel::Cancel;
use crate::seeded;
use crate::talk::Talk;
use crate::world::{World, minutes};

/// Statuses in which a booking still needs its technician.
const OPEN: [&str; 3] = ["scheduled", "traveling", "in_progress"];

/// Called when a technician has worked on an asset: tag and business instant. Says whether anything
/// was wrong with it.
pub type OnRepair = Arc<dyn Fn(&str, DateTime<Utc>) -> bool + Send + Sync>;

/// What a technician remembers of a visit; the booking itself knows when travel and work began.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Visit {
    /// When the machine was repaired.
    pub repaired_at: Option<DateTime<Utc>>,
    /// Nothing was wrong with it.
    pub found_nothing: bool,
}

/// How long things take on this visit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// From start to signature.
    pub work: TimeDelta,
    /// Between the repair and the signature.
    pub test_run: TimeDelta,
}

/// What a technician does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing yet.
    Wait,
    /// Set off.
    Travel,
    /// Begin to work.
    Start,
    /// Put the machine right.
    Repair,
    /// Sign.
    Complete,
}

/// Decides what to do about one booking.
pub fn next_action(booking: &Booking, visit: &Visit, pace: &Pace, now: DateTime<Utc>) -> Action {
    match booking.status.as_str() {
        "scheduled"
            if now >= booking.travel_from && allowed(&booking.allowed_actions, "travel") =>
        {
            Action::Travel
        }
        "traveling" if now >= arrival(booking) && allowed(&booking.allowed_actions, "start") => {
            Action::Start
        }
        "in_progress" => {
            let signature = booking.started_at.unwrap_or(booking.starts_at) + pace.work;
            match visit.repaired_at {
                None if now >= signature - pace.test_run => Action::Repair,
                Some(repaired) if now >= signature.max(repaired + pace.test_run) => {
                    Action::Complete
                }
                _ => Action::Wait,
            }
        }
        _ => Action::Wait,
    }
}

/// Those who set off late arrive late.
fn arrival(booking: &Booking) -> DateTime<Utc> {
    let travel = booking.starts_at - booking.travel_from;
    let late = |since| booking.starts_at.max(since + travel);
    booking.traveled_at.map_or(booking.starts_at, late)
}

/// All technicians of the world.
pub struct Technicians {
    world: World,
    settings: PeopleSettings,
    seed: u64,
    on_repair: Option<OnRepair>,
    talk: Talk,
    cancel: Cancel,
    names: HashMap<String, String>,
    visits: HashMap<String, Visit>,
    patience: Patience,
}

impl Technicians {
    /// Technicians who repair through `on_repair`, where there is a plant to repair.
    pub fn new(
        world: World,
        settings: PeopleSettings,
        seed: u64,
        on_repair: Option<OnRepair>,
        talk: Talk,
        cancel: Cancel,
    ) -> Self {
        Self {
            world,
            settings,
            seed,
            on_repair,
            talk,
            cancel,
            names: HashMap::new(),
            visits: HashMap::new(),
            patience: Patience::default(),
        }
    }

    /// Works until told to stop.
    pub async fn run(mut self) {
        loop {
            match self.look().await {
                Ok(()) | Err(ApiError::Canceled { .. }) => {}
                Err(error) => self.talk.say(format!("technicians: {error}")),
            }
            let shortest = self.settings.look_milliseconds;
            if !until_next_look(&self.world.clock, 2.0, shortest, &self.cancel).await {
                return;
            }
        }
    }

    async fn look(&mut self) -> Result<(), ApiError> {
        let mut bookings = Vec::new();
        for status in OPEN {
            let found: Vec<Booking> = self
                .world
                .api
                .list("/bookings", &[("status", status)])
                .await?;
            bookings.extend(found);
        }
        self.visits
            .retain(|id, _| bookings.iter().any(|booking| booking.id == *id));
        for booking in bookings {
            self.act(&booking).await?;
        }
        Ok(())
    }

    async fn act(&mut self, booking: &Booking) -> Result<(), ApiError> {
        let now = self.world.clock.now();
        if self.patience.rests(&booking.id, now) {
            return Ok(());
        }
        let pace = self.pace(booking);
        let visit = self.visits.entry(booking.id.clone()).or_default();
        match next_action(booking, visit, &pace, now) {
            Action::Wait => Ok(()),
            Action::Repair => {
                visit.repaired_at = Some(now);
                if let Some(on_repair) = &self.on_repair {
                    visit.found_nothing = !on_repair(&booking.asset.tag, now);
                }
                Ok(())
            }
            Action::Travel => self.send(booking, "travel", now, &pace).await,
            Action::Start => self.send(booking, "start", now, &pace).await,
            Action::Complete => self.send(booking, "complete", now, &pace).await,
        }
    }

    async fn send(
        &mut self,
        booking: &Booking,
        verb: &str,
        now: DateTime<Utc>,
        pace: &Pace,
    ) -> Result<(), ApiError> {
        let actor = self.name(&booking.resource_id).await?;
        let parts = self
            .settings
            .parts
            .get(booking.asset.class.as_deref().unwrap_or_default());
        let mut command = command(
            booking,
            verb,
            &actor,
            now,
            pace,
            parts.map_or(&[], Vec::as_slice),
        );
        if verb == "complete"
            && self
                .visits
                .get(&booking.id)
                .is_some_and(|visit| visit.found_nothing)
        {
            command.body["outcome"] = json!("no_fault_found");
            command.body["notes"] = json!("nothing found, test run without findings");
            command.body["parts"] = json!([]);
        }
        let outcome = self.world.api.post::<Changed>(&command).await;
        self.patience
            .judge(&actor, &booking.id, now, outcome, &self.talk);
        Ok(())
    }

    /// The same visit takes the same time, however often it is looked at.
    fn pace(&self, booking: &Booking) -> Pace {
        let [least, most] = self.settings.work_minutes;
        let part = format!(
            "work:{}:{}",
            booking.asset.tag,
            booking.starts_at.timestamp()
        );
        let work = seeded::between(&mut seeded::stream(self.seed, &part), least, most);
        Pace {
            work: minutes(work.round()),
            test_run: minutes(self.settings.test_run_minutes.min(work)),
        }
    }

    async fn name(&mut self, resource: &str) -> Result<String, ApiError> {
        if !self.names.contains_key(resource) {
            let resources = self.world.resources().await?;
            self.names = resources.into_iter().map(|r| (r.id, r.name)).collect();
        }
        Ok(self
            .names
            .get(resource)
            .filter(|name| !name.is_empty())
            .map_or_else(|| resource.to_owned(), Clone::clone))
    }
}

/// The request for one verb. The key of the device is one per booking, verb and version: a repeat
/// of the same decision is the same command, a new decision is a new one.
fn command(
    booking: &Booking,
    verb: &str,
    actor: &str,
    now: DateTime<Utc>,
    pace: &Pace,
    parts: &[PartUse],
) -> Command {
    let mut body = json!({
        "device_time": now.to_rfc3339_opts(SecondsFormat::Millis, true),
        "actor": actor,
    });
    if verb == "complete" {
        body["outcome"] = json!("fixed");
        body["notes"] = json!("found the cause, replaced what was worn, test run without findings");
        body["minutes_worked"] = json!(pace.work.num_minutes());
        body["parts"] = json!(parts);
    }
    Command {
        path: format!("/bookings/{}/{verb}", booking.id),
        body,
        idempotency_key: Some(format!("device-{}-{verb}-{}", booking.id, booking.version)),
        version: Some(booking.version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-10-05T08:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    fn booking(status: &str) -> Booking {
        serde_json::from_value(json!({"id": "bkg_1", "work_order_id": "wo_1",
            "resource_id": "res_1", "status": status, "travel_from": at(0), "starts_at": at(30),
            "ends_at": at(90), "asset": {"id": "ast_1", "tag": "P-1", "class": "pump"},
            "version": 3, "allowed_actions": ["travel", "start", "complete", "cancel"]}))
        .unwrap()
    }

    const PACE: Pace = Pace {
        work: TimeDelta::minutes(45),
        test_run: TimeDelta::minutes(10),
    };

    #[test]
    fn the_day_of_a_technician() {
        let check = |status: &str, times: [Option<i64>; 3], minute: i64, expected: Action| {
            let [traveled, started, repaired] = times.map(|minute| minute.map(at));
            let booking = Booking {
                traveled_at: traveled,
                started_at: started,
                ..booking(status)
            };
            let visit = Visit {
                repaired_at: repaired,
                ..Visit::default()
            };
            let found = next_action(&booking, &visit, &PACE, at(minute));
            assert_eq!(found, expected, "{status} {times:?} at {minute}");
        };
        let nothing = [None, None, None];
        check("scheduled", nothing, -1, Action::Wait);
        check("scheduled", nothing, 0, Action::Travel);
        check("traveling", [Some(0), None, None], 29, Action::Wait);
        check("traveling", [Some(0), None, None], 30, Action::Start);
        // Late on the road is late at the door.
        check("traveling", [Some(20), None, None], 40, Action::Wait);
        check("traveling", [Some(20), None, None], 50, Action::Start);
        // Early on the road still waits for the agreed time.
        check("traveling", [Some(-10), None, None], 25, Action::Wait);
        check("in_progress", [Some(0), Some(30), None], 64, Action::Wait);
        check("in_progress", [Some(0), Some(30), None], 65, Action::Repair);
        check(
            "in_progress",
            [Some(0), Some(30), Some(65)],
            74,
            Action::Wait,
        );
        check(
            "in_progress",
            [Some(0), Some(30), Some(65)],
            75,
            Action::Complete,
        );
        // A late start moves the signature, and a late repair still gets its test run.
        check("in_progress", [Some(0), Some(50), None], 84, Action::Wait);
        check("in_progress", [Some(0), Some(50), None], 85, Action::Repair);
        check(
            "in_progress",
            [Some(0), Some(30), Some(80)],
            85,
            Action::Wait,
        );
        check(
            "in_progress",
            [Some(0), Some(30), Some(80)],
            90,
            Action::Complete,
        );
        // A service that does not tell when travel and work began is taken by its plan.
        check("traveling", nothing, 30, Action::Start);
        check("in_progress", nothing, 65, Action::Repair);
        for over in ["completed", "canceled", "something_new"] {
            check(over, nothing, 500, Action::Wait);
        }
    }

    #[test]
    fn a_verb_that_is_not_allowed_is_not_tried() {
        let mut booking = booking("scheduled");
        booking.allowed_actions = vec!["cancel".into()];
        assert_eq!(
            next_action(&booking, &Visit::default(), &PACE, at(10)),
            Action::Wait
        );
    }

    #[test]
    fn one_decision_is_one_key() {
        let parts = [PartUse {
            part: "seal-kit".into(),
            quantity: 1,
        }];
        let make = |verb: &str, minute| {
            command(
                &booking("scheduled"),
                verb,
                "Ann",
                at(minute),
                &PACE,
                &parts,
            )
        };
        assert_eq!(
            make("travel", 1).idempotency_key,
            make("travel", 2).idempotency_key
        );
        assert_ne!(
            make("travel", 1).idempotency_key,
            make("start", 1).idempotency_key
        );
        let complete = make("complete", 90);
        assert_eq!(complete.version, Some(3));
        assert_eq!(complete.path, "/bookings/bkg_1/complete");
        assert_eq!(complete.body["minutes_worked"], 45);
        assert_eq!(complete.body["parts"][0]["part"], "seal-kit");
        assert_eq!(complete.body["device_time"], "2026-10-05T09:30:00.000Z");
    }
}
