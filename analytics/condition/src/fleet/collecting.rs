//! Collecting the windows of a class, bounded whatever the number of its assets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::monitor::Monitor;
use super::super::window::Window;
use super::{
    ClassModel, FitError, LEAST_ASSETS, Learned, Learning, MIN_WINDOWS, Member, POOLED_WINDOWS,
    candidates, learn_class, learn_from,
};
use crate::settings::ClassSettings;

/// The assets of a class while its model is learned.
///
/// Of the assets whose windows may be pooled whole runs are kept, of the others a few windows that
/// tell their levels and spreads.
#[derive(Debug)]
pub struct Fleet {
    class: String,
    settings: Arc<ClassSettings>,
    metrics: Vec<String>,
    tags: Vec<Arc<str>>,
    pub(super) assets: Vec<Asset>,
    /// Windows in a row that are kept of an asset at most.
    pub(super) longest_run: usize,
}

#[derive(Debug)]
pub(super) struct Asset {
    monitor: Monitor,
    pub(super) spread: Learning,
    pub(super) run: Option<Learning>,
}

impl Fleet {
    /// Nothing yet of these assets; others are not of the class. `metrics` are the class's metric
    /// names by number.
    pub fn new(
        class: &str,
        settings: &Arc<ClassSettings>,
        tags: impl IntoIterator<Item = Arc<str>>,
        metrics: Vec<String>,
    ) -> Self {
        let mut tags: Vec<Arc<str>> = tags.into_iter().collect();
        tags.sort_unstable();
        tags.dedup();
        let windows = settings.learning.micros() / settings.step.micros().max(1);
        let counted = usize::try_from(settings.learning_readings).unwrap_or(usize::MAX);
        let usual = usize::try_from(windows).unwrap_or(0).max(counted).max(1);
        let pooled = (POOLED_WINDOWS / usual).max(LEAST_ASSETS).min(tags.len());
        let place = |number: usize| number * tags.len() / pooled.max(1);
        let mut chosen = (0..pooled).map(place).peekable();
        let assets = (0..tags.len()).map(|number| Asset {
            monitor: Monitor::new(Arc::clone(settings)),
            spread: Learning::thinned(settings),
            run: chosen.next_if_eq(&number).map(|_| Learning::new(settings)),
        });
        Self {
            class: class.to_owned(),
            settings: Arc::clone(settings),
            metrics,
            assets: assets.collect(),
            longest_run: POOLED_WINDOWS / pooled.max(1),
            tags,
        }
    }

    /// The class's metric names by number.
    pub fn metrics(&self) -> &[String] {
        &self.metrics
    }

    /// The class's number of a metric.
    pub fn metric(&mut self, name: &str) -> usize {
        let known = self.metrics.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.metrics.push(name.to_owned());
            self.metrics.len() - 1
        })
    }

    /// The number of an asset.
    pub fn asset(&self, tag: &str) -> Option<usize> {
        self.tags.binary_search_by(|known| (**known).cmp(tag)).ok()
    }

    /// How many assets.
    pub fn len(&self) -> usize {
        self.assets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.assets.is_empty()
    }

    /// The assets in so many parts, each to be fed by a thread of its own.
    pub fn parts(&mut self, parts: usize) -> impl Iterator<Item = Part<'_>> {
        let long = self.assets.len().div_ceil(parts.max(1)).max(1);
        let (settings, longest_run) = (&self.settings, self.longest_run);
        let parts = self.assets.chunks_mut(long).enumerate();
        parts.map(move |(place, assets)| Part {
            assets,
            first: place * long,
            settings,
            longest_run,
        })
    }

    /// What the windows take that are kept, and what is cut of the next ones. **Units**: bytes.
    pub fn heap_bytes(&self) -> usize {
        let of = |asset: &Asset| {
            let run = asset.run.as_ref().map_or(0, Learning::heap_bytes);
            size_of::<Asset>() + asset.monitor.heap_bytes() + asset.spread.heap_bytes() + run
        };
        self.assets.iter().map(of).sum()
    }

    /// Learns from what was collected; `goes_on` is told how many assets are done and may stop it:
    /// then there is nothing.
    ///
    /// **Errors** when no two assets have enough, nor one by itself, or a detector cannot be fitted.
    pub fn learn(
        &self,
        threads: usize,
        goes_on: impl Fn(usize) -> bool + Sync,
    ) -> Result<Option<Learned>, FitError> {
        let runs = self.tags.iter().zip(&self.assets);
        let runs = runs.filter_map(|(tag, asset)| Some((&**tag, asset.run.as_ref()?)));
        let runs: BTreeMap<&str, &Learning> = runs.collect();
        let able = candidates(&self.settings, &runs);
        if let [only] = &able[..]
            && self.assets.iter().filter(|one| one.has_enough()).count() < 2
        {
            let (class, settings) = (&self.class, &self.settings);
            let model = learn_from(only.tag, class, settings, &self.metrics, only.windows)?;
            return Ok(Some(Learned::Alone(Box::new(model))));
        }
        let model = learn_class(&self.class, &self.settings, &self.metrics, &runs)?;
        let Some(all) = self.refer(&model, threads, goes_on) else {
            return Ok(None);
        };
        let (mut members, mut left_out) = (Vec::new(), Vec::new());
        for (tag, member) in self.tags.iter().zip(all) {
            match member {
                Ok(member) => members.push(member),
                Err(error) => left_out.push((tag.to_string(), error)),
            }
        }
        Ok(Some(Learned::Class {
            model: Box::new(model),
            members,
            left_out,
        }))
    }

    /// What each asset has by itself; `None` when it was stopped.
    fn refer(
        &self,
        model: &ClassModel,
        threads: usize,
        goes_on: impl Fn(usize) -> bool + Sync,
    ) -> Option<Vec<Result<Member, FitError>>> {
        let spreads = self.tags.iter().zip(&self.assets);
        let spreads: Vec<(&str, &Learning)> = spreads
            .map(|(tag, asset)| (&**tag, &asset.spread))
            .collect();
        let long = spreads.len().div_ceil(threads.max(1)).max(1);
        let (settings, metrics) = (&*self.settings, &*self.metrics);
        let done = AtomicUsize::new(0);
        let one = |(tag, windows): &(&str, &Learning)| {
            let before = done.fetch_add(1, Ordering::Relaxed);
            if before.is_multiple_of(ASSETS_BETWEEN_LOOKS) && !goes_on(before) {
                return None;
            }
            Some(model.refer(tag, settings, metrics, windows))
        };
        std::thread::scope(|scope| {
            let one = &one;
            let part = |part| scope.spawn(move || <[_]>::iter(part).map(one).collect());
            let threads: Vec<_> = spreads.chunks(long).map(part).collect();
            let mut all = Vec::with_capacity(self.assets.len());
            for thread in threads {
                // A thread that panics has a bug; the others' work is of no use without it.
                let part: Option<Vec<_>> = thread.join().ok()?;
                all.extend(part?);
            }
            Some(all)
        })
    }
}

/// After so many assets somebody may say that it is enough.
const ASSETS_BETWEEN_LOOKS: usize = 100;

impl Asset {
    fn has_enough(&self) -> bool {
        self.spread.len() >= MIN_WINDOWS
    }
}

/// Some assets of a class, next to each other.
#[derive(Debug)]
pub struct Part<'a> {
    assets: &'a mut [Asset],
    first: usize,
    settings: &'a ClassSettings,
    longest_run: usize,
}

impl Part<'_> {
    /// Takes a reading of an asset by its number, in order of event time: `value(m)` is the value of
    /// the class's metric `m`, NaN when missing. Whether the asset is one of this part.
    pub fn take(
        &mut self,
        asset: usize,
        time: i64,
        metrics: usize,
        value: impl Fn(usize) -> f64,
    ) -> bool {
        let place = asset.checked_sub(self.first);
        let Some(asset) = place.and_then(|place| self.assets.get_mut(place)) else {
            return false;
        };
        let Asset {
            monitor,
            spread,
            run,
        } = asset;
        monitor.cut(time, metrics, value, |window: Window| {
            if window.rows < self.settings.min_samples {
                return;
            }
            spread.push(&window);
            if let Some(run) = run {
                if run.len() >= self.longest_run + self.longest_run / 8 {
                    // The newest are the ones that count.
                    run.drop_first(run.len() - self.longest_run);
                }
                run.push(&window);
            }
        });
        true
    }
}
