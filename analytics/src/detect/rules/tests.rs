use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::*;
use crate::alarms::Severity;

fn at(minute: i64) -> DateTime<Utc> {
    "2026-10-05T08:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
}

/// A small letter is a held row.
fn row(asset: &str) -> RuleRow {
    RuleRow {
        asset: asset.to_uppercase(),
        severity: None,
        summary: None,
        hold: asset.chars().all(|letter| letter.is_ascii_lowercase()),
        evidence: serde_json::Map::new(),
    }
}

const AT_ONCE: Delays = Delays {
    on: TimeDelta::zero(),
    off: TimeDelta::zero(),
};

/// One evaluation per minute, each the assets that are named, in small letters where they are only
/// held; two minutes before a raise, `off` before a return. Expected are the turns with the minute
/// that they carry: `+A2` raised, `-A4` returned.
#[track_caller]
fn check_delays(off: i64, evaluations: &[&str], expected: &[&str]) {
    let delays = Delays {
        on: TimeDelta::minutes(2),
        off: TimeDelta::minutes(off),
    };
    let minute_of = |instant: DateTime<Utc>| (instant - at(0)).num_minutes();
    let mut memory = BTreeMap::new();
    for (minute, (named, expected)) in evaluations.iter().zip(expected).enumerate() {
        let rows = named.chars().map(|asset| row(&asset.to_string())).collect();
        let turns = compare(&mut memory, rows, delays, at(minute as i64));
        let shown: Vec<String> = turns
            .iter()
            .map(|turn| match turn {
                RuleTurn::Raise { row, at, .. } => format!("+{}{}", row.asset, minute_of(*at)),
                RuleTurn::Return { asset, at } => format!("-{asset}{}", minute_of(*at)),
            })
            .collect();
        assert_eq!(
            shown.join(" "),
            *expected,
            "minute {minute} of {evaluations:?}"
        );
        for turn in &turns {
            confirm(&mut memory, turn);
        }
    }
}

#[track_caller]
fn check(evaluations: &[&str], expected: &[&str]) {
    check_delays(0, evaluations, expected);
}

#[test]
fn what_is_named_for_long_enough_is_raised_and_what_is_not_returns() {
    check(
        &["A", "A", "A", "A", "", ""],
        &["", "", "+A2", "", "-A4", ""],
    );
    check(&["A", "", "A", "A", "A"], &["", "", "", "", "+A4"]);
    check(
        &["AB", "AB", "AB", "B", "AB"],
        &["", "", "+A2 +B2", "-A3", ""],
    );
}

#[test]
fn a_return_waits_for_its_delay() {
    check_delays(
        2,
        &["A", "A", "A", "", "", "A", "", "", "", ""],
        &["", "", "+A2", "", "", "", "", "", "-A8", ""],
    );
    // What is pending is forgotten at once.
    check_delays(2, &["A", "A", "", "A", "A"], &["", "", "", "", ""]);
}

#[test]
fn a_held_row_begins_nothing_and_ends_nothing() {
    check(&["a", "a", "a", "a"], &["", "", "", ""]);
    check(
        &["A", "A", "A", "a", "a", ""],
        &["", "", "+A2", "", "", "-A5"],
    );
    check(&["A", "a", "a", ""], &["", "", "+A2", "-A3"]);
}

#[test]
fn an_evaluation_that_comes_late_raises_with_the_instant_of_the_delay() {
    let mut memory = BTreeMap::new();
    let delays = Delays {
        on: TimeDelta::minutes(2),
        off: TimeDelta::minutes(1),
    };
    assert!(compare(&mut memory, vec![row("A")], delays, at(0)).is_empty());
    let turns = compare(&mut memory, vec![row("A")], delays, at(9));
    assert!(
        matches!(turns[..], [RuleTurn::Raise { since, at: raised, .. }] if since == at(0) && raised == at(2)),
        "{turns:?}"
    );
}

#[test]
fn a_turn_that_was_not_kept_is_tried_again() {
    let mut memory = BTreeMap::new();
    for minute in 0..3 {
        let turns = compare(&mut memory, vec![row("A")], AT_ONCE, at(minute));
        assert_eq!(turns.len(), 1, "minute {minute}");
    }
    let turns = compare(&mut memory, vec![row("A")], AT_ONCE, at(3));
    confirm(&mut memory, &turns[0]);
    for minute in 4..6 {
        let turns = compare(&mut memory, vec![], AT_ONCE, at(minute));
        let (asset, at) = ("A".into(), at(4));
        assert_eq!(turns, [RuleTurn::Return { asset, at }], "minute {minute}");
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn rows_are_read_with_everything_else_as_evidence() {
    let answer = batch(vec![
        (
            "asset",
            Arc::new(StringArray::from(vec!["A", "B", "A"])) as ArrayRef,
        ),
        (
            "severity",
            Arc::new(StringArray::from(vec![Some("critical"), None, None])),
        ),
        (
            "temperature",
            Arc::new(Float64Array::from(vec![99.5, 97.0, 1.0])),
        ),
        (
            "count",
            Arc::new(Int64Array::from(vec![Some(3), None, None])),
        ),
        (
            "summary",
            Arc::new(StringArray::from(vec![Some("too hot"), None, None])),
        ),
    ]);
    let rows = read_rows(&[answer.slice(0, 0), answer]).unwrap();
    assert_eq!(rows.len(), 2, "an asset counts once");
    assert_eq!(rows[0].severity, Some(Severity::Critical));
    assert_eq!(rows[0].summary.as_deref(), Some("too hot"));
    assert_eq!(
        json!(rows[0].evidence),
        json!({"temperature": 99.5, "count": 3})
    );
    assert_eq!((rows[1].severity, rows[1].summary.clone()), (None, None));
}

#[test]
fn an_answer_that_is_no_rules_answer_is_refused() {
    let text = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
    for (columns, expected) in [
        (vec![("machine", text(vec!["A"]))], "no text column `asset`"),
        (
            vec![
                ("asset", text(vec!["A"])),
                ("severity", text(vec!["awful"])),
            ],
            "asset A: `awful` is no severity",
        ),
    ] {
        let error = read_rows(&[batch(columns)]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let many: Vec<String> = (0..=MAX_RULE_ROWS).map(|n| n.to_string()).collect();
    let many = batch(vec![(
        "asset",
        Arc::new(StringArray::from(many)) as ArrayRef,
    )]);
    assert!(matches!(read_rows(&[many]), Err(RuleError::TooManyRows)));
}
