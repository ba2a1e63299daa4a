//! The alarm as a decision table.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::*;

pub(super) fn at(minute: i64) -> DateTime<Utc> {
    "2026-10-05T08:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
}

pub(super) fn occurrence(minute: i64) -> Occurrence {
    Occurrence {
        asset: "P-101".into(),
        class: "pump".into(),
        cause: "pca".into(),
        severity: Severity::High,
        summary: format!("P-101 is odd at {minute}"),
        evidence: json!({ "minute": minute }),
        began_at: at(minute - 10),
        raised_at: at(minute),
    }
}

fn command(word: &str) -> Command {
    let by = || "Ada".to_owned();
    match word {
        "raise" => Command::Raise(occurrence(30)),
        "more" => Command::AddEvidence {
            at: at(30),
            severity: Severity::Critical,
            summary: "worse".into(),
            evidence: json!({ "ratio": 9 }),
        },
        "return" => Command::Return { at: at(30) },
        "ack" => Command::Acknowledge { by: by() },
        "ack:" => Command::Acknowledge { by: " ".into() },
        "shelve" => Command::Shelve {
            until: at(120),
            by: by(),
            reason: "waits for a part".into(),
        },
        "shelve:why" => Command::Shelve {
            until: at(120),
            by: by(),
            reason: " ".into(),
        },
        "shelve:past" => Command::Shelve {
            until: at(10),
            by: by(),
            reason: "later".into(),
        },
        "shelve:long" => Command::Shelve {
            until: at(60 * 24 * 8),
            by: by(),
            reason: "later".into(),
        },
        "unshelve" => Command::Unshelve { by: by() },
        "verify" => Command::CloseVerified { by: "wo_1".into() },
        other => panic!("no command {other}"),
    }
}

/// The alarm after the commands of `path`, which must all be accepted.
fn after(path: &str) -> Alarm {
    let mut alarm = Alarm::raise(occurrence(0));
    for word in path.split_whitespace() {
        match alarm.decide(&command(word), at(31)).unwrap() {
            Outcome::Changed(change) => {
                assert_eq!(change.alarm.version, alarm.version + 1);
                alarm = change.alarm;
            }
            Outcome::AlreadySo => panic!("{word} changes nothing"),
        }
    }
    alarm
}

/// After `path`, `word` leads to: a state and the news, `=` for already so, or a refusal's code.
#[track_caller]
fn check(path: &str, word: &str, expected: &str) {
    let alarm = after(path);
    let found = match alarm.decide(&command(word), at(31)) {
        Ok(Outcome::Changed(change)) => {
            format!("{} {}", change.alarm.state().as_str(), change.kind)
        }
        Ok(Outcome::AlreadySo) => "=".to_owned(),
        Err(refusal) => refusal.code().to_owned(),
    };
    assert_eq!(found, expected, "`{path}` then `{word}`");
}

#[test]
fn every_move() {
    check("", "raise", "=");
    check("", "more", "active_unacknowledged evidence");
    check("", "return", "returned_unacknowledged returned");
    check("", "ack", "active_acknowledged acknowledged");
    check("", "ack:", "actor_missing");
    check("", "shelve", "active_unacknowledged shelved");
    check("", "shelve:why", "reason_missing");
    check("", "shelve:past", "shelved_into_the_past");
    check("", "shelve:long", "shelved_too_long");
    check("", "unshelve", "=");
    check("", "verify", "alarm_still_active");

    check("ack", "raise", "=");
    check("ack", "ack", "=");
    check("ack", "more", "active_acknowledged evidence");
    check("ack", "return", "closed returned");
    check("ack", "verify", "alarm_still_active");

    check("return", "return", "=");
    check("return", "more", "=");
    check("return", "raise", "active_unacknowledged raised");
    check("return", "ack", "closed acknowledged");
    check("return", "verify", "closed closed");
    check("return", "shelve", "returned_unacknowledged shelved");

    check("ack return", "raise", "alarm_closed");
    check("ack return", "return", "=");
    check("ack return", "ack", "=");
    check("return verify", "verify", "=");
    check("return verify", "shelve", "alarm_closed");
    check("return verify", "more", "alarm_closed");

    check("shelve", "shelve", "=");
    check("shelve", "unshelve", "active_unacknowledged unshelved");
    check("shelve", "return", "returned_unacknowledged returned");
}

#[test]
fn the_table_of_moves_is_what_decide_does() {
    let words = [
        "raise", "more", "return", "ack", "shelve", "unshelve", "verify",
    ];
    let ways = [
        (State::ActiveUnacknowledged, ["", "shelve"]),
        (State::ActiveAcknowledged, ["ack", "ack shelve"]),
        (State::ReturnedUnacknowledged, ["return", "return shelve"]),
        (State::Closed, ["return ack", "return verify"]),
    ];
    for (state, paths) in ways {
        for word in words {
            let verb = command(word).verb();
            let moves =
                paths
                    .iter()
                    .filter_map(|path| match after(path).decide(&command(word), at(31)) {
                        Ok(Outcome::Changed(change)) => Some(change.alarm.state()),
                        _ => None,
                    });
            let mut moves: Vec<State> = moves.collect();
            moves.dedup();
            let listed: Vec<State> = MOVES
                .iter()
                .filter(|(from, listed, _)| *from == state && *listed == verb)
                .map(|(_, _, to)| *to)
                .collect();
            assert_eq!(moves, listed, "{} {}", state.as_str(), verb.as_str());
        }
    }
}

#[test]
fn an_episode_that_comes_again_is_the_same_alarm() {
    let first = after("");
    let again = after("return raise");
    assert_eq!(again.id, first.id);
    assert_eq!((again.occurrences, again.returned_at), (2, None));
    // Both say when the alarm came first; the events say when it came again.
    assert_eq!(
        (again.raised_at, again.began_at),
        (first.raised_at, first.began_at)
    );
    assert_eq!(again.evidence, json!({ "minute": 30 }));
    assert_eq!(again.open_key(), "P-101|pca");
    let closed = after("return ack");
    assert_eq!(closed.open_key(), closed.id.to_string());
}

#[test]
fn shelving_is_shown_until_it_ends() {
    let shelved = after("shelve");
    assert_eq!(shelved.shown(at(119)), ShownStatus::Shelved);
    assert_eq!(shelved.shown(at(120)).as_str(), "active_unacknowledged");
    assert_eq!(
        shelved.allowed_actions(at(31)),
        ["acknowledge", "shelve", "unshelve"]
    );
    assert_eq!(shelved.allowed_actions(at(121)), ["acknowledge", "shelve"]);
    assert_eq!(shelved.due(at(119)), None);
    assert_eq!(
        shelved.due(at(120)),
        Some(Command::Unshelve { by: "time".into() })
    );
    assert_eq!(after("ack").allowed_actions(at(31)), ["shelve"]);
    assert!(after("return ack").allowed_actions(at(31)).is_empty());
}

#[test]
fn evidence_is_bounded_and_keeps_the_worst_severity() {
    let mut alarm = after("more");
    assert_eq!(
        (alarm.severity, alarm.evidence_updates),
        (Severity::Critical, 1)
    );
    alarm.evidence_updates = MAX_EVIDENCE_UPDATES;
    assert_eq!(
        alarm.decide(&command("more"), at(31)).unwrap_err(),
        Refusal::EvidenceFull {
            limit: MAX_EVIDENCE_UPDATES
        }
    );
}

#[test]
fn identities_are_stable_and_sort_by_time() {
    let id = |minute| AlarmId::of("P-101", "pca", at(minute));
    assert_eq!(id(0), id(0));
    assert!(id(0) < id(1) && id(1) < id(60 * 24 * 365));
    assert_ne!(id(0), AlarmId::of("P-102", "pca", at(0)));
    assert_eq!(id(0).to_string().parse::<AlarmId>().unwrap(), id(0));
    for bad in [
        "",
        "alm_",
        "wo_0190a3",
        "alm_zz90a3b4c5d6e7f8091a2b3c4d5e6f70",
    ] {
        assert!(bad.parse::<AlarmId>().is_err(), "{bad}");
    }
}
