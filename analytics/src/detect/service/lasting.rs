//! How long the assets last: the present life of every asset is followed from what is stored, by the
//! model of its class that is in use.
//!
//! Nothing of it is saved: after a start, and when another version is put in use, the lives are
//! followed from their beginnings on, so the answer is the same. From then on only rows are read
//! that were stored since the last look. Late rows count once compaction has put them in order.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::Included;
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use fieldwright_condition::prognosis::ages::AssetLives;
use fieldwright_condition::prognosis::class_life::{ClassLifeModel, LifeCourse};
use fieldwright_ingest::clock::process_sleep;
use fieldwright_ingest::snapshot::{ColdFile, HotBatch, Snapshot, TableSnapshot};
use tokio::sync::watch;

use super::shared::{READ_TRIES, Shared, stopped};
use crate::detect::engine::Columns;
use crate::detect::history::{HistoryError, Rows, read_table};

/// Between two looks at what is stored. **Units**: process clock. Tests want to see many.
const LOOK_PERIOD: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 1000 });
/// Looks that are left out at most after files could not be opened.
const MOST_LEFT_OUT: u32 = 60;

/// The present lives of all assets whose class has a model of remaining life in use.
pub(super) struct Lasting {
    shared: Arc<Shared>,
    classes: BTreeMap<String, ClassLives>,
    /// When the present life of each asset began, by class and tag, as it was told last.
    begun: BTreeMap<String, BTreeMap<String, i64>>,
    told: Weak<Vec<AssetLives>>,
}

/// Those of one class.
struct ClassLives {
    model: Arc<ClassLifeModel>,
    lives: BTreeMap<Arc<str>, Followed>,
    /// Number of the snapshot that was looked at.
    sequence: u64,
    /// Number of the last journal record whose rows were read from a file.
    through: u64,
    /// The last batch that was read from memory.
    hot: Weak<HotBatch>,
    /// When lives began whose stored rows were not read yet, by asset.
    fresh: BTreeMap<Arc<str>, i64>,
    /// Files that cannot be read; nothing of them is followed any more.
    damaged: BTreeSet<String>,
    /// Looks to leave out, and how many it will be after the next failure.
    left_out: (u32, u32),
}

/// A life, and up to where its estimate was told.
struct Followed {
    course: LifeCourse,
    told: Option<i64>,
}

impl Lasting {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            classes: BTreeMap::new(),
            begun: BTreeMap::new(),
            told: Weak::new(),
        }
    }

    /// Follows until told to stop.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let stopping = stop.clone();
            let look = tokio::task::spawn_blocking(move || {
                self.look(&stopping);
                self
            });
            match look.await {
                Ok(again) => self = again,
                Err(error) => {
                    tracing::error!(%error, "remaining lives are not followed any more");
                    return;
                }
            }
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                () = process_sleep(LOOK_PERIOD) => {}
            }
        }
    }

    fn look(&mut self, stop: &watch::Receiver<bool>) {
        let models = self.shared.life_models().clone();
        if models.is_empty() {
            return;
        }
        self.hear();
        self.classes.retain(|class, _| models.contains_key(class));
        for (class, model) in models {
            if *stop.borrow() {
                return;
            }
            let known = self.classes.get(&class);
            if known.is_none_or(|known| known.model.version != model.version) {
                self.classes.insert(class.clone(), ClassLives::new(model));
            }
            let begun = self.begun.get(&class);
            if let Some(lives) = self.classes.get_mut(&class) {
                lives.look(&self.shared, begun, stop);
            }
        }
    }

    /// Takes note of what is told of lives, when that has changed.
    fn hear(&mut self) {
        let told = self.shared.lives();
        if Weak::ptr_eq(&self.told, &Arc::downgrade(&told)) {
            return;
        }
        let now = self.shared.clock.now();
        self.begun.clear();
        for one in told.iter() {
            let (_, began) = one.ended(now);
            let class = self.begun.entry(one.class.to_lowercase()).or_default();
            class.insert(one.asset.clone(), began.timestamp_micros());
        }
        self.told = Arc::downgrade(&told);
    }
}

impl ClassLives {
    fn new(model: Arc<ClassLifeModel>) -> Self {
        Self {
            model,
            lives: BTreeMap::new(),
            sequence: 0,
            through: 0,
            hot: Weak::new(),
            fresh: BTreeMap::new(),
            damaged: BTreeSet::new(),
            left_out: (0, 1),
        }
    }

    fn look(
        &mut self,
        shared: &Shared,
        begun: Option<&BTreeMap<String, i64>>,
        stop: &watch::Receiver<bool>,
    ) {
        self.begin(shared, begun);
        if self.left_out.0 > 0 {
            self.left_out.0 -= 1;
            return;
        }
        let sequence = (shared.snapshots)().sequence;
        if self.fresh.is_empty() && sequence == self.sequence {
            return;
        }
        let class = Arc::clone(&self.model);
        let class = &class.class;
        let mut tries = 0;
        loop {
            let snapshot = (shared.snapshots)();
            match self.read(&snapshot, stop) {
                Ok(()) => {
                    self.left_out.1 = 1;
                    break;
                }
                Err(error @ HistoryError::Read { .. }) => {
                    tracing::error!(
                        class,
                        ?error,
                        "a stored file is damaged; remaining lives go without its rows"
                    );
                    if let HistoryError::Read { path, .. } = error {
                        self.damaged.insert(path);
                    }
                }
                // Files may be put together while they are read; a newer picture knows the new
                // ones, and rows that were taken before change nothing the second time.
                Err(HistoryError::Open { .. }) if tries < READ_TRIES => tries += 1,
                Err(error) => {
                    let wait = self.left_out.1;
                    tracing::error!(
                        class,
                        ?error,
                        "stored rows cannot be read; remaining lives stay as they are, and \
                         this is tried again after {wait} looks"
                    );
                    self.left_out = (wait, (wait * 2).min(MOST_LEFT_OUT));
                    return;
                }
            }
        }
        // What is half read says nothing yet.
        if !*stop.borrow() {
            self.tell(shared);
        }
    }

    /// Begins the lives that are new, ends those that are over.
    fn begin(&mut self, shared: &Shared, begun: Option<&BTreeMap<String, i64>>) {
        let (watched, _) = shared.engine().assets_of(&self.model.class);
        let mut present = BTreeSet::new();
        for tag in watched {
            let Some(began) = begun.and_then(|begun| begun.get(&*tag)).copied() else {
                continue;
            };
            present.insert(Arc::clone(&tag));
            let known = self.lives.get(&tag);
            if known.is_none_or(|known| known.course.began() != began) {
                let course = self.model.begin(began);
                // What was said of another life, or by another version, is to be taken back.
                let told = Some(i64::MIN);
                self.fresh.insert(Arc::clone(&tag), began);
                self.lives.insert(tag, Followed { course, told });
            }
        }
        self.lives.retain(|tag, _| present.contains(tag));
        self.fresh.retain(|tag, _| present.contains(tag));
    }

    /// Reads what was not read yet, and of the fresh lives all rows from their beginnings on.
    fn read(
        &mut self,
        snapshot: &Snapshot,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), HistoryError> {
        let Some(table) = snapshot.tables.get(&*self.model.class) else {
            self.sequence = snapshot.sequence;
            return Ok(());
        };
        let mut table = TableSnapshot::clone(table);
        let last = table.hot.last().map(Arc::downgrade).unwrap_or_default();
        if self.fresh.is_empty() {
            let known = |hot: &Arc<HotBatch>| Weak::ptr_eq(&self.hot, &Arc::downgrade(hot));
            let read = table
                .hot
                .iter()
                .rposition(known)
                .map_or(0, |place| place + 1);
            table.hot.drain(..read);
        }
        let (through, fresh, damaged) = (self.through, self.fresh.clone(), self.damaged.clone());
        let wanted = |file: &ColdFile| {
            let needed = file.through > through || holds(file, &fresh);
            needed && !damaged.contains(file.path.as_ref())
        };
        let mut stopped = false;
        read_table(&snapshot.lake, &table, Rows::InOrder, wanted, |batch| {
            self.take(batch);
            stopped = *stop.borrow();
            match stopped {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        if !stopped {
            let files = table.files.iter().map(|file| file.through);
            self.through = files.max().unwrap_or(0).max(through);
            (self.hot, self.sequence) = (last, snapshot.sequence);
            self.fresh.clear();
        }
        Ok(())
    }

    fn take(&mut self, batch: &RecordBatch) {
        let model = Arc::clone(&self.model);
        let names: Vec<&str> = model.declared.columns().collect();
        let number = |name: &str| {
            let known = names.iter().position(|known| *known == name);
            known.unwrap_or(usize::MAX)
        };
        let Some(columns) = Columns::of(batch, number) else {
            return;
        };
        let slices = columns.by_metric(names.len());
        let mut row = 0;
        while row < batch.num_rows() {
            let tag = columns.asset(row);
            let mut life = self.lives.get_mut(tag);
            // Rows of one asset mostly stand together.
            while row < batch.num_rows() && columns.asset(row) == tag {
                if let Some(life) = &mut life {
                    let value =
                        |column: usize| slices[column].as_ref().map_or(f64::NAN, |s| s.value(row));
                    model.take(&mut life.course, columns.time(row), value);
                }
                row += 1;
            }
        }
    }

    /// Tells the engine what has changed.
    fn tell(&mut self, shared: &Shared) {
        let mut changed = Vec::new();
        for (tag, life) in &mut self.lives {
            let known = life.course.known_at();
            if life.told != known {
                life.told = known;
                let estimate = self.model.estimate(&life.course).map(Arc::new);
                changed.push((Arc::clone(tag), estimate));
            }
        }
        let (class, version) = (&self.model.class, &self.model.version);
        shared.engine().take_estimates(class, version, changed);
    }
}

/// Whether a file may hold rows of one of the assets from its instant on.
fn holds(file: &ColdFile, assets: &BTreeMap<Arc<str>, i64>) -> bool {
    // A range that ends before it begins is none, and asking for one panics.
    file.min_asset <= file.max_asset
        && assets
            .range::<str, _>((Included(&*file.min_asset), Included(&*file.max_asset)))
            .any(|(_, from)| file.max_time >= *from)
}
