//! Who comes when: a pure search for the earliest slot, with a reason for and against each.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::shift::{Span, working_spans};
use super::travel::{Place, Trip, trip};
use crate::registry::resources::WeeklyShift;
use crate::store::ids::ResourceId;

/// Bookings begin and end on multiples of this. **Units** minutes.
pub const GRID_MINUTES: i64 = 5;
/// How far ahead a slot is searched. **Units** days.
pub const HORIZON_DAYS: i64 = 14;

/// What is to be booked.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// Where the work is.
    pub place: Place,
    /// The zone in which reasons name times.
    pub zone: Tz,
    /// What the technician must be able to do.
    pub skills: Vec<String>,
    /// How long the work takes. **Units** minutes, more than zero.
    pub minutes: i64,
    /// Travel begins no sooner.
    pub leave_after: DateTime<Utc>,
    /// Work begins no sooner.
    pub start_after: DateTime<Utc>,
}

/// Somebody who may be booked.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Who.
    pub id: ResourceId,
    /// Name for people.
    pub name: String,
    /// What the technician can do.
    pub skills: Vec<String>,
    /// Where a shift's first trip begins.
    pub home: Place,
    /// The zone of the shifts.
    pub zone: Tz,
    /// **Units** km/h.
    pub speed_kmh: i64,
    /// When the technician works.
    pub shifts: Vec<WeeklyShift>,
    /// What the technician is booked for, in order, travel included.
    pub engagements: Vec<Engagement>,
}

/// A live booking of a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Engagement {
    /// Travel and work.
    pub span: Span,
    /// When the work begins.
    pub starts_at: DateTime<Utc>,
    /// Where the work is.
    pub place: Place,
}

/// A slot that somebody can keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// Who.
    pub resource_id: ResourceId,
    /// When travel begins; on the grid.
    pub travel_from: DateTime<Utc>,
    /// When work begins.
    pub starts_at: DateTime<Utc>,
    /// When work is planned to end; on the grid.
    pub ends_at: DateTime<Utc>,
    /// **Units** minutes.
    pub travel_minutes: i64,
    /// **Units** meters of road.
    pub distance_m: i64,
}

/// What the search found about one candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assessment {
    /// Who.
    pub resource_id: ResourceId,
    /// Name for people.
    pub name: String,
    /// Whether this one is booked.
    pub chosen: bool,
    /// When the work could begin, none when never.
    pub starts_at: Option<DateTime<Utc>>,
    /// The reason for or against, as a sentence.
    pub reason: String,
}

/// The slot, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The earliest slot; none when nobody can come within the horizon.
    pub slot: Option<Slot>,
    /// One assessment per candidate, in the order given.
    pub assessments: Vec<Assessment>,
}

impl Proposal {
    /// The reasons of everybody who cannot come, as one sentence.
    pub fn reasons_against(&self) -> String {
        if self.assessments.is_empty() {
            return "there is no active resource".to_owned();
        }
        let reasons: Vec<_> = self
            .assessments
            .iter()
            .map(|one| format!("{}: {}", one.name, one.reason))
            .collect();
        reasons.join("; ")
    }
}

/// Finds the earliest start; of equal ones the shorter trip, then the candidate given first.
pub fn solve(requirement: &Requirement, candidates: &[Candidate]) -> Proposal {
    let found: Vec<_> = candidates
        .iter()
        .map(|candidate| earliest(requirement, candidate))
        .collect();
    let best = found
        .iter()
        .enumerate()
        .filter_map(|(at, found)| Some((at, found.as_ref().ok()?)))
        .min_by_key(|(at, found)| (found.slot.starts_at, found.slot.distance_m, *at))
        .map(|(at, found)| (at, found.slot.clone()));
    let clock = Clock(requirement);
    let assessments = candidates
        .iter()
        .zip(&found)
        .enumerate()
        .map(|(at, (candidate, found))| {
            let chosen = best.as_ref().is_some_and(|(best, _)| *best == at);
            Assessment {
                resource_id: candidate.id.clone(),
                name: candidate.name.clone(),
                chosen,
                starts_at: found.as_ref().ok().map(|found| found.slot.starts_at),
                reason: match (found, &best) {
                    (Ok(found), Some((_, slot))) if !chosen => clock.not_chosen(found, slot),
                    (Ok(found), _) => clock.possible(found),
                    (Err(against), _) => against.clone(),
                },
            }
        })
        .collect();
    Proposal {
        slot: best.map(|(_, slot)| slot),
        assessments,
    }
}

struct Found {
    slot: Slot,
    /// When the candidate is free to leave.
    free_at: DateTime<Utc>,
}

/// The candidate's earliest slot, or the reason against.
fn earliest(need: &Requirement, candidate: &Candidate) -> Result<Found, String> {
    let lacks: Vec<_> = need
        .skills
        .iter()
        .filter(|skill| !candidate.skills.contains(skill))
        .map(String::as_str)
        .collect();
    if !lacks.is_empty() {
        return Err(format!("lacks the skill {}", lacks.join(", ")));
    }
    let window = Span {
        from: need.leave_after,
        until: need.leave_after.max(need.start_after) + TimeDelta::days(HORIZON_DAYS),
    };
    let shifts = working_spans(&candidate.shifts, candidate.zone, window);
    if shifts.is_empty() {
        return Err(format!("has no shift in the next {HORIZON_DAYS} days"));
    }
    shifts
        .iter()
        .find_map(|shift| in_shift(need, candidate, *shift))
        .ok_or_else(|| {
            format!(
                "no free span of {} min and travel in any shift of the next {HORIZON_DAYS} days",
                need.minutes
            )
        })
}

/// The earliest slot inside one shift: after its begin, or after one of its engagements.
fn in_shift(need: &Requirement, candidate: &Candidate, shift: Span) -> Option<Found> {
    let after_engagement = candidate
        .engagements
        .iter()
        .filter(|one| shift.from < one.span.until && one.span.until <= shift.until)
        .map(|one| (one.span.until, one.place));
    std::iter::once((shift.from, candidate.home))
        .chain(after_engagement)
        .filter_map(|(free_at, place)| slot_from(need, candidate, shift, free_at, place))
        .min_by_key(|found| found.slot.starts_at)
}

/// The slot of a candidate who is free at an instant and a place, if nothing stands against it.
fn slot_from(
    need: &Requirement,
    candidate: &Candidate,
    shift: Span,
    free_at: DateTime<Utc>,
    place: Place,
) -> Option<Found> {
    let way = trip(place, need.place, candidate.speed_kmh);
    let travel = TimeDelta::minutes(way.minutes);
    let leave = free_at.max(need.leave_after).max(need.start_after - travel);
    let slot = slot_at(need, candidate, up_to_grid(leave), way);
    let whole = Span {
        from: slot.travel_from,
        until: slot.ends_at,
    };
    if !shift.holds(&whole) {
        return None;
    }
    // From the chosen place on, the next engagement must still be reachable in time.
    let fits = candidate.engagements.iter().all(|one| {
        let onward = trip(need.place, one.place, candidate.speed_kmh);
        let was_before = one.span.until <= whole.from;
        let is_reachable = whole.until <= one.span.from
            && whole.until + TimeDelta::minutes(onward.minutes) <= one.starts_at;
        was_before || is_reachable
    });
    // A slot right after the shift's begin presumes that the candidate is at home then.
    let is_there = candidate
        .engagements
        .iter()
        .filter(|one| shift.from < one.span.until && one.span.until <= whole.from)
        .map(|one| one.span.until)
        .max()
        .is_none_or(|last| last == free_at);
    (fits && is_there).then_some(Found { slot, free_at })
}

fn slot_at(need: &Requirement, candidate: &Candidate, leave: DateTime<Utc>, way: Trip) -> Slot {
    let starts_at = leave + TimeDelta::minutes(way.minutes);
    Slot {
        resource_id: candidate.id.clone(),
        travel_from: leave,
        starts_at,
        ends_at: up_to_grid(starts_at + TimeDelta::minutes(need.minutes)),
        travel_minutes: way.minutes,
        distance_m: way.meters,
    }
}

/// The next instant on the grid, or the instant itself when it lies on it.
pub fn up_to_grid(at: DateTime<Utc>) -> DateTime<Utc> {
    let step = GRID_MINUTES * 60 * 1_000_000;
    let past = at.timestamp_micros().rem_euclid(step);
    if past == 0 {
        at
    } else {
        at + TimeDelta::microseconds(step - past)
    }
}

/// Minutes as people say them.
fn span(minutes: i64) -> String {
    match (minutes / (24 * 60), minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// Says times as the clock at the site shows them.
struct Clock<'a>(&'a Requirement);

impl Clock<'_> {
    fn possible(&self, found: &Found) -> String {
        format!(
            "free at {}, travel {} min, starts {}, done by {} ({})",
            self.at(found.free_at.max(self.0.leave_after)),
            found.slot.travel_minutes,
            self.at(found.slot.starts_at),
            self.at(found.slot.ends_at),
            self.0.zone.name(),
        )
    }

    fn not_chosen(&self, found: &Found, best: &Slot) -> String {
        let later = (found.slot.starts_at - best.starts_at).num_minutes();
        let farther = found.slot.distance_m - best.distance_m;
        let drawback = if later > 0 {
            format!("{} later", span(later))
        } else if farther > 0 {
            format!("{:.1} km farther", farther as f64 / 1_000.0)
        } else {
            "as good, but listed later".to_owned()
        };
        format!("{}: {drawback}", self.possible(found))
    }

    fn at(&self, instant: DateTime<Utc>) -> String {
        let local = instant.with_timezone(&self.0.zone);
        let today = self.0.leave_after.with_timezone(&self.0.zone).date_naive();
        if local.date_naive() == today {
            local.format("%H:%M").to_string()
        } else {
            local.format("%a %d %b %H:%M").to_string()
        }
    }
}

#[cfg(test)]
mod tests;
