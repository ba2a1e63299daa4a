use super::*;
use crate::lifecycle::grid;
use crate::store::test_store::{at, ctx};

const NOW: &str = "2026-03-02T10:00:00Z";

fn order(status: Status, verification: Verification) -> WorkOrder {
    let ctx = ctx(at(NOW));
    WorkOrder {
        id: crate::store::ids::WorkOrderId::new(&ctx),
        number: "WO-000001".into(),
        asset_id: crate::store::ids::AssetId::new(&ctx),
        site_id: crate::store::ids::SiteId::new(&ctx),
        account_id: crate::store::ids::AccountId::new(&ctx),
        incident_type: "pump-repair".into(),
        failure_mode: "pump-out-of-band".into(),
        status,
        verification,
        summary: "hot".into(),
        priority: 3,
        outcome: None,
        reopen_count: 0,
        last_reason: None,
        open_tasks: 0,
        created_at: at(NOW),
        started_at: None,
        completed_at: None,
        posted_at: None,
        posted_by: None,
        canceled_at: None,
        version: 4,
    }
}

fn command(verb: Verb) -> Command {
    let reason = "because".to_owned();
    match verb {
        Verb::Schedule => Command::Schedule,
        Verb::Begin => Command::Begin,
        Verb::Release => Command::Release { reason },
        Verb::Complete => Command::Complete {
            outcome: "fixed".into(),
        },
        Verb::Pass => Command::Pass,
        Verb::Reopen => Command::Reopen { reason },
        Verb::SendBack => Command::SendBack { reason },
        Verb::Post => Command::Post {
            basis: Basis::Unverified { reason },
        },
        Verb::Cancel => Command::Cancel { reason },
    }
}

/// The table, as people read it.
#[test]
fn the_grid() {
    let shown = grid(MOVES, Status::ALL, Verb::ALL);
    println!("{shown}");
    let expected = "\
\x20            schedule     begin        release      complete     pass         reopen       send_back    post         cancel
unscheduled  scheduled    .            .            .            .            .            .            .            canceled
scheduled    .            in_progress  unscheduled  .            .            .            .            .            canceled
in_progress  .            .            unscheduled  completed    .            .            .            .            canceled
completed    .            .            .            .            completed    unscheduled  unscheduled  posted       .
posted       .            .            .            .            .            .            .            .            .
canceled     .            .            .            .            .            .            .            .            .
";
    assert_eq!(shown, expected);
}

/// Every pair of status and verb: it moves as the table says, is a repeat, or is refused.
#[test]
fn decisions_follow_the_table() {
    for &status in Status::ALL {
        for &verb in Verb::ALL {
            let order = order(status, Verification::Pending);
            let decided = order.decide(&command(verb), at(NOW));
            match (target(MOVES, status, verb), decided) {
                (Some(to), Ok(Outcome::Changed(event))) => assert_eq!(event.status, to),
                (None, Ok(Outcome::AlreadySo)) => {}
                (None, Err(Refusal::NotAllowedNow { .. })) => {}
                (expected, got) => panic!("{status} {verb}: {expected:?} but {got:?}"),
            }
        }
    }
}

/// What was done is not done again when the command is repeated.
#[test]
fn repeats_change_nothing() {
    for (from, verb, _) in MOVES {
        let mut order = order(*from, Verification::Pending);
        let Ok(Outcome::Changed(event)) = order.decide(&command(*verb), at(NOW)) else {
            panic!("{from} {verb} moves");
        };
        order.apply(&event, "tester");
        let again = order.decide(&command(*verb), at(NOW));
        assert_eq!(again, Ok(Outcome::AlreadySo), "{from} {verb}");
    }
}

fn check_post(verification: Verification, basis: Basis, expected: Option<Verification>) {
    let order = order(Status::Completed, verification);
    let decided = order.decide(
        &Command::Post {
            basis: basis.clone(),
        },
        at(NOW),
    );
    match (decided, expected) {
        (Ok(Outcome::Changed(event)), Some(expected)) => assert_eq!(event.verification, expected),
        (Err(Refusal::NotVerified { .. }), None) => {}
        (decided, _) => panic!("{verification} {basis:?}: {decided:?}"),
    }
}

#[test]
fn posting_needs_a_verdict_or_a_reason() {
    let unverified = || Basis::Unverified {
        reason: "no telemetry".into(),
    };
    check_post(
        Verification::Passed,
        Basis::Passed,
        Some(Verification::Passed),
    );
    check_post(
        Verification::Passed,
        unverified(),
        Some(Verification::Passed),
    );
    check_post(
        Verification::NotNeeded,
        Basis::Passed,
        Some(Verification::NotNeeded),
    );
    check_post(Verification::Pending, Basis::Passed, None);
    check_post(
        Verification::Pending,
        unverified(),
        Some(Verification::Unverified),
    );
    let blank = Command::Post {
        basis: Basis::Unverified {
            reason: "  ".into(),
        },
    };
    let refused = order(Status::Completed, Verification::Pending).decide(&blank, at(NOW));
    assert_eq!(refused, Err(Refusal::ReasonMissing { verb: Verb::Post }));
}

#[test]
fn completion_waits_for_tasks() {
    let mut order = order(Status::InProgress, Verification::Pending);
    order.open_tasks = 2;
    let refused = order.decide(&command(Verb::Complete), at(NOW)).unwrap_err();
    assert_eq!(refused.code(), "tasks_open");
}

#[test]
fn people_see_their_buttons() {
    let words = |status| {
        let verbs = order(status, Verification::Pending).allowed_actions();
        verbs.iter().map(|verb| verb.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(words(Status::Unscheduled), ["schedule", "cancel"]);
    assert_eq!(words(Status::Scheduled), ["cancel"]);
    assert_eq!(words(Status::Completed), ["send_back", "post"]);
    assert_eq!(words(Status::Posted), [""; 0]);
}

/// The condition's key is held until telemetry has judged the repair.
#[test]
fn the_open_key() {
    for (status, verification, open) in [
        (Status::Unscheduled, Verification::Pending, true),
        (Status::InProgress, Verification::Failed, true),
        (Status::Completed, Verification::Pending, true),
        (Status::Completed, Verification::Passed, false),
        (Status::Completed, Verification::NotNeeded, false),
        (Status::Posted, Verification::Unverified, false),
        (Status::Canceled, Verification::Pending, false),
    ] {
        let key = order(status, verification).open_key();
        assert_eq!(key.is_some(), open, "{status} {verification}");
    }
}
