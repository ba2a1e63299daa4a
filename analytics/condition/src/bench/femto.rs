//! PRONOSTIA (FEMTO-ST) bearings: seconds until a bearing fails, at the last row of each recording.
//!
//! Lives differ by a factor of ten and six of them are all there is to learn from, so what is
//! learned is two Weibull distributions: of whole lives, and of what is left once vibration has
//! risen. A bearing is judged by the one that fits its state, given how long it has lasted in it.
//! The answer is the one with the best expected score of the challenge, for which late is much
//! worse than early.
//!
//! `learning/` is fitted on, `test/` is predicted: `rul.csv` with `bearing,rul_seconds`.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta};

use super::orders::{Candidate, Desk};
use super::{BenchError, Done, Places, files_below, read_table, stem, write};
use crate::prognosis::weibull::{Lifetime, Weibull, WeibullError};
use crate::settings::Severity;

/// From snapshot to snapshot. **Units**: seconds.
const STEP: f64 = 10.0;

/// Snapshots while a bearing runs in, and then those that its own level is taken from.
const RUN_IN: usize = 20;
const BASELINE: usize = 100;

/// Weight of the newest snapshot in the level.
const WEIGHT: f64 = 0.1;

/// A bearing is worn while its vibration is this many times its own level, and until it is below
/// the second.
const WORN: f64 = 1.7;
const RELEASE: f64 = 1.4;

/// What the desk is told: the probability of a failure within so many seconds.
const HORIZON: f64 = 3_600.0;

/// The cause of what the desk is told.
const CAUSE: &str = "bearing_wear";

/// Predicts every bearing that is there.
///
/// **Errors** when files are missing or hold something else.
pub fn run(places: &Places, desk: &mut dyn Desk) -> Result<Done, BenchError> {
    let fit_folder = places.train.as_ref().unwrap_or(&places.data);
    let lives = recordings(fit_folder, "learning")?;
    let tests = recordings(&places.data, "test")?;
    if lives.is_empty() || tests.is_empty() {
        return Err(BenchError::Nothing {
            set: "femto",
            folder: places.data.clone(),
        });
    }
    let whole: Vec<f64> = lives
        .iter()
        .map(|(_, values)| values.len() as f64)
        .collect();
    let mut worn = Vec::new();
    for (_, values) in &lives {
        let mut wear = Wear::default();
        values.iter().for_each(|value| wear.take(*value));
        // One that failed without a sign had no time left when it could have been seen.
        worn.push(
            wear.since
                .map_or(1.0, |since| wear.seen.saturating_sub(since).max(1) as f64),
        );
    }
    let fit = |ages: &[f64]| {
        let life = |age: &f64| Lifetime {
            entered: 0.0,
            age: age * STEP,
            failed: true,
        };
        Weibull::fit(&ages.iter().map(life).collect::<Vec<_>>())
    };
    let wrong = |error: WeibullError| BenchError::Content {
        path: fit_folder.clone(),
        reason: error.to_string(),
    };
    let lives = Lives {
        whole: fit(&whole).map_err(wrong)?,
        worn: fit(&worn).map_err(wrong)?,
    };
    let mut text = "bearing,rul_seconds\n".to_owned();
    for (bearing, values) in &tests {
        let seconds = lives.follow(bearing, values, desk);
        text += &format!("{bearing},{seconds:.0}\n");
    }
    write(&places.out.join("rul.csv"), &text)?;
    Ok(Done {
        files: 1,
        rows: tests.len(),
    })
}

/// Whether a bearing is worn, and since when.
#[derive(Debug, Default)]
struct Wear {
    /// Snapshots so far.
    seen: usize,
    /// Sum of the logarithms of the baseline.
    baseline: f64,
    /// Smoothed logarithm of vibration over the bearing's own level.
    level: f64,
    /// The snapshot at which it became worn.
    since: Option<usize>,
}

impl Wear {
    /// Takes in the logarithm of a snapshot's vibration.
    fn take(&mut self, value: f64) {
        self.seen += 1;
        if self.seen <= RUN_IN || !value.is_finite() {
            return;
        }
        if self.seen <= RUN_IN + BASELINE {
            self.baseline += value / BASELINE as f64;
            return;
        }
        self.level += WEIGHT * (value - self.baseline - self.level);
        match self.since {
            None if self.level > WORN.ln() => self.since = Some(self.seen),
            Some(_) if self.level < RELEASE.ln() => self.since = None,
            _ => {}
        }
    }
}

/// How long bearings last, and how long worn ones do.
struct Lives {
    whole: Weibull,
    worn: Weibull,
}

impl Lives {
    /// Follows a bearing to its last snapshot; the seconds that it has left then.
    fn follow(&self, bearing: &str, values: &[f64], desk: &mut dyn Desk) -> f64 {
        let mut wear = Wear::default();
        let mut told = false;
        for value in values {
            wear.take(*value);
            let seconds = STEP * wear.seen as f64;
            let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds as i64);
            let (lives, age) = self.state(&wear);
            if let Some(since) = wear.since {
                told = true;
                desk.up(&Candidate {
                    asset: bearing.to_owned(),
                    time: format!("{seconds:.0}"),
                    at: now.timestamp_micros(),
                    cause: CAUSE.to_owned(),
                    severity: Severity::High,
                    ratio: wear.level / WORN.ln(),
                    persistence: ((wear.seen - since) as f64 * STEP * 1e6) as i64,
                    agreeing: 1,
                    watching: 1,
                    failure: Some(lives.probability_within(age, HORIZON)),
                });
            } else if std::mem::take(&mut told) {
                desk.over(bearing, CAUSE);
            }
        }
        let (lives, age) = self.state(&wear);
        best_answer(lives, age)
    }

    /// The distribution of a bearing's state, and its age in it. **Units**: seconds.
    fn state(&self, wear: &Wear) -> (&Weibull, f64) {
        match wear.since {
            Some(since) => (&self.worn, STEP * (wear.seen - since) as f64),
            None => (&self.whole, STEP * wear.seen as f64),
        }
    }
}

/// The answer with the best expected score of the challenge.
fn best_answer(lives: &Weibull, age: f64) -> f64 {
    let quantile = |number: i32| lives.remaining(age, f64::from(number) / 200.0).max(STEP);
    let possible: Vec<f64> = (0..100).map(|number| quantile(2 * number + 1)).collect();
    let worth = |said: f64| {
        possible
            .iter()
            .map(|truth| score(said, *truth))
            .sum::<f64>()
    };
    let answers = possible.iter().copied();
    let better = |best: f64, next: f64| {
        if worth(next) > worth(best) {
            next
        } else {
            best
        }
    };
    answers.reduce(better).unwrap_or(STEP)
}

/// The score of the challenge for one bearing: 1 is exact; 5 % late or 20 % early is one half.
fn score(said: f64, truth: f64) -> f64 {
    let error = 100.0 * (truth - said) / truth;
    let half = if error <= 0.0 { -5.0 } else { 20.0 };
    0.5f64.powf(error / half)
}

/// The recordings of a folder with the logarithm of the vibration of every snapshot.
fn recordings(folder: &Path, part: &str) -> Result<Vec<(String, Vec<f64>)>, BenchError> {
    let inside = folder.join(part);
    let folder = if inside.is_dir() {
        inside
    } else {
        folder.to_owned()
    };
    let wanted = |path: &Path| stem(path).starts_with("Bearing");
    let read = |path: PathBuf| {
        let table = read_table(&path, b',')?;
        let column = |name: &str| table.header.iter().position(|header| header == name);
        let (Some(h), Some(v)) = (column("h_rms"), column("v_rms")) else {
            return Err(BenchError::Content {
                path,
                reason: "there are no columns h_rms and v_rms".to_owned(),
            });
        };
        let number = |row: &[String], at: usize| -> f64 {
            let cell = row.get(at).and_then(|cell| cell.parse().ok());
            cell.unwrap_or(f64::NAN)
        };
        let value = |row: &Vec<String>| (number(row, h).ln() + number(row, v).ln()) / 2.0;
        Ok((stem(&path), table.rows.iter().map(value).collect()))
    };
    files_below(&folder, wanted)?
        .into_iter()
        .map(read)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::orders::NoDesk;
    use super::*;

    #[test]
    fn wear_begins_when_vibration_stays_up_and_ends_when_it_is_down_again() {
        let mut wear = Wear::default();
        let mut feed = |value: f64, count: usize| {
            (0..count).for_each(|_| wear.take(value));
            wear.since
        };
        assert_eq!(feed(0.3, 300), None);
        assert_eq!(feed(3.0, 1), None);
        assert!(feed(1.3, 60).is_some());
        assert_eq!(feed(0.3, 60), None);
    }

    #[test]
    fn an_answer_is_rather_early_than_late() {
        let lives = Weibull {
            shape: 2.0,
            scale: 1_000.0,
            failures: 6,
            censored: 0,
        };
        let answer = best_answer(&lives, 0.0);
        assert!(answer < lives.remaining(0.0, 0.5), "{answer}");
        assert!((score(105.0, 100.0) - 0.5).abs() < 1e-9);
        assert!((score(80.0, 100.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn predicts_every_recording() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, count: usize, up: usize| {
            let row = |n: usize| {
                let rms = if n < up { 0.5 } else { 2.0 };
                format!("{n},{},{rms},{rms}\n", 10 * n)
            };
            let rows: String = (1..=count).map(row).collect();
            write(
                &folder.path().join(name),
                &format!("snapshot,clock_s,h_rms,v_rms\n{rows}"),
            )
            .unwrap();
        };
        for (number, life) in [600usize, 700, 800, 900].into_iter().enumerate() {
            file(&format!("learning/Bearing1_{number}.csv"), life, life - 60);
        }
        file("test/Bearing1_8.csv", 300, 1_000);
        file("test/Bearing1_9.csv", 500, 480);
        let places = Places {
            data: folder.path().to_owned(),
            train: None,
            out: folder.path().join("out"),
        };
        run(&places, &mut NoDesk).unwrap();
        let text = std::fs::read_to_string(folder.path().join("out/rul.csv")).unwrap();
        let rul = |line: usize| -> f64 {
            let line = text.lines().nth(line).unwrap();
            line.split(',').nth(1).unwrap().parse().unwrap()
        };
        assert!((3_000.0..6_000.0).contains(&rul(1)), "{text}");
        assert!((200.0..600.0).contains(&rul(2)), "{text}");
    }
}
