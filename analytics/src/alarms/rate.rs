//! How many alarms there are: chattering, first-out and floods, from the instants of raises.
//!
//! **Source**: ISA-18.2 / IEC 62682 and EEMUA 191: an alarm that comes three times in a short time
//! chatters; more than ten alarms in ten minutes are more than an operator can answer, a flood,
//! which is over when fewer than five come in ten minutes.

use chrono::{DateTime, Utc};
use fieldwright_condition::{Severity, Span};
use serde::{Deserialize, Serialize};

use super::alarm::AlarmId;

/// What counts as chattering, first-out and flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlarmPolicy {
    /// An alarm that is raised so often
    pub chattering_raises: u32,
    /// within this time chatters. **Units**: event time.
    pub chattering_within: Span,
    /// Alarms of one asset that are no further apart than this have one first-out.
    pub first_out_within: Span,
    /// More raises than this
    pub flood_raises: u32,
    /// within this time are a flood,
    pub flood_within: Span,
    /// which is over when there are fewer than this.
    pub flood_over_below: u32,
}

impl Default for AlarmPolicy {
    fn default() -> Self {
        Self {
            chattering_raises: 3,
            chattering_within: Span::seconds(600),
            first_out_within: Span::seconds(600),
            flood_raises: 10,
            flood_within: Span::seconds(600),
            flood_over_below: 5,
        }
    }
}

impl AlarmPolicy {
    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.chattering_raises < 2 {
            found.push("chattering_raises must be at least 2: once is no chattering".into());
        }
        if self.flood_over_below > self.flood_raises {
            found.push(
                "flood_over_below is above flood_raises: a flood would be over before it began"
                    .into(),
            );
        }
        for (name, span) in [
            ("chattering_within", self.chattering_within),
            ("first_out_within", self.first_out_within),
            ("flood_within", self.flood_within),
        ] {
            if !(1_000_000..=86_400_000_000).contains(&span.micros()) {
                found.push(format!("{name} is {span}; it lies between 1s and 1d"));
            }
        }
        found
    }

    /// The longest look back that a raise needs.
    pub(super) fn look_back(&self) -> Span {
        self.chattering_within.max(self.first_out_within)
    }
}

/// That an alarm was raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raise {
    /// The alarm.
    pub alarm: AlarmId,
    /// The asset's tag.
    pub asset: String,
    /// Name of the detector or rule.
    pub cause: String,
    /// How much it mattered then.
    pub severity: Severity,
    /// Event time.
    pub at: DateTime<Utc>,
}

/// Whether a raise of `cause` at `at` makes the alarm chatter; `before` are earlier ones of its
/// asset.
pub(super) fn chatters(
    before: &[Raise],
    cause: &str,
    at: DateTime<Utc>,
    policy: &AlarmPolicy,
) -> bool {
    let since = at - policy.chattering_within.delta();
    let earlier = before
        .iter()
        .filter(|raise| raise.cause == cause && raise.at > since && raise.at <= at);
    u32::try_from(earlier.count() + 1).is_ok_and(|raises| raises >= policy.chattering_raises)
}

/// The first of the raises no longer than the window before `at`; of two at once, the worse.
pub fn first_out<'a>(
    raises: &'a [Raise],
    at: DateTime<Utc>,
    policy: &AlarmPolicy,
) -> Option<&'a Raise> {
    let since = at - policy.first_out_within.delta();
    raises
        .iter()
        .filter(|raise| raise.at >= since && raise.at <= at)
        .min_by_key(|raise| (raise.at, std::cmp::Reverse(raise.severity)))
}

/// A time with more alarms than people can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flood {
    /// Event time of the raise that was one too many.
    pub from: DateTime<Utc>,
    /// Event time at which few enough came; `None` while it lasts.
    pub until: Option<DateTime<Utc>>,
    /// Raises from the first that belongs to it to the last.
    pub raises: usize,
}

/// The floods in `times`, which are in order, as they are known at `now`.
pub fn floods(times: &[DateTime<Utc>], now: DateTime<Utc>, policy: &AlarmPolicy) -> Vec<Flood> {
    let window = policy.flood_within.delta();
    let most = policy.flood_raises as usize;
    let few = policy.flood_over_below as usize;
    let mut found = Vec::new();
    let (mut first, mut next) = (0, 0);
    while next < times.len() {
        let at = times[next];
        while times[first] <= at - window {
            first += 1;
        }
        if next + 1 - first <= most {
            next += 1;
            continue;
        }
        // How many there are falls only when one leaves the window: those instants are looked at.
        let (mut leaving, mut last) = (first, next + 1);
        let until = loop {
            let instant = times[leaving] + window;
            while last < times.len() && times[last] <= instant {
                last += 1;
            }
            leaving += 1;
            if last - leaving < few || leaving == last {
                break instant;
            }
        };
        found.push(Flood {
            from: at,
            until: (until <= now).then_some(until),
            raises: last - first,
        });
        (first, next) = (leaving.min(times.len().saturating_sub(1)), last);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::at;
    use super::*;

    fn raise(cause: &str, minute: i64, severity: Severity) -> Raise {
        Raise {
            alarm: AlarmId::of("P-101", cause, at(minute)),
            asset: "P-101".into(),
            cause: cause.into(),
            severity,
            at: at(minute),
        }
    }

    #[test]
    fn three_raises_in_ten_minutes_chatter() {
        let policy = AlarmPolicy::default();
        let before = [1, 5].map(|minute| raise("pca", minute, Severity::Low));
        assert!(chatters(&before, "pca", at(10), &policy));
        assert!(!chatters(&before, "pca", at(11), &policy), "too far apart");
        assert!(!chatters(&before, "hot", at(10), &policy), "another cause");
        assert!(!chatters(&before[..1], "pca", at(10), &policy), "twice");
    }

    #[test]
    fn the_first_of_a_window_is_first_out() {
        let policy = AlarmPolicy::default();
        let raises = [
            raise("old", 0, Severity::Low),
            raise("a", 5, Severity::Low),
            raise("b", 5, Severity::High),
            raise("c", 9, Severity::Critical),
        ];
        let first = |minute| first_out(&raises, at(minute), &policy).map(|raise| &*raise.cause);
        assert_eq!(first(10), Some("old"));
        assert_eq!(first(11), Some("b"), "at once: the worse one");
        assert_eq!(first(16), Some("c"));
        assert_eq!(first(30), None);
    }

    /// Minutes of raises; expected are floods as `from-until:raises`.
    #[track_caller]
    fn check(minutes: &[i64], now: i64, expected: &str) {
        let times: Vec<_> = minutes.iter().map(|minute| at(*minute)).collect();
        let minute = |instant: DateTime<Utc>| (instant - at(0)).num_minutes();
        let shown: Vec<String> = floods(&times, at(now), &AlarmPolicy::default())
            .into_iter()
            .map(|flood| {
                let until = flood.until.map(|until| minute(until).to_string());
                format!(
                    "{}-{}:{}",
                    minute(flood.from),
                    until.unwrap_or_default(),
                    flood.raises
                )
            })
            .collect();
        assert_eq!(shown.join(" "), expected, "{minutes:?}");
    }

    #[test]
    fn more_than_ten_in_ten_minutes_are_a_flood_until_fewer_than_five_come() {
        check(&[], 99, "");
        check(&[0; 10], 99, "");
        check(&[0; 11], 99, "0-10:11");
        check(&[0; 11], 5, "0-:11");
        let spread: Vec<i64> = (0..40).map(|n| n * 2).collect();
        check(&spread, 200, "");
        let busy: Vec<i64> = (0..40).map(|n| n / 2).collect();
        check(&busy, 15, "5-:40");
        check(&busy, 99, "5-27:40");
        let two: Vec<i64> = [0; 12].into_iter().chain([60; 12]).collect();
        check(&two, 99, "0-10:12 60-70:12");
    }
}
