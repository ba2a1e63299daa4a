use super::*;
use crate::store::test_store::at;
use chrono_tz::Europe::Berlin;

/// Monday 09:00 in Berlin.
const NOW: &str = "2026-03-02T08:00:00Z";
const SITE: Place = Place {
    latitude: 52.50,
    longitude: 13.40,
};
/// 6 km south: 12 minutes at 40 km/h with detour.
const NEAR: Place = Place {
    latitude: 52.446,
    longitude: 13.40,
};
/// 12 km south: 24 minutes.
const FAR: Place = Place {
    latitude: 52.392,
    longitude: 13.40,
};

fn need() -> Requirement {
    Requirement {
        place: SITE,
        zone: Berlin,
        skills: vec!["mechanical".into()],
        minutes: 60,
        leave_after: at(NOW),
        start_after: at(NOW),
    }
}

fn person(name: &str, home: Place) -> Candidate {
    let every_day = (1..=7).map(|weekday| WeeklyShift {
        weekday,
        from_minute: 6 * 60,
        until_minute: 14 * 60,
    });
    Candidate {
        id: format!("{}{:0>32}", ResourceId::PREFIX, name.len())
            .parse()
            .unwrap(),
        name: name.into(),
        skills: vec!["mechanical".into()],
        home,
        zone: Berlin,
        speed_kmh: 40,
        shifts: every_day.collect(),
        engagements: vec![],
    }
}

fn busy(from: &str, starts: &str, until: &str, place: Place) -> Engagement {
    Engagement {
        span: Span {
            from: at(from),
            until: at(until),
        },
        starts_at: at(starts),
        place,
    }
}

/// Name and start of who is booked, in the clock of Berlin.
fn check(need: &Requirement, people: &[Candidate], expected: Option<(&str, &str)>) -> Proposal {
    let proposal = solve(need, people);
    let chosen = proposal.assessments.iter().find(|one| one.chosen);
    let got = chosen.map(|one| {
        let starts = one.starts_at.unwrap().with_timezone(&Berlin);
        (one.name.clone(), starts.format("%a %H:%M").to_string())
    });
    let expected = expected.map(|(name, starts)| (name.to_owned(), starts.to_owned()));
    assert_eq!(got, expected, "{}", proposal.reasons_against());
    assert_eq!(proposal.slot.is_some(), expected.is_some());
    if let Some(slot) = &proposal.slot {
        assert_eq!(
            up_to_grid(slot.travel_from),
            slot.travel_from,
            "leaves on the grid"
        );
        assert_eq!(up_to_grid(slot.ends_at), slot.ends_at, "ends on the grid");
        assert!(slot.ends_at - slot.starts_at >= TimeDelta::minutes(need.minutes));
    }
    proposal
}

fn reason<'a>(proposal: &'a Proposal, name: &str) -> &'a str {
    let found = proposal.assessments.iter().find(|one| one.name == name);
    &found.unwrap().reason
}

#[test]
fn the_nearest_of_free_technicians_comes() {
    let people = [person("Far", FAR), person("Near", NEAR)];
    let proposal = check(&need(), &people, Some(("Near", "Mon 09:12")));
    assert_eq!(
        reason(&proposal, "Near"),
        "free at 09:00, travel 12 min, starts 09:12, done by 10:15 (Europe/Berlin)"
    );
    assert_eq!(
        reason(&proposal, "Far"),
        "free at 09:00, travel 24 min, starts 09:24, done by 10:25 (Europe/Berlin): 12 min later"
    );
}

#[test]
fn of_equals_the_first_comes() {
    let people = [person("First", NEAR), person("Second", NEAR)];
    let proposal = check(&need(), &people, Some(("First", "Mon 09:12")));
    assert!(reason(&proposal, "Second").ends_with("as good, but listed later"));
}

#[test]
fn nobody_without_the_skill() {
    let mut other = person("Electrician", NEAR);
    other.skills = vec!["electrical".into()];
    let proposal = check(&need(), &[other], None);
    assert_eq!(
        proposal.reasons_against(),
        "Electrician: lacks the skill mechanical"
    );
    assert_eq!(
        solve(&need(), &[]).reasons_against(),
        "there is no active resource"
    );
}

#[test]
fn a_booked_technician_comes_from_the_last_place() {
    let mut ann = person("Ann", FAR);
    // Works at the site itself until 10:30, so no travel is left.
    ann.engagements = vec![busy(
        "2026-03-02T07:30:00Z",
        "2026-03-02T08:00:00Z",
        "2026-03-02T09:30:00Z",
        SITE,
    )];
    let proposal = check(&need(), &[ann], Some(("Ann", "Mon 10:30")));
    assert_eq!(
        reason(&proposal, "Ann"),
        "free at 10:30, travel 0 min, starts 10:30, done by 11:30 (Europe/Berlin)"
    );
}

#[test]
fn a_gap_is_used_when_the_next_booking_stays_reachable() {
    let mut ann = person("Ann", NEAR);
    let next = |from, starts| busy(from, starts, "2026-03-02T12:00:00Z", NEAR);
    // 09:12 to 10:15, then 12 minutes to the next one.
    ann.engagements = vec![next("2026-03-02T09:15:00Z", "2026-03-02T09:27:00Z")];
    check(&need(), &[ann.clone()], Some(("Ann", "Mon 09:12")));
    // One minute less, and the next one would be late.
    ann.engagements = vec![next("2026-03-02T09:15:00Z", "2026-03-02T09:26:00Z")];
    check(&need(), &[ann], Some(("Ann", "Tue 06:12")));
}

#[test]
fn travel_and_work_lie_inside_the_shift() {
    let mut late = need();
    // 12:45 in Berlin: 12:57 to 13:57 fits into the shift until 14:00.
    (late.leave_after, late.start_after) = (at("2026-03-02T11:45:00Z"), at("2026-03-02T11:45:00Z"));
    check(&late, &[person("Ann", NEAR)], Some(("Ann", "Mon 12:57")));
    // Five minutes later it does not.
    (late.leave_after, late.start_after) = (at("2026-03-02T11:50:00Z"), at("2026-03-02T11:50:00Z"));
    let proposal = check(&late, &[person("Ann", NEAR)], Some(("Ann", "Tue 06:12")));
    assert!(reason(&proposal, "Ann").contains("free at Tue 03 Mar 06:00"));
}

#[test]
fn a_wish_for_later_is_met_without_idle_travel() {
    let mut later = need();
    later.start_after = at("2026-03-02T10:00:00Z");
    let proposal = check(&later, &[person("Ann", NEAR)], Some(("Ann", "Mon 11:02")));
    assert_eq!(
        proposal.slot.unwrap().travel_from,
        at("2026-03-02T09:50:00Z")
    );
}

#[test]
fn nobody_works_without_shifts_or_longer_than_a_shift() {
    let mut idle = person("Idle", NEAR);
    idle.shifts.clear();
    let proposal = check(&need(), &[idle], None);
    assert_eq!(
        reason(&proposal, "Idle"),
        "has no shift in the next 14 days"
    );
    let mut long = need();
    long.minutes = 9 * 60;
    let proposal = check(&long, &[person("Ann", NEAR)], None);
    assert!(reason(&proposal, "Ann").starts_with("no free span of 540 min"));
}

/// Whatever is booked, bookings of one technician never overlap and stay reachable.
#[test]
fn many_bookings_never_overlap() {
    let places = [SITE, NEAR, FAR];
    let mut people = [person("Ann", NEAR), person("Robert", FAR)];
    for number in 0..60_usize {
        let mut wish = need();
        wish.place = places[(number * 7 + number / 3) % 3];
        wish.minutes = 30 + (number as i64 * 17) % 90;
        wish.start_after += TimeDelta::minutes((number as i64 * 53) % 600);
        let slot = solve(&wish, &people).slot.expect("two weeks are long");
        let who = people.iter_mut().find(|one| one.id == slot.resource_id);
        let who = who.unwrap();
        who.engagements.push(Engagement {
            span: Span {
                from: slot.travel_from,
                until: slot.ends_at,
            },
            starts_at: slot.starts_at,
            place: wish.place,
        });
        who.engagements.sort_by_key(|one| one.span.from);
    }
    for one in &people {
        for pair in one.engagements.windows(2) {
            let way = trip(pair[0].place, pair[1].place, one.speed_kmh);
            let reached = pair[0].span.until + TimeDelta::minutes(way.minutes);
            assert!(pair[0].span.until <= pair[1].span.from, "{}", one.name);
            assert!(reached <= pair[1].starts_at, "{}", one.name);
        }
    }
    assert_eq!(
        people
            .iter()
            .map(|one| one.engagements.len())
            .sum::<usize>(),
        60
    );
}
