//! What an alarm of the detector is concluded from, for people and machines.

use chrono::{DateTime, SecondsFormat, Utc};
use fieldwright_condition::features::Feature;
use fieldwright_condition::prognosis::class_life::LifeEstimate;
use fieldwright_condition::prognosis::degradation::{DegradationSettings, HealthHistory};
use fieldwright_condition::window::Window;
use fieldwright_condition::{Explanation, Model, Verdict};
use serde_json::{Value, json};

/// Contributions that are kept with an alarm.
const MAX_CONTRIBUTIONS: usize = 8;
/// Contributions that the summary names, and the share that one must have to be named.
const NAMED: usize = 3;
const NAMED_SHARE: f64 = 0.1;

/// Everything that a finding is about.
pub(super) struct Finding<'a> {
    pub(super) asset: &'a str,
    pub(super) model: &'a Model,
    pub(super) detector: &'a str,
    /// By what promoted limits multiply the detector's own.
    pub(super) limit_factor: f64,
    pub(super) window: &'a Window,
    pub(super) verdict: Verdict,
    pub(super) explanation: &'a Explanation,
    pub(super) began_at: DateTime<Utc>,
}

impl Finding<'_> {
    /// The evidence as it is stored: what every detector has, and the facts of its own.
    pub(super) fn evidence(&self) -> Value {
        let contributions = self.explanation.contributions.iter();
        let contributions = contributions.take(MAX_CONTRIBUTIONS).map(|part| {
            json!({
                "metric": self.feature(part.feature),
                "share": round(part.share, 4),
                "observed": round(part.observed, 6),
                "expected": round(part.expected, 6),
                "deviations": round(part.deviations, 2),
            })
        });
        let mut evidence = json!({
            "detector": self.detector,
            "model": self.model.version,
            "score": round(self.verdict.score(), 4),
            "ratio": round(self.verdict.ratio, 3),
            "limit_factor": round(self.limit_factor, 3),
            "window": {
                "from": text(instant(self.window.start)),
                "to": text(instant(self.window.end)),
                "readings": self.window.rows,
            },
            "began_at": text(self.began_at),
            "contributions": contributions.collect::<Vec<_>>(),
        });
        if let (Some(evidence), Value::Object(facts)) =
            (evidence.as_object_mut(), &self.explanation.facts)
        {
            for (name, fact) in facts {
                let fact = match name.as_str() {
                    "missing" => self.named(fact),
                    _ => rounded(fact),
                };
                evidence.entry(name).or_insert(fact);
            }
        }
        evidence
    }

    /// One sentence for people.
    pub(super) fn summary(&self) -> String {
        let named: Vec<String> = self
            .explanation
            .contributions
            .iter()
            .take(NAMED)
            .enumerate()
            .filter(|(rank, part)| *rank == 0 || part.share >= NAMED_SHARE)
            .map(|(_, part)| {
                format!(
                    "{} {} where its other metrics suggest {} ({:.0} %)",
                    self.feature(part.feature),
                    short(part.observed),
                    short(part.expected),
                    part.share * 100.0,
                )
            })
            .collect();
        let why = if named.is_empty() {
            format!("detector {}", self.detector)
        } else {
            named.join(", ")
        };
        let (asset, score) = (self.asset, self.verdict.score());
        format!("{asset} runs outside its normal band (score {score:.2}): {why}")
    }

    fn feature(&self, number: usize) -> String {
        let feature = self.model.features.get(number);
        feature.map_or_else(String::new, Feature::name)
    }

    /// Names in place of numbers of features.
    fn named(&self, numbers: &Value) -> Value {
        let numbers = numbers.as_array().into_iter().flatten();
        let numbers = numbers.filter_map(|number| usize::try_from(number.as_u64()?).ok());
        numbers
            .map(|number| Value::from(self.feature(number)))
            .collect()
    }
}

/// Evidence with what the asset is heading for.
pub(super) fn with_outlook(mut evidence: Value, outlook: Option<Value>) -> Value {
    if let (Some(evidence), Some(outlook)) = (evidence.as_object_mut(), outlook) {
        evidence.insert("outlook".to_owned(), outlook);
    }
    evidence
}

/// How long the asset will last, as its evidence says it.
pub(super) fn by_life(life: &LifeEstimate, settings: &DegradationSettings) -> Value {
    let before = life.as_of + settings.horizon.delta();
    json!({
        "by": "life",
        "model": life.version,
        "as_of": text(life.as_of),
        "before": text(before),
        "failure_probability": round(life.outlook.probability_of_failure(before), 4),
        "remaining_h": round(life.remaining.expected, 1),
        "lower_h": round(life.remaining.lower, 1),
        "upper_h": round(life.remaining.upper, 1),
        "expected_at": life.expected_at().map(text),
        "lower_at": life.lower_at().map(text),
        "upper_at": life.upper_at().map(text),
        "text": life.sentence(),
    })
}

/// Where the health index of the asset is going, as its evidence says it.
pub(super) fn by_trend(history: &HealthHistory, settings: &DegradationSettings) -> Value {
    match history.of_asset(settings) {
        Ok(found) => {
            let before = found.as_of + settings.horizon.delta();
            json!({
                "by": "trend",
                "as_of": text(found.as_of),
                "before": text(before),
                "failure_probability": round(found.outlook.probability_of_failure(before), 4),
                "expected_at": found.expected.map(text),
                "lower_at": found.lower.map(text),
                "upper_at": found.upper.map(text),
                "text": found.sentence(),
            })
        }
        Err(reason) => json!({ "by": null, "text": reason.to_string() }),
    }
}

/// A fact with its numbers rounded.
fn rounded(fact: &Value) -> Value {
    match fact {
        Value::Number(number) if number.is_f64() => number
            .as_f64()
            .map_or(Value::Null, |value| round(value, 3).into()),
        Value::Array(all) => all.iter().map(rounded).collect(),
        Value::Object(all) => {
            let all = all.iter().map(|(name, fact)| (name.clone(), rounded(fact)));
            Value::Object(all.collect())
        }
        other => other.clone(),
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
