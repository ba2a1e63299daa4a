//! Rows cut into readings, and the readings of lives that ended.

use chrono::{DateTime, SecondsFormat, Utc};

use super::super::life::Life;
use super::ClassLifeSettings;

/// Readings that a life must have: fewer have no course.
const LEAST_READINGS: usize = 20;

/// Means of the span of event time that is under way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Means {
    /// Length of a span. **Units**: microseconds.
    every: i64,
    /// Time of the newest row. **Units**: microseconds since 1970.
    newest: i64,
    /// Sum and number of the values of each column since the span began.
    sums: Vec<(f64, u32)>,
}

/// A life that ended in a failure, on its way to a model.
#[derive(Debug, Clone, PartialEq)]
pub struct EndedLife {
    /// The asset's tag.
    pub asset: String,
    /// When it began.
    pub began: DateTime<Utc>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// Its readings.
    pub(super) life: Life,
    means: Means,
}

/// Why a life is not learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLife {
    /// It has hardly been seen.
    #[error("{0} readings are stored of it, and {LEAST_READINGS} are needed")]
    Readings(usize),
    /// It was not seen to its end.
    #[error("its readings end at {}, long before it failed", .0.to_rfc3339_opts(SecondsFormat::Secs, true))]
    Silent(DateTime<Utc>),
}

impl Means {
    pub(super) fn new(every: i64) -> Self {
        Self {
            every: every.max(1),
            newest: i64::MIN,
            sums: Vec::new(),
        }
    }

    /// Takes in a row; gives the end of the span before, if the row is the first of another one,
    /// and its means: NaN where there were no values.
    pub(super) fn take(
        &mut self,
        at: i64,
        width: usize,
        value: impl Fn(usize) -> f64,
    ) -> Option<(i64, Vec<f64>)> {
        if at <= self.newest {
            return None;
        }
        let former = self.newest.div_euclid(self.every);
        let over = !self.sums.is_empty() && at.div_euclid(self.every) != former;
        let closed = over.then(|| {
            let mean = |(sum, count): (f64, u32)| sum / f64::from(count);
            let means = std::mem::take(&mut self.sums).into_iter().map(mean);
            (
                former.saturating_add(1).saturating_mul(self.every),
                means.collect(),
            )
        });
        self.newest = at;
        self.sums.resize(width, (0.0, 0));
        for (column, (sum, count)) in self.sums.iter_mut().enumerate() {
            let value = value(column);
            if value.is_finite() {
                *sum += value;
                *count += 1;
            }
        }
        closed
    }
}

impl EndedLife {
    /// A life of which nothing was read yet.
    pub fn new(
        asset: &str,
        (began, ended): (DateTime<Utc>, DateTime<Utc>),
        declared: &ClassLifeSettings,
    ) -> Self {
        Self {
            asset: asset.to_owned(),
            began,
            ended,
            life: Life::default(),
            means: Means::new(declared.every()),
        }
    }

    /// Readings so far.
    pub fn len(&self) -> usize {
        self.life.readings.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.life.readings.is_empty()
    }

    /// Readings that it would have without a gap.
    pub fn span(&self, declared: &ClassLifeSettings) -> usize {
        let micros = (self.ended - self.began).num_microseconds();
        let readings = micros.unwrap_or(i64::MAX) / declared.every().max(1);
        usize::try_from(readings).unwrap_or(0)
    }

    /// Takes in a row. One that is not of this life, or not newer than those before, changes
    /// nothing.
    pub fn take(&mut self, declared: &ClassLifeSettings, at: i64, value: impl Fn(usize) -> f64) {
        let began = self.began.timestamp_micros();
        if !(began..self.ended.timestamp_micros()).contains(&at) {
            return;
        }
        let width = declared.columns().count();
        if let Some((end, means)) = self.means.take(at, width, value) {
            self.life
                .readings
                .push(declared.reading((began, end), means));
        }
    }

    /// What keeps it from being learned from. Its last reading counts as the failure, since a
    /// machine that has failed is silent until it is mended; but not for longer than the cap.
    pub fn mistake(&self, declared: &ClassLifeSettings) -> Option<NoLife> {
        if self.len() < LEAST_READINGS {
            return Some(NoLife::Readings(self.len()));
        }
        let last = DateTime::from_timestamp_micros(self.means.newest)?;
        (self.ended - last > declared.cap.delta()).then_some(NoLife::Silent(last))
    }
}

/// A span of event time as hours.
pub(super) fn hours(micros: i64) -> f64 {
    micros as f64 / 3.6e9
}
