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

fn row(asset: &str) -> RuleRow {
    RuleRow {
        asset: asset.into(),
        severity: None,
        summary: None,
        evidence: serde_json::Map::new(),
    }
}

/// One evaluation per minute, each the assets that are named; the minimum duration is two
/// minutes. Expected are the turns: `+A` raised, `-A` returned.
#[track_caller]
fn check(evaluations: &[&str], expected: &[&str]) {
    let mut memory = BTreeMap::new();
    for (minute, (named, expected)) in evaluations.iter().zip(expected).enumerate() {
        let rows = named.chars().map(|asset| row(&asset.to_string())).collect();
        let turns = compare(&mut memory, rows, TimeDelta::minutes(2), at(minute as i64));
        let shown: Vec<String> = turns
            .iter()
            .map(|turn| match turn {
                RuleTurn::Raise { row, .. } => format!("+{}", row.asset),
                RuleTurn::Return { asset } => format!("-{asset}"),
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

#[test]
fn what_is_named_for_long_enough_is_raised_and_what_is_not_returns() {
    check(&["A", "A", "A", "A", "", ""], &["", "", "+A", "", "-A", ""]);
    check(&["A", "", "A", "A", "A"], &["", "", "", "", "+A"]);
    check(&["AB", "AB", "AB", "B", "AB"], &["", "", "+A +B", "-A", ""]);
}

#[test]
fn a_turn_that_was_not_kept_is_tried_again() {
    let mut memory = BTreeMap::new();
    for minute in 0..3 {
        let turns = compare(&mut memory, vec![row("A")], TimeDelta::zero(), at(minute));
        assert_eq!(turns.len(), 1, "minute {minute}");
    }
    let turns = compare(&mut memory, vec![row("A")], TimeDelta::zero(), at(3));
    confirm(&mut memory, &turns[0]);
    for minute in 4..6 {
        let turns = compare(&mut memory, vec![], TimeDelta::zero(), at(minute));
        assert_eq!(
            turns,
            [RuleTurn::Return { asset: "A".into() }],
            "minute {minute}"
        );
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
