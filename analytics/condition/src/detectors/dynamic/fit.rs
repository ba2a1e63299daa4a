//! Learning how the past vector is divided, and the limits.

use std::ops::Range;

use linfa_linalg::eigh::{EigSort, Eigh};
use ndarray::{Array1, Array2, Axis};

use super::super::super::detector::{FitError, Training};
use super::super::lagged::{History, runs, standards, within, without};
use super::{Common, DynamicModel, Space, Statistics};
use crate::numbers::count;

/// Windows per dimension of the past vector, at least; otherwise the past is made shorter.
const WINDOWS_PER_DIMENSION: usize = 2;
/// Windows in a left-out block, at least.
const LEAST_BLOCK: usize = 10;
/// A block whose residual exceeds that of the middle one so many times holds a fault.
const FAULTY: f64 = 3.0;
/// More blocks than one in so many are no faults inside a normal period: the period is like that.
const MOST_FAULTY: usize = 4;

/// Limits are so many deviations over the mean, at least.
const DEVIATIONS: f64 = 4.0;
/// The correction for the windows that are left out is no stronger.
const LEAST_CORRECTION: f64 = 0.9;

/// What is learned from some runs of the learning period.
struct Learned {
    center: Vec<f64>,
    scale: Vec<f64>,
    space: Space,
}

/// What a left-out block has come to.
struct Block {
    windows: Range<usize>,
    statistics: Vec<Statistics>,
}

/// Learns from the vectors of a learning period.
///
/// `divide` is given standardized vectors, the runs among them to learn from, and how many windows
/// the past has.
///
/// **Errors** when there are too few windows in a row, or the arithmetic fails.
pub fn fit(
    common: &Common,
    training: &Training<'_>,
    divide: impl Fn(&[Vec<f64>], &[Range<usize>], usize) -> Result<Space, FitError>,
) -> Result<DynamicModel, FitError> {
    let rows = training.rows;
    let width = training.features.len().max(1);
    let past = (rows.len() / (WINDOWS_PER_DIMENSION * width)).clamp(1, common.past);
    let learn = |runs: &[Range<usize>]| -> Result<Learned, FitError> {
        let found: usize = runs
            .iter()
            .map(|run| (run.len() + 1).saturating_sub(past))
            .sum();
        let needed = past * width + 1;
        if found < needed {
            return Err(FitError::TooFewWindows { found, needed });
        }
        let (center, scale) = standards(rows, runs);
        let space = divide(&standardized(rows, &center, &scale), runs, past)?;
        Ok(Learned {
            center,
            scale,
            space,
        })
    };
    let number = common.blocks.min(rows.len() / LEAST_BLOCK).max(2);
    let cut = |block: usize| block * rows.len() / number;
    let all: Vec<Range<usize>> = (0..number).map(|at| cut(at)..cut(at + 1)).collect();
    let judge = |runs: &[Range<usize>], blocks: Vec<Range<usize>>| {
        let judged = blocks.into_iter().map(|windows| {
            let learned = learn(&without(runs, &windows))?;
            let statistics = statistics(&learned, rows, &within(runs, &windows), past);
            Ok(Block {
                windows,
                statistics,
            })
        });
        judged.collect::<Result<Vec<Block>, FitError>>()
    };
    let mut runs = runs(training);
    let mut blocks = judge(&runs, all)?;
    let faulty = faulty(&blocks, common.memories.first().copied().unwrap_or(1.0));
    if !faulty.is_empty() {
        runs = faulty
            .iter()
            .fold(runs, |runs, block| without(&runs, block));
        let good = blocks.into_iter().map(|block| block.windows);
        blocks = judge(
            &runs,
            good.filter(|block| !faulty.contains(block)).collect(),
        )?;
    }
    let learned = learn(&runs)?;
    // One course over all blocks: a memory may be longer than a block.
    let seen = blocks.len().max(1);
    let course: Vec<Statistics> = blocks
        .into_iter()
        .flat_map(|block| block.statistics)
        .collect();
    let correction = correction(course.len(), seen, past * width);
    let limits = common.memories.iter().map(|memory| {
        let mut limit = limit(&course, *memory);
        limit.residual *= correction;
        limit
    });
    let limits = limits.collect();
    Ok(DynamicModel {
        center: learned.center,
        scale: learned.scale,
        past,
        space: learned.space.into(),
        limits,
        faulty_blocks: faulty.len(),
        spacing: training.spacing(),
    })
}

/// The blocks that hold a fault.
fn faulty(blocks: &[Block], memory: f64) -> Vec<Range<usize>> {
    let residual = |block: &Block| largest(&block.statistics, memory).residual;
    let mut sorted: Vec<f64> = blocks.iter().map(residual).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len() / 2).copied();
    let limit = FAULTY * middle.unwrap_or(f64::INFINITY);
    let outside = blocks.iter().filter(|block| residual(block) > limit);
    let outside: Vec<Range<usize>> = outside.map(|block| block.windows.clone()).collect();
    if MOST_FAULTY * outside.len() > blocks.len() {
        return Vec::new();
    }
    outside
}

/// The largest values of a smoothed course.
fn largest(course: &[Statistics], memory: f64) -> Statistics {
    let smoothed = smoothed(course, memory).into_iter();
    smoothed.fold(Statistics::NORMAL, Statistics::at_least)
}

fn smoothed(course: &[Statistics], memory: f64) -> Vec<Statistics> {
    let mut smoothed = Statistics::NORMAL;
    let step = |next: &Statistics| {
        smoothed.smooth(*next, memory);
        smoothed
    };
    course.iter().map(step).collect()
}

/// Where normal ends: the largest smoothed values, or so many deviations over the mean, whichever
/// is more. A long memory leaves few independent values, and the largest of few is no limit.
fn limit(course: &[Statistics], memory: f64) -> Statistics {
    let smoothed = smoothed(course, memory);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a memory is at most ten thousand windows"
    )]
    let begin = ((2.0 * memory) as usize).min(smoothed.len() / 2);
    let over = |of: fn(&Statistics) -> f64| {
        let settled = || smoothed[begin..].iter().map(of);
        let number = count(settled().count().max(1));
        let mean = settled().sum::<f64>() / number;
        let spread = settled().map(|x| (x - mean).powi(2)).sum::<f64>() / number;
        mean + DEVIATIONS * spread.sqrt()
    };
    largest(course, memory).at_least(Statistics {
        directions: over(|of| of.directions),
        residual: over(|of| of.residual),
    })
}

/// What a left-out block is judged by has seen fewer windows than the model, and the fewer there
/// are per dimension, the farther from normal everything else looks: by windows / (windows −
/// dimensions).
fn correction(windows: usize, blocks: usize, dimensions: usize) -> f64 {
    let looks = |windows: f64| windows / (windows - count(dimensions)).max(1.0);
    let all = count(windows);
    let most = all - all / count(blocks);
    (looks(all) / looks(most)).clamp(LEAST_CORRECTION, 1.0)
}

/// The statistics of some runs.
fn statistics(
    learned: &Learned,
    rows: &[Vec<f64>],
    runs: &[Range<usize>],
    past: usize,
) -> Vec<Statistics> {
    let mut found = Vec::new();
    for run in runs {
        let mut history = History::default();
        for row in standardized(&rows[run.clone()], &learned.center, &learned.scale) {
            let vector = history.stack(&row, past);
            found.extend(vector.map(|vector| learned.space.of(&vector).0));
            history.push(row, past);
        }
    }
    found
}

fn standardized(rows: &[Vec<f64>], center: &[f64], scale: &[f64]) -> Vec<Vec<f64>> {
    rows.iter()
        .map(|row| {
            let scaled = center.iter().zip(scale);
            row.iter()
                .zip(scaled)
                .map(|(x, (center, scale))| (x - center) / scale)
                .collect()
        })
        .collect()
}

/// The covariance of the columns of two matrices with as many rows, whose means are removed.
pub fn covariance(left: &Array2<f64>, right: &Array2<f64>) -> Array2<f64> {
    let centered = |matrix: &Array2<f64>| match matrix.mean_axis(Axis(0)) {
        Some(mean) => matrix - &mean,
        None => matrix.clone(),
    };
    centered(left).t().dot(&centered(right)) / (count(left.nrows()) - 1.0).max(1.0)
}

/// Eigenvalues and eigenvectors of a symmetric matrix, the largest first.
pub fn directions(matrix: &Array2<f64>) -> Result<(Array1<f64>, Array2<f64>), FitError> {
    let found = matrix.eigh().map_err(|error| FitError::Numbers {
        detector: "dynamic",
        reason: error.to_string(),
    })?;
    Ok(found.sort_eig_desc())
}
