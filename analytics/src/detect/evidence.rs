//! What an alarm of the detector is concluded from, for people and machines.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::DETECTOR;
use super::pca::{Contribution, Score, Scorer};
use super::window::Window;

/// Contributions that are kept with an alarm.
const MAX_CONTRIBUTIONS: usize = 8;
/// Contributions that the summary names, and the share that one must have to be named.
const NAMED: usize = 3;
const NAMED_SHARE: f64 = 0.1;

/// Everything that a finding is about.
pub(super) struct Finding<'a> {
    pub(super) scorer: &'a Scorer,
    pub(super) window: &'a Window,
    pub(super) score: &'a Score,
    pub(super) contributions: &'a [Contribution],
    pub(super) displacement: f64,
    pub(super) began_at: DateTime<Utc>,
}

impl Finding<'_> {
    /// The evidence as it is stored.
    pub(super) fn evidence(&self) -> Value {
        let model = self.scorer.model();
        let contributions = self
            .contributions
            .iter()
            .take(MAX_CONTRIBUTIONS)
            .map(|part| {
                json!({
                    "metric": model.features[part.feature].name(),
                    "share": round(part.share, 4),
                    "observed": round(part.observed, 6),
                    "expected": round(part.expected, 6),
                    "deviations": round(part.deviations, 2),
                })
            });
        let missing = self
            .score
            .missing
            .iter()
            .map(|at| model.features[*at].name());
        json!({
            "detector": DETECTOR,
            "model": model.version,
            "score": round(self.score.value(), 4),
            "ratio": round(self.score.ratio, 3),
            "t2": round(self.score.t2, 3),
            "spe": round(self.score.spe, 3),
            "limits": {
                "t2": round(model.limits.t2, 3),
                "spe": round(model.limits.spe, 3),
                "factor": model.limits.factor,
            },
            "window": {
                "from": text(instant(self.window.start)),
                "to": text(instant(self.window.end)),
                "readings": self.window.rows,
            },
            "began_at": text(self.began_at),
            "reference_displacement": round(self.displacement, 3),
            "contributions": contributions.collect::<Vec<_>>(),
            "missing": missing.collect::<Vec<_>>(),
        })
    }

    /// One sentence for people.
    pub(super) fn summary(&self) -> String {
        let model = self.scorer.model();
        let named: Vec<String> = self
            .contributions
            .iter()
            .take(NAMED)
            .enumerate()
            .filter(|(rank, part)| *rank == 0 || part.share >= NAMED_SHARE)
            .map(|(_, part)| {
                format!(
                    "{} {} where its other metrics suggest {} ({:.0} %)",
                    model.features[part.feature].name(),
                    short(part.observed),
                    short(part.expected),
                    part.share * 100.0,
                )
            })
            .collect();
        format!(
            "{} runs outside its normal band (score {:.2}): {}",
            model.asset,
            self.score.value(),
            named.join(", ")
        )
    }
}

/// An instant from microseconds since 1970; what is out of range is the first instant.
pub(super) fn instant(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn round(value: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (value * unit).round() / unit
}

/// A measured value with about four digits that matter.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
