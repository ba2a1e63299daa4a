//! The life of a case: its legal moves and why a person's command is refused.

use crate::lifecycle::{Moves, target, verbs_from};

words! {
    /// Where a case stands.
    CaseStatus {
        /// It is decided, and may be decided again.
        Open => "open",
        /// It became an order, or joined one; the order goes on.
        Ordered => "ordered",
        /// A person closed it, or its alarms ended; final.
        Closed => "closed",
    }
}

words! {
    /// What can be done to a case.
    CaseVerb {
        /// Triage makes an order of it, or an order takes it over.
        Order => "order",
        /// A person makes an order of it.
        Escalate => "escalate",
        /// A person says what it was.
        Close => "close",
        /// Its alarms returned to normal.
        End => "end",
    }
}

words! {
    /// What an alarm turned out to be.
    CloseOut {
        /// The fault that it told of was there.
        Confirmed => "confirmed",
        /// Nothing was wrong.
        NoFaultFound => "no_fault_found",
        /// Something else was wrong.
        OtherFault => "other_fault",
    }
}

/// Every legal move.
#[rustfmt::skip]
pub const MOVES: Moves<CaseStatus, CaseVerb> = &[
    (CaseStatus::Open, CaseVerb::Order,    CaseStatus::Ordered),
    (CaseStatus::Open, CaseVerb::Escalate, CaseStatus::Ordered),
    (CaseStatus::Open, CaseVerb::Close,    CaseStatus::Closed),
    (CaseStatus::Open, CaseVerb::End,      CaseStatus::Closed),
];

/// Why a command is refused, the first that applies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaseRefusal {
    /// The caller decided on an older version.
    #[error("the case is at version {actual}, not {expected}: read it again and decide anew")]
    Stale {
        /// What the caller read.
        expected: i64,
        /// What it is.
        actual: i64,
    },
    /// The table has no such move.
    #[error("the case is {status}, so nobody can {verb} it: only an open case is decided")]
    NotAllowedNow {
        /// Where it stands.
        status: CaseStatus,
        /// What was asked.
        verb: CaseVerb,
    },
    /// A reason belongs to the command.
    #[error("{verb} needs a reason: say why in a few words")]
    ReasonMissing {
        /// What was asked.
        verb: CaseVerb,
    },
    /// The reason is a story.
    #[error("the reason has {found} characters, but may have {MAX_REASON}: say why in a few words")]
    ReasonTooLong {
        /// What it has.
        found: usize,
    },
}

/// Characters of a reason at most.
pub const MAX_REASON: usize = 500;

impl CaseRefusal {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stale { .. } => "stale_version",
            Self::NotAllowedNow { .. } => "not_allowed_now",
            Self::ReasonMissing { .. } => "reason_missing",
            Self::ReasonTooLong { .. } => "reason_too_long",
        }
    }
}

/// Where `verb` leads, for a caller who read `expected` and gives `reason`.
///
/// **Errors**: the first refusal in their order of precedence.
pub(super) fn decide(
    (status, actual): (CaseStatus, i64),
    verb: CaseVerb,
    reason: &str,
    expected: Option<i64>,
) -> Result<CaseStatus, CaseRefusal> {
    if let Some(expected) = expected.filter(|expected| *expected != actual) {
        return Err(CaseRefusal::Stale { expected, actual });
    }
    let to = target(MOVES, status, verb).ok_or(CaseRefusal::NotAllowedNow { status, verb })?;
    if reason.trim().is_empty() {
        return Err(CaseRefusal::ReasonMissing { verb });
    }
    let found = reason.trim().chars().count();
    if found > MAX_REASON {
        return Err(CaseRefusal::ReasonTooLong { found });
    }
    Ok(to)
}

/// What a person may do to a case with this status.
pub(super) fn allowed_actions(status: CaseStatus) -> Vec<CaseVerb> {
    let mut verbs = verbs_from(MOVES, status);
    verbs.retain(|verb| matches!(verb, CaseVerb::Escalate | CaseVerb::Close));
    verbs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::grid;

    #[test]
    fn the_moves() {
        let expected = "             order        escalate     close        end
open         ordered      ordered      closed       closed
ordered      .            .            .            .
closed       .            .            .            .
";
        assert_eq!(grid(MOVES, CaseStatus::ALL, CaseVerb::ALL), expected);
    }

    #[test]
    fn refusals_in_their_order() {
        #[track_caller]
        fn check(status: CaseStatus, reason: &str, expected: Option<i64>, code: &str) {
            let decided = decide((status, 3), CaseVerb::Close, reason, expected);
            let told = decided.map_or_else(|refusal| refusal.code(), CaseStatus::as_str);
            assert_eq!(told, code, "{status} {reason} {expected:?}");
        }
        check(CaseStatus::Open, "seen", None, "closed");
        check(CaseStatus::Open, "seen", Some(3), "closed");
        check(CaseStatus::Closed, "", Some(2), "stale_version");
        check(CaseStatus::Closed, "", Some(3), "not_allowed_now");
        check(CaseStatus::Ordered, "seen", None, "not_allowed_now");
        check(CaseStatus::Open, " ", Some(3), "reason_missing");
        check(CaseStatus::Open, &"é".repeat(500), None, "closed");
        check(CaseStatus::Open, &"é".repeat(501), None, "reason_too_long");
    }
}
