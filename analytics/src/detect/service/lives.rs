//! Remaining life of classes: the job that learns it from what is stored, and its versions.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use fieldwright_condition::prognosis::class_life::{ClassLifeModel, ClassLifeSettings, EndedLife};
use fieldwright_ingest::snapshot::ColdFile;

use super::Detection;
use super::shared::{READ_TRIES, Shared};
use super::studies::{Done, VersionError, canceled};
use crate::detect::engine::Columns;
use crate::detect::history::{HistoryError, Rows, read_table};
use crate::detect::jobs::{JobCell, JobResult};
use crate::detect::lives::LifeRecord;
use crate::detect::models::ModelFolderError;

/// Readings that a model is learned from, of the newest lives: a minute of one core, and 100 MB at
/// ten metrics.
const MOST_READINGS: usize = 100_000;
/// Why a life is left out that there is no room for.
const ENOUGH: &str = "newer lives are enough";
/// Share of a job that is over when all rows are read.
const READ: f64 = 0.5;
/// Batches that a file has, for want of a better guess.
const BATCHES_PER_FILE: usize = 8;
/// Lives left out whose reasons a failed job tells.
const TOLD: usize = 3;

impl Detection {
    /// All versions of a class's model of remaining life, the latest one first, and the one in use.
    ///
    /// **Errors** when they cannot be read.
    pub async fn life_versions(
        &self,
        class: &str,
    ) -> Result<(Vec<LifeRecord>, Option<String>), VersionError> {
        let (shared, class) = (Arc::clone(&self.shared), class.to_owned());
        let work = tokio::task::spawn_blocking(move || {
            let _turn = shared.life_turn();
            let models = shared.life_models();
            let in_use = models.get(&class).map(|model| model.version.clone());
            drop(models);
            Ok((shared.folder.life_versions(&class)?, in_use))
        });
        work.await.map_err(|_| VersionError::ShuttingDown)?
    }

    /// Puts a version of a class's model of remaining life in use for all of its assets: a
    /// candidate, or a former one again. The lives of the assets are followed by it from their
    /// beginnings on, from what is stored; until that is done the former one answers.
    ///
    /// **Errors**: see [`VersionError`].
    pub async fn promote_life(
        &self,
        class: &str,
        version: &str,
        by: &str,
    ) -> Result<LifeRecord, VersionError> {
        let shared = Arc::clone(&self.shared);
        let (class, name, by) = (class.to_owned(), version.to_owned(), by.to_owned());
        let work = tokio::task::spawn_blocking(move || {
            let _turn = shared.life_turn();
            let record = find(&shared, &class, &name)?;
            Ok(put_in_use(&shared, record, &by, shared.clock.now())?)
        });
        work.await.map_err(|_| VersionError::ShuttingDown)?
    }
}

/// A version that fits what its class is today.
fn find(shared: &Shared, class: &str, version: &str) -> Result<LifeRecord, VersionError> {
    let all = shared.folder.life_versions(class)?;
    let found = all.into_iter().find(|one| one.model.version == version);
    let (of, version) = (
        format!("of the remaining life of class {class}"),
        version.to_owned(),
    );
    match found {
        None => Err(VersionError::NotFound { of, version }),
        Some(record) if record.model.fits(shared.config.class(class)) => Ok(record),
        Some(_) => Err(VersionError::OtherSettings { of, version }),
    }
}

fn put_in_use(
    shared: &Shared,
    record: LifeRecord,
    by: &str,
    now: DateTime<Utc>,
) -> Result<LifeRecord, ModelFolderError> {
    let record = record.promoted(by, now);
    shared.folder.use_life(&record)?;
    let model = Arc::new(record.model.clone());
    shared.life_models().insert(model.class.clone(), model);
    Ok(record)
}

/// Learns the remaining life of a class from the lives that ended in the span of the job.
pub(super) fn run_life(
    shared: &Shared,
    cell: &JobCell,
    class: &str,
    promote: bool,
) -> Result<Done, String> {
    let settings = shared.engine().class_settings(class);
    let Some(declared) = settings.life.clone() else {
        return Err(format!(
            "class {class} declares nothing that tells of remaining life; say \
             [detect.classes.{class}.life] with its metrics and a cap"
        ));
    };
    let request = cell.report().request.clone();
    let told = ended(shared, class, &declared, (request.from, request.to));
    let (lives, left_out) = newest(shared, cell, &declared, (class, told))?;
    let learned = ClassLifeModel::learn(class, &declared, &lives, |done| {
        cell.goes_on(READ + (1.0 - READ) * done)
    });
    let learned = learned.map_err(|error| {
        let mut text = format!("class {class}: {error}");
        for (asset, why) in left_out.iter().take(TOLD) {
            text += &format!("; a life of {asset} is left out: {why}");
        }
        text
    })?;
    let model = learned.ok_or_else(canceled)?;
    let now = shared.clock.now();
    let result = JobResult::TrainedLife {
        version: model.version.clone(),
        lives: model.lives,
        left_out: left_out.len(),
    };
    let record = LifeRecord::new(model, &left_out, (&request.by, now));
    let _turn = shared.life_turn();
    let kept = match promote {
        true => put_in_use(shared, record, &request.by, now).map(drop),
        false => shared.folder.keep_life(&record),
    };
    kept.map_err(|error| error.to_string())?;
    Ok(Done {
        result,
        promoted: None,
        class_promoted: None,
    })
}

/// Lives with the reason why they are not learned from.
type LeftOut = Vec<(String, String)>;

/// The lives of a class that ended in the span, the newest first.
fn ended(
    shared: &Shared,
    class: &str,
    declared: &ClassLifeSettings,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Vec<EndedLife> {
    let (told, now) = (shared.lives(), shared.clock.now());
    let mut lives = Vec::new();
    for one in told.iter().filter(|one| one.class.to_lowercase() == class) {
        let (ended, _) = one.ended(now);
        let ended = ended.into_iter().filter(|(_, at)| (from..to).contains(at));
        lives.extend(ended.map(|span| EndedLife::new(&one.asset, span, declared)));
    }
    lives.sort_by(|a, b| (b.ended, &b.asset).cmp(&(a.ended, &a.asset)));
    lives
}

/// Of lives that stand the newest first those that a model is learned from, with their readings, in
/// the order of their ends; and the others with the reason.
///
/// Only readings that are there count, and only of lives that can be learned from. How many there
/// are is known once they are read: so as many lives are read at a time as fit by the time that they
/// lasted, until there are enough, and never is more in memory than that and one life.
fn newest(
    shared: &Shared,
    cell: &JobCell,
    declared: &ClassLifeSettings,
    (class, told): (&str, Vec<EndedLife>),
) -> Result<(Vec<EndedLife>, LeftOut), String> {
    let all = told.len();
    let mut waiting = VecDeque::from(told);
    let (mut kept, mut left_out): (Vec<EndedLife>, LeftOut) = (Vec::new(), Vec::new());
    let mut room = MOST_READINGS;
    while room > 0 && !waiting.is_empty() {
        let begun = all - waiting.len();
        let some = next_lives(&mut waiting, declared, room);
        let share = (part(begun, all), part(some.len(), all));
        let mut reader = Reader::new(declared, some);
        reader.read(shared, (cell, share), class)?;
        for life in reader.lives {
            match life.mistake(declared) {
                Some(why) => left_out.push((life.asset, why.to_string())),
                None if life.len() > room => {
                    // Lives that follow are older.
                    room = 0;
                    left_out.push((life.asset, ENOUGH.to_owned()));
                }
                None => {
                    room -= life.len();
                    kept.push(life);
                }
            }
        }
    }
    left_out.extend(
        waiting
            .into_iter()
            .map(|life| (life.asset, ENOUGH.to_owned())),
    );
    kept.reverse();
    Ok((kept, left_out))
}

/// The next lives that have so many readings at most when nothing is missing, and one at least.
fn next_lives(
    waiting: &mut VecDeque<EndedLife>,
    declared: &ClassLifeSettings,
    room: usize,
) -> Vec<EndedLife> {
    let (mut some, mut readings) = (Vec::new(), 0_usize);
    while let Some(life) = waiting.pop_front() {
        readings = readings.saturating_add(life.span(declared));
        if readings > room && !some.is_empty() {
            waiting.push_front(life);
            break;
        }
        some.push(life);
    }
    some
}

/// Stored rows on their way into lives.
struct Reader<'a> {
    declared: &'a ClassLifeSettings,
    lives: Vec<EndedLife>,
    /// The places of an asset's lives.
    places: BTreeMap<String, Vec<usize>>,
}

impl<'a> Reader<'a> {
    fn new(declared: &'a ClassLifeSettings, lives: Vec<EndedLife>) -> Self {
        let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, life) in lives.iter().enumerate() {
            places.entry(life.asset.clone()).or_default().push(place);
        }
        Self {
            declared,
            lives,
            places,
        }
    }

    /// Reads them; `begun` and `own` are the shares of all lives that were read before and that
    /// these are.
    fn read(
        &mut self,
        shared: &Shared,
        (cell, (begun, own)): (&JobCell, (f64, f64)),
        class: &str,
    ) -> Result<(), String> {
        let micros = |at: DateTime<Utc>| at.timestamp_micros();
        let from = self.lives.iter().map(|life| micros(life.began)).min();
        let to = self.lives.iter().map(|life| micros(life.ended)).max();
        let (Some(from), Some(to)) = (from, to) else {
            return Ok(());
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let snapshot = (shared.snapshots)();
            let table = snapshot.tables.iter().find(|(name, _)| ***name == *class);
            let Some((_, table)) = table else {
                return Err(format!("class {class} has no stored readings"));
            };
            let wanted = |file: &ColdFile| file.max_time >= from && file.min_time < to;
            let files = table.files.iter().filter(|file| wanted(file)).count();
            let batches = (files * BATCHES_PER_FILE + table.hot.len()).max(1);
            let (mut taken, mut stopped) = (0, false);
            let read = read_table(&snapshot.lake, table, Rows::InOrder, wanted, |batch| {
                self.take(batch);
                taken += 1;
                stopped = !cell.goes_on(READ * (begun + own * part(taken, batches)));
                match stopped {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            match read {
                _ if stopped => return Err(canceled()),
                // Files may be put together while they are read; a newer picture knows the new
                // ones, and rows that were taken before change nothing the second time.
                Err(HistoryError::Open { .. }) if tries < READ_TRIES => {}
                Err(error) => return Err(format!("class {class}: {error}")),
                Ok(()) => return Ok(()),
            }
        }
    }

    fn take(&mut self, batch: &RecordBatch) {
        let names: Vec<&str> = self.declared.columns().collect();
        let number = |name: &str| {
            let known = names.iter().position(|known| *known == name);
            known.unwrap_or(usize::MAX)
        };
        let Some(columns) = Columns::of(batch, number) else {
            return;
        };
        let slices = columns.by_metric(names.len());
        let mut last: Option<(&str, &[usize])> = None;
        for row in 0..batch.num_rows() {
            let tag = columns.asset(row);
            let places = match last {
                Some((known, places)) if known == tag => places,
                _ => self.places.get(tag).map_or(&[][..], Vec::as_slice),
            };
            last = Some((tag, places));
            for place in places {
                let value =
                    |column: usize| slices[column].as_ref().map_or(f64::NAN, |s| s.value(row));
                self.lives[*place].take(self.declared, columns.time(row), value);
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of batches are small")]
fn part(done: usize, all: usize) -> f64 {
    (done as f64 / all as f64).min(1.0)
}
