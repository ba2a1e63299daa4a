use super::*;
use crate::lifecycle::grid;
use crate::store::ids::{BookingId, ResourceId, WorkOrderId};
use crate::store::test_store::{at, ctx};

fn booking(status: BookingStatus) -> Booking {
    let ctx = ctx(at("2026-03-02T08:00:00Z"));
    Booking {
        id: BookingId::new(&ctx),
        work_order_id: WorkOrderId::new(&ctx),
        resource_id: ResourceId::new(&ctx),
        status,
        travel_from: at("2026-03-02T09:00:00Z"),
        starts_at: at("2026-03-02T09:25:00Z"),
        ends_at: at("2026-03-02T10:25:00Z"),
        travel_minutes: 25,
        traveled_at: None,
        started_at: None,
        ended_at: None,
        outcome: None,
        notes: None,
        minutes_worked: None,
        version: 2,
    }
}

#[test]
fn the_grid() {
    let shown = grid(MOVES, BookingStatus::ALL, BookingVerb::ALL);
    println!("{shown}");
    let expected = "\
\x20            travel       start        complete     no_access    cancel
scheduled    traveling    in_progress  .            .            canceled
traveling    .            in_progress  .            no_access    canceled
in_progress  .            .            completed    no_access    canceled
completed    .            .            .            .            .
no_access    .            .            .            .            .
canceled     .            .            .            .            .
";
    assert_eq!(shown, expected);
}

fn check(status: BookingStatus, verb: BookingVerb, expected: &str) {
    let got = match booking(status).decide(verb, None) {
        Ok(Outcome::Changed(to)) => to.to_string(),
        Ok(Outcome::AlreadySo) => "so already".to_owned(),
        Err(Refusal::NotAllowedNow { .. }) => "refused".to_owned(),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(got, expected, "{status} {verb}");
}

#[test]
fn decisions() {
    use BookingVerb::{Complete, Start, Travel};
    check(Scheduled, Travel, "traveling");
    check(Scheduled, Complete, "refused");
    check(Traveling, Travel, "so already");
    check(InProgress, Travel, "so already");
    check(InProgress, Start, "so already");
    check(InProgress, Complete, "completed");
    check(Completed, Travel, "so already");
    check(Completed, Start, "so already");
    check(Completed, Complete, "so already");
    check(Completed, BookingVerb::Cancel, "refused");
    check(Canceled, Travel, "refused");
    check(Canceled, BookingVerb::Cancel, "so already");
    check(NoAccess, Complete, "refused");
}

#[test]
fn an_old_version_is_refused_but_a_repeat_is_not() {
    let scheduled = booking(Scheduled);
    let refused = scheduled.decide(BookingVerb::Travel, Some(1)).unwrap_err();
    assert!(matches!(
        refused,
        Refusal::Stale {
            expected: 1,
            actual: 2,
            ..
        }
    ));
    assert!(scheduled.decide(BookingVerb::Travel, Some(2)).is_ok());
    let repeat = booking(Traveling).decide(BookingVerb::Travel, Some(1));
    assert_eq!(repeat, Ok(Outcome::AlreadySo));
}

#[test]
fn a_device_with_a_wrong_clock_is_brought_into_order() {
    let mut visit = booking(Traveling);
    visit.traveled_at = Some(at("2026-03-02T09:00:00Z"));
    let now = at("2026-03-02T09:30:00Z");
    for (device, expected) in [
        (Some("2026-03-02T09:20:00Z"), "2026-03-02T09:20:00Z"),
        (Some("2026-03-02T08:00:00Z"), "2026-03-02T09:00:00Z"),
        (Some("2030-01-01T00:00:00Z"), "2026-03-02T09:30:00Z"),
        (None, "2026-03-02T09:30:00Z"),
    ] {
        assert_eq!(
            visit.plausible(device.map(at), now),
            at(expected),
            "{device:?}"
        );
    }
    visit.started_at = Some(at("2026-03-02T09:20:01Z"));
    visit.ended_at = Some(at("2026-03-02T10:05:00Z"));
    assert_eq!(visit.minutes_traveled(), Some(21), "begun minutes count");
    assert_eq!(visit.minutes_on_site(), Some(45));
}
