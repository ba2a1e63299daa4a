//! Residuals: what a machine shows against what its load and the weather explain.
//!
//! Declared inputs (load, weather) explain the other metrics by a quadratic regression. What they
//! do not explain is judged by T² with the covariance of the learning period and of its slow
//! changes. So a season that was never seen is no alarm as long as the machine answers to it.
//!
//! The regression goes on learning, by recursive least squares with forgetting, because a
//! quadratic learned in spring is only nearly right in winter. It learns nothing from a window
//! until a trial time has passed without an alarm, so a fault that is found was hardly learned.
//! Where the inputs are far from everything seen, the band is wider by the regression's own
//! uncertainty there. When a set point moves, the step that it makes is taken out.
//!
//! **Source**: Ljung 1999 (recursive least squares with forgetting), Hotelling 1931 (T²).

mod fit;
mod recursion;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::detector::{Contribution, Detector, Explanation, Sample, Score};
use super::super::matrix::Square;
use super::super::span::Span;
use recursion::Recursion;

/// An alarm lasts at least about so long; what was on trial is then not learned.
const SPELL: i64 = 24 * 3600 * 1_000_000;

/// How residuals are set. The reasons stand in `default.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualSettings {
    /// Metrics that explain the others: load, weather.
    pub inputs: Vec<String>,
    /// Metrics that people move: a step of theirs is no fault.
    pub set_points: Vec<String>,
    /// Pull of the coefficients toward zero, as a share of the windows.
    pub ridge: f64,
    /// Lag over which normal change is measured. **Units**: event time.
    pub drift_lag: Span,
    /// How much normal change widens the band.
    pub drift_factor: f64,
    /// Half-life with which the regression forgets. **Units**: event time.
    pub half_life: Span,
    /// How long a window waits until it is learned. **Units**: event time.
    pub trial: Span,
    /// How much the regression's uncertainty widens the band.
    pub widening: f64,
    /// A set point has moved when it is off by more than so many of its usual changes.
    pub set_point_change: f64,
    /// How long a machine takes to settle after that. **Units**: event time.
    pub settle: Span,
    /// Factor on the limit from the learning period.
    pub limit_factor: f64,
}

impl ResidualSettings {
    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let numbers = [
            ("ridge", self.ridge, 0.0, 1.0),
            ("drift_factor", self.drift_factor, 0.0, 100.0),
            ("widening", self.widening, 0.0, 1e3),
            ("set_point_change", self.set_point_change, 1.0, 1e3),
            ("limit_factor", self.limit_factor, 0.1, 1e6),
        ];
        let wrong = numbers
            .iter()
            .filter(|(_, value, least, most)| !(value >= least && value <= most));
        let mut found: Vec<String> = wrong
            .map(|(name, value, least, most)| {
                format!("{name} is {value}, but must be from {least} to {most}")
            })
            .collect();
        if self.half_life.micros() <= 0 {
            found.push("half_life must be longer than 0s".to_owned());
        }
        if self.inputs.len() > 4 {
            found.push("inputs names more than 4 metrics: name those that explain most".to_owned());
        }
        found
    }
}

/// What residuals have learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualModel {
    /// Means of the learning period, per feature.
    pub center: Vec<f64>,
    /// Deviations of the learning period, per feature.
    pub scale: Vec<f64>,
    /// Numbers of the features that explain.
    pub inputs: Vec<usize>,
    /// Numbers of the features that people move.
    pub set_points: Vec<usize>,
    /// How much each of those changes from window to window. **Units**: those of the feature.
    pub set_point_noise: Vec<f64>,
    /// Numbers of the features that are explained.
    pub outputs: Vec<usize>,
    /// The regression at the end of the learning period.
    pub regression: Recursion,
    /// Covariance of the residuals, row by row, drift included.
    pub covariance: Vec<f64>,
    /// Limit of T², without the factor of the class.
    pub limit: f64,
}

/// A window that waits until it is learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OnTrial {
    at: i64,
    elapsed: i64,
    terms: Vec<f64>,
    outputs: Vec<f64>,
}

/// What a restart needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct State {
    regression: Recursion,
    /// Steps of set points, per output. **Units**: deviations of the learning period.
    offset: Vec<f64>,
    trial: VecDeque<OnTrial>,
    /// The last windows: set points and residuals.
    recent: VecDeque<(Vec<f64>, Vec<f64>)>,
    /// While a set point's step settles: until when, and the residuals before.
    settling: Option<(i64, Vec<f64>)>,
    /// How long it has not been calm. **Units**: microseconds.
    spell: i64,
    /// By output that was missing while the step of a set point settled: its residual before. Its
    /// step is known when it is back.
    #[serde(default)]
    away: Vec<Option<f64>>,
}

/// The last window that was judged.
#[derive(Debug)]
struct Last {
    terms: Vec<f64>,
    /// Outputs in deviations of the learning period, steps of set points taken out.
    outputs: Vec<f64>,
    residuals: Vec<f64>,
    t2: f64,
    leverage: f64,
}

/// Residuals at work on one asset.
#[derive(Debug)]
pub struct ResidualDetector {
    model: ResidualModel,
    settings: ResidualSettings,
    covariance: Square,
    state: State,
    last: Option<Last>,
}

impl ResidualDetector {
    /// A detector that knows what was learned.
    pub fn new(model: ResidualModel, settings: &ResidualSettings) -> Self {
        let size = model.outputs.len();
        Self {
            covariance: Square::from_fn(size, |row, column| model.covariance[row * size + column]),
            state: State {
                regression: model.regression.clone(),
                offset: vec![0.0; size],
                trial: VecDeque::new(),
                recent: VecDeque::new(),
                settling: None,
                spell: 0,
                away: vec![None; size],
            },
            settings: settings.clone(),
            model,
            last: None,
        }
    }

    /// Windows that a settling time has, four at least.
    fn windows(&self, sample: &Sample<'_>) -> usize {
        let step = sample.elapsed.max(1);
        usize::try_from(self.settings.settle.micros() / step)
            .unwrap_or(4)
            .clamp(4, 64)
    }

    /// Looks at the set points; true while the step of one settles.
    fn settles(&mut self, sample: &Sample<'_>, set_points: &[f64], residuals: &[f64]) -> bool {
        let windows = self.windows(sample);
        let state = &mut self.state;
        if let Some((until, before)) = &state.settling
            && sample.at >= *until
        {
            let after = mean(
                state.recent.iter().map(|(_, residuals)| residuals),
                residuals,
            );
            for (at, (after, before)) in after.iter().zip(before).enumerate() {
                if after.is_finite() {
                    state.offset[at] += after - before;
                    state.away[at] = None;
                } else {
                    state.away[at] = Some(*before);
                }
            }
            // What is kept of the time before would look like another step.
            state.recent.clear();
            state.settling = None;
            return true;
        }
        if state.settling.is_none() && state.recent.len() >= 4 && !set_points.is_empty() {
            let usual = mean(state.recent.iter().map(|(points, _)| points), set_points);
            let noise = &self.model.set_point_noise;
            let moved = (0..usual.len()).any(|at| {
                (set_points[at] - usual[at]).abs() > self.settings.set_point_change * noise[at]
            });
            if moved {
                let mut before = mean(
                    state.recent.iter().map(|(_, residuals)| residuals),
                    residuals,
                );
                for (before, away) in before.iter_mut().zip(&state.away) {
                    // Of an output that is away, what it was when it was last there, or is expected.
                    let known = away.unwrap_or(if before.is_finite() { *before } else { 0.0 });
                    *before = known;
                }
                let until = sample.at + self.settings.settle.micros() + 2 * sample.elapsed;
                state.settling = Some((until, before));
                state.recent.clear();
                state.trial.clear();
                return true;
            }
        }
        while state.recent.len() >= windows {
            state.recent.pop_front();
        }
        if residuals.iter().all(|residual| residual.is_finite()) {
            let both = (set_points.to_vec(), residuals.to_vec());
            state.recent.push_back(both);
        }
        state.settling.is_some()
    }
}

impl Detector for ResidualDetector {
    fn score(&mut self, sample: &Sample<'_>) -> Option<Score> {
        self.last = None;
        let model = &self.model;
        let scaled = |at: &usize| (sample.values[*at] - model.center[*at]) / model.scale[*at];
        let inputs: Vec<f64> = model.inputs.iter().map(scaled).collect();
        if inputs.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let terms = recursion::terms(&inputs);
        let expected = self.state.regression.expected(&terms);
        if self.state.settling.is_none() {
            for (place, at) in model.outputs.iter().enumerate() {
                let residual = scaled(at) - self.state.offset[place] - expected[place];
                if residual.is_finite()
                    && let Some(before) = self.state.away[place].take()
                {
                    self.state.offset[place] += residual - before;
                }
            }
        }
        let offset = &self.state.offset;
        let outputs: Vec<f64> = model
            .outputs
            .iter()
            .zip(offset)
            .map(|(at, o)| scaled(at) - o)
            .collect();
        let residuals: Vec<f64> = outputs.iter().zip(&expected).map(|(z, e)| z - e).collect();
        let set_points: Vec<f64> = model
            .set_points
            .iter()
            .map(|at| sample.values[*at])
            .collect();
        if set_points.iter().all(|value| value.is_finite())
            && self.settles(sample, &set_points, &residuals)
        {
            return None;
        }
        let known: Vec<usize> = (0..residuals.len())
            .filter(|at| residuals[*at].is_finite())
            .collect();
        if 2 * known.len() <= residuals.len() {
            return None;
        }
        let t2 = quadratic(&self.covariance, &known, &residuals)?;
        let leverage = self.state.regression.leverage(&terms);
        let limit = self.model.limit * self.settings.limit_factor;
        let ratio = t2 / limit / (1.0 + self.settings.widening * leverage);
        self.last = Some(Last {
            terms,
            outputs,
            residuals,
            t2,
            leverage,
        });
        Some(Score { ratio })
    }

    fn follow(&mut self, sample: &Sample<'_>, _score: &Score, calm: bool) {
        let state = &mut self.state;
        if !calm {
            state.spell = state.spell.saturating_add(sample.elapsed);
            if state.spell >= SPELL {
                state.trial.clear();
            }
            return;
        }
        state.spell = 0;
        let Some(last) = &self.last else { return };
        if last.outputs.iter().all(|value| value.is_finite()) {
            state.trial.push_back(OnTrial {
                at: sample.at,
                elapsed: sample.elapsed,
                terms: last.terms.clone(),
                outputs: last.outputs.clone(),
            });
        }
        let due = sample.at - self.settings.trial.micros();
        while state.trial.front().is_some_and(|oldest| oldest.at <= due) {
            if let Some(one) = state.trial.pop_front() {
                let half_lives = span(one.elapsed) / span(self.settings.half_life.micros());
                state
                    .regression
                    .learn(&one.terms, &one.outputs, (-half_lives).exp2());
            }
        }
    }

    fn explain(&self, _sample: &Sample<'_>) -> Explanation {
        let Some(last) = &self.last else {
            return Explanation::default();
        };
        let known: Vec<usize> = (0..last.residuals.len())
            .filter(|at| last.residuals[*at].is_finite())
            .collect();
        let whole = quadratic(&self.covariance, &known, &last.residuals).unwrap_or(0.0);
        // What one output adds: by how much T² falls without it.
        let falls = known.iter().map(|at| {
            let others: Vec<usize> = known.iter().copied().filter(|other| other != at).collect();
            let rest = quadratic(&self.covariance, &others, &last.residuals).unwrap_or(whole);
            (*at, (whole - rest).max(0.0))
        });
        let falls: Vec<(usize, f64)> = falls.collect();
        let total = falls
            .iter()
            .map(|fall| fall.1)
            .sum::<f64>()
            .max(f64::MIN_POSITIVE);
        let mut contributions: Vec<Contribution> = falls
            .iter()
            .map(|(at, fall)| {
                let feature = self.model.outputs[*at];
                let (scale, center) = (self.model.scale[feature], self.model.center[feature]);
                let observed = center + scale * (last.outputs[*at] + self.state.offset[*at]);
                Contribution {
                    feature,
                    share: fall / total,
                    observed,
                    expected: observed - scale * last.residuals[*at],
                    deviations: last.residuals[*at] / self.covariance.at(*at, *at).sqrt(),
                }
            })
            .collect();
        contributions.sort_by(|a, b| b.share.total_cmp(&a.share));
        Explanation {
            contributions,
            facts: json!({
                "t2": last.t2,
                "limit": self.model.limit,
                "factor": self.settings.limit_factor,
                "leverage": last.leverage,
            }),
        }
    }

    fn save(&self) -> Value {
        serde_json::to_value(&self.state).unwrap_or_default()
    }

    fn restore(&mut self, saved: &Value) {
        let state: Result<State, _> = serde_json::from_value(saved.clone());
        let outputs = self.model.outputs.len();
        let fits = |state: &State| {
            state.offset.len() == outputs && state.regression.fits(&self.model.regression)
        };
        if let Some(mut state) = state.ok().filter(fits) {
            state.away.resize(outputs, None);
            self.state = state;
        }
    }
}

/// `eᵀ S⁻¹ e` over some of the outputs.
fn quadratic(covariance: &Square, known: &[usize], residuals: &[f64]) -> Option<f64> {
    let right: Vec<f64> = known.iter().map(|at| residuals[*at]).collect();
    let solved = covariance.solve_part(known, &right)?;
    Some(right.iter().zip(&solved).map(|(a, b)| a * b).sum())
}

/// The mean of vectors; `or` when there are none.
fn mean<'a>(vectors: impl Iterator<Item = &'a Vec<f64>>, or: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; or.len()];
    let mut count = 0.0;
    for vector in vectors {
        count += 1.0;
        sum.iter_mut()
            .zip(vector)
            .for_each(|(sum, value)| *sum += value);
    }
    if count == 0.0 {
        return or.to_vec();
    }
    sum.into_iter().map(|sum| sum / count).collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "spans are far below 2^52 microseconds"
)]
fn span(micros: i64) -> f64 {
    micros as f64
}

#[cfg(test)]
mod tests;
