//! Training on the windows of the learning period, with linfa's principal components.

use chrono::DateTime;
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_reduction::Pca;
use ndarray::Array2;

use super::super::config::ClassSettings;
use super::super::features::Feature;
use super::super::window::Window;
use super::{LeftOut, Limits, PcaModel, Scorer, limits::limit};

/// Most features of one model; more metrics are left out by name.
pub const MAX_FEATURES: usize = 128;
/// Fewest windows that a model can be learned from.
pub const MIN_WINDOWS: usize = 20;
/// Windows in which a feature may be missing while learning.
const MISSING_SHARE: f64 = 0.1;
/// Windows in which a lively metric may stand still while learning.
const FLAT_SHARE: f64 = 0.01;
/// Directions with less than this share of the strongest one's variance count as residual.
const LEAST_VARIANCE: f64 = 1e-6;

/// Why there is no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// Too little was seen.
    #[error("{found} usable windows are too few to learn from; {needed} are needed")]
    TooFewWindows {
        /// Usable windows.
        found: usize,
        /// What is needed.
        needed: usize,
    },
    /// Nothing moved.
    #[error("no metric moved while learning, so nothing can be learned")]
    NothingMoved,
    /// The decomposition failed.
    #[error("the principal components cannot be computed: {0}")]
    NoComponents(String),
}

/// Learns a model from windows in order of time.
///
/// `metrics` are the class's metric names by number.
///
/// **Errors** when the windows are too few or nothing moved in them.
pub fn fit(
    asset: &str,
    class: &str,
    settings: &ClassSettings,
    metrics: &[String],
    windows: &[Window],
) -> Result<PcaModel, FitError> {
    let usual_rows = median(
        windows
            .iter()
            .map(|window| f64::from(window.rows))
            .collect(),
    );
    let least_rows = usual_rows * settings.min_coverage;
    let full: Vec<&Window> = windows
        .iter()
        .filter(|window| f64::from(window.rows) >= least_rows)
        .collect();
    if full.len() < MIN_WINDOWS {
        return Err(FitError::TooFewWindows {
            found: full.len(),
            needed: MIN_WINDOWS,
        });
    }
    let mut left_out = Vec::new();
    let chosen = choose(settings, metrics, &full, &mut left_out);
    let mut rows: Vec<Vec<f64>> = full
        .iter()
        .map(|window| chosen.iter().map(|column| column.of(window)).collect())
        .collect();
    rows.retain(|row: &Vec<f64>| row.iter().all(|value| value.is_finite()));
    let needed = MIN_WINDOWS.max(2 * chosen.len());
    if chosen.is_empty() {
        return Err(FitError::NothingMoved);
    }
    if rows.len() < needed {
        return Err(FitError::TooFewWindows {
            found: rows.len(),
            needed,
        });
    }
    let (center, scale) = standards(&rows);
    for row in &mut rows {
        for (value, (center, scale)) in row.iter_mut().zip(center.iter().zip(&scale)) {
            *value = (*value - center) / scale;
        }
    }
    let lag = settings.drift_lag.micros() / settings.step.micros().max(1);
    let lag = usize::try_from(lag).unwrap_or(0).clamp(1, rows.len() / 3);
    let directions = decompose(&rows, lag, settings.drift_factor)?;
    let (components, variances, residual_variance) =
        keep(directions, settings.components, settings.explained_variance);
    let first = full.first().map_or(0, |window| window.start);
    let last = full.last().map_or(0, |window| window.end);
    let mut model = PcaModel {
        version: version(asset, first, last),
        asset: asset.to_owned(),
        class: class.to_owned(),
        trained_from: DateTime::from_timestamp_micros(first).unwrap_or_default(),
        trained_through: DateTime::from_timestamp_micros(last).unwrap_or_default(),
        windows: rows.len(),
        window: settings.window,
        step: settings.step,
        usual_rows,
        lively: chosen.iter().map(|column| column.lively).collect(),
        features: chosen.into_iter().map(|column| column.feature).collect(),
        left_out,
        center,
        scale,
        components,
        variances,
        residual_variance,
        limits: Limits {
            t2: 1.0,
            spe: 1.0,
            factor: settings.limit_factor,
        },
    };
    model.limits = limits_of(&model, &rows);
    Ok(model)
}

/// One column of the training data.
struct Column {
    number: usize,
    feature: Feature,
    lively: bool,
}

impl Column {
    fn of(&self, window: &Window) -> f64 {
        let seen = window.metrics.get(self.number);
        seen.map_or(f64::NAN, |seen| {
            super::super::features::value(seen, self.feature.kind)
        })
    }
}

/// The features that can be learned, by name; the others with the reason.
fn choose(
    settings: &ClassSettings,
    metrics: &[String],
    windows: &[&Window],
    left_out: &mut Vec<LeftOut>,
) -> Vec<Column> {
    let mut numbers: Vec<usize> = (0..metrics.len()).collect();
    numbers.sort_by(|a, b| metrics[*a].cmp(&metrics[*b]));
    let mut chosen = Vec::new();
    for number in numbers {
        let metric = &metrics[number];
        let mut leave_out = |reason: &str| {
            left_out.push(LeftOut {
                metric: metric.clone(),
                reason: reason.to_owned(),
            });
        };
        let named = settings.metrics.is_empty() || settings.metrics.contains(metric);
        if !named || settings.ignore.contains(metric) {
            leave_out("not chosen by the settings of the class");
            continue;
        }
        let flat = windows
            .iter()
            .filter(|w| w.metrics.get(number).is_some_and(|s| s.flat))
            .count();
        let lively = share(flat, windows.len()) <= FLAT_SHARE;
        for kind in &settings.features {
            let feature = Feature {
                metric: metric.clone(),
                kind: *kind,
            };
            let column = Column {
                number,
                feature,
                lively,
            };
            let values: Vec<f64> = windows
                .iter()
                .map(|w| column.of(w))
                .filter(|v| v.is_finite())
                .collect();
            if values.is_empty() {
                // Another asset of the class has this metric.
                continue;
            }
            if share(windows.len() - values.len(), windows.len()) > MISSING_SHARE {
                leave_out("missing in too many windows while learning");
            } else if !moves(&values) {
                leave_out("did not move while learning");
            } else if chosen.len() >= MAX_FEATURES {
                leave_out("a model takes 128 features at most");
            } else {
                chosen.push(column);
            }
        }
    }
    chosen
}

/// All directions of normal variation: the components, strongest first, with their variances.
///
/// The data that linfa sees are the standardized windows and, as if they were more windows, the
/// slow changes of the same windows in both directions (so their mean stays zero), scaled such
/// that singular values² / (n − 1) are the variances of both together. linfa's own
/// `explained_variance()` divides by the number of components − 1 instead of that of the windows,
/// so it cannot be used.
fn decompose(rows: &[Vec<f64>], lag: usize, factor: f64) -> Result<Vec<(Vec<f64>, f64)>, FitError> {
    let width = rows[0].len();
    let changes = if factor > 0.0 {
        slow_changes(rows, lag)
    } else {
        Vec::new()
    };
    let freedom = count(rows.len()) - 1.0;
    let weight = factor * (freedom / (2.0 * count(changes.len().max(1)))).sqrt();
    let height = rows.len() + 2 * changes.len();
    let mut data = Vec::with_capacity(height * width);
    data.extend(rows.iter().flatten());
    for sign in [weight, -weight] {
        data.extend(changes.iter().flatten().map(|change| sign * change));
    }
    let failed = |error: &dyn std::fmt::Display| FitError::NoComponents(error.to_string());
    let records = Array2::from_shape_vec((height, width), data).map_err(|e| failed(&e))?;
    let fitted = Pca::params(width)
        .fit(&DatasetBase::from(records))
        .map_err(|e| failed(&e))?;
    let components = fitted
        .components()
        .outer_iter()
        .map(|component| component.to_vec());
    let variances = fitted
        .singular_values()
        .iter()
        .map(|sigma| sigma * sigma / freedom);
    Ok(components.zip(variances).collect())
}

/// Differences, `lag` windows apart, of means over `lag` windows: noise averages out of them,
/// drift does not.
fn slow_changes(rows: &[Vec<f64>], lag: usize) -> Vec<Vec<f64>> {
    let width = rows[0].len();
    let mut sums = vec![vec![0.0; width]];
    for row in rows {
        let last = &sums[sums.len() - 1];
        sums.push(
            last.iter()
                .zip(row)
                .map(|(sum, value)| sum + value)
                .collect(),
        );
    }
    let long = count(lag);
    (0..(rows.len() + 1).saturating_sub(2 * lag))
        .map(|at| {
            let change = |column: usize| {
                let [a, b, c] = [at, at + lag, at + 2 * lag].map(|row| sums[row][column]);
                (c - 2.0 * b + a) / long
            };
            (0..width).map(change).collect()
        })
        .collect()
}

/// Splits the directions into those that are kept and the variance of those that are not.
fn keep(
    mut directions: Vec<(Vec<f64>, f64)>,
    components: usize,
    explained: f64,
) -> (Vec<Vec<f64>>, Vec<f64>, f64) {
    let width = directions[0].0.len();
    directions.sort_by(|a, b| b.1.total_cmp(&a.1));
    let strongest = directions[0].1;
    let total: f64 = directions.iter().map(|(_, variance)| variance).sum();
    let floor = LEAST_VARIANCE * strongest;
    let mut so_far = 0.0;
    let mut kept = 0;
    for (_, variance) in &directions {
        let enough = if components > 0 {
            kept >= components
        } else {
            so_far >= explained * total - 1e-9 * total && explained < 1.0
        };
        if *variance <= floor || (kept > 0 && enough) {
            break;
        }
        so_far += variance;
        kept += 1;
    }
    let rest = count((width - kept).max(1));
    let residual = ((total - so_far).max(0.0) / rest).max(floor);
    let (components, variances) = directions.into_iter().take(kept).unzip();
    (components, variances, residual)
}

fn limits_of(model: &PcaModel, rows: &[Vec<f64>]) -> Limits {
    let kept = model.components.len();
    let rest = model.features.len() - kept;
    let scorer = Scorer::new(model.clone());
    let zero = vec![0.0; model.features.len()];
    let (t2, spe): (Vec<f64>, Vec<f64>) =
        rows.iter().map(|row| scorer.statistics(row, &zero)).unzip();
    Limits {
        t2: limit(kept, &t2),
        spe: if rest > 0 { limit(rest, &spe) } else { 0.0 },
        factor: model.limits.factor,
    }
}

fn standards(rows: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let columns = 0..rows[0].len();
    columns
        .map(|column| {
            let mean = rows.iter().map(|row| row[column]).sum::<f64>() / count(rows.len());
            let squares: f64 = rows.iter().map(|row| (row[column] - mean).powi(2)).sum();
            (mean, (squares / (count(rows.len()) - 1.0)).sqrt())
        })
        .unzip()
}

/// Whether values differ by more than their own rounding.
fn moves(values: &[f64]) -> bool {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most - least > 1e-9 * least.abs().max(most.abs()).max(1e-300)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn share(part: usize, whole: usize) -> f64 {
    count(part) / count(whole.max(1))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of windows are far below 2^52"
)]
fn count(number: usize) -> f64 {
    number as f64
}

/// The asset and the span that it was trained on make the name.
fn version(asset: &str, from: i64, through: i64) -> String {
    let [from, through] = [from, through].map(|micros| {
        let at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
        at.format("%Y%m%dT%H%M%SZ").to_string()
    });
    format!("pca-{asset}-{from}-{through}")
}
