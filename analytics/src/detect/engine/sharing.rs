//! Classes that learn as a whole: their models, and the assets that come to them.

use std::collections::HashSet;
use std::sync::Arc;

use fieldwright_condition::{ClassModel, Member, Model, Monitor, Sharing};

use super::super::track::Track;
use super::{ClassTracks, Engine, Finding, Found, class_tracks};

/// Steps between two trainings of a class that fail, when its learning period has no length.
const PAUSE: i64 = 100;

/// What an engine knows of a class that learns as a whole.
#[derive(Debug, Default)]
pub(super) struct ClassLearning {
    /// Its model in use.
    pub(super) model: Option<Arc<ClassModel>>,
    /// Whether it is being trained.
    training: bool,
    /// Event time before which it is not trained again. **Units**: microseconds since 1970.
    not_before: Option<i64>,
    /// Whether an asset has learned by itself since then: the next one is company for it, and need
    /// not wait.
    one_alone: bool,
}

impl Engine {
    /// The assets of a class that are watched there, and the class's metric names by number.
    pub fn assets_of(&self, class: &str) -> (Vec<Arc<str>>, Vec<String>) {
        let Some(tracks) = self.classes.get(class) else {
            return (Vec::new(), Vec::new());
        };
        let all = tracks.tags.iter().zip(&tracks.tracks);
        let owned = all.filter(|(_, track)| track.owned);
        (
            owned.map(|(tag, _)| Arc::clone(tag)).collect(),
            tracks.metrics.clone(),
        )
    }

    /// The model in use of a class.
    pub fn class_model(&self, class: &str) -> Option<Arc<ClassModel>> {
        self.classes.get(class)?.learning.model.clone()
    }

    /// Puts the model of a class in use, with its assets. Those that were judged by another model of
    /// the class and are not among them begin to collect a reference.
    ///
    /// Whether the class still learns as a whole.
    pub fn install_class(&mut self, model: Arc<ClassModel>, members: &[Member]) -> bool {
        let class: Arc<str> = model.class.as_str().into();
        let tracks = class_tracks(&mut self.classes, &self.config, &class);
        tracks.learning.training = false;
        if !model.fits(&tracks.settings) {
            return false;
        }
        tracks.learning.model = Some(Arc::clone(&model));
        let known: HashSet<&str> = members.iter().map(|member| &*member.asset).collect();
        for (tag, track) in tracks.tags.iter().zip(&mut tracks.tracks) {
            let watch = track.monitor.watch();
            let shares = watch.is_some_and(|watch| watch.model().reference.is_some());
            if shares && !known.contains(&**tag) {
                track.begin_reference(&tracks.settings);
            }
        }
        for member in members {
            let Some(tag) = self.claim(&member.asset, &class) else {
                continue;
            };
            let tracks = class_tracks(&mut self.classes, &self.config, &class);
            let number = tracks.asset(tag);
            let own = Arc::new(model.of(member));
            let track = &mut tracks.tracks[number];
            if track.monitor.watch().is_some() {
                // Held against another model, the index is another one.
                track.begin_history_at(track.monitor.newest(), &tracks.settings);
            }
            track.monitor.install(own, &tracks.metrics);
            track.shadow = None;
            track.dirty = true;
        }
        true
    }

    /// What classes had learned before a restart; gives the models of their assets, to be restored.
    pub fn know_classes(&mut self, classes: Vec<(ClassModel, Vec<Member>)>) -> Vec<Model> {
        let classes = classes.into_iter();
        classes
            .flat_map(|(model, members)| self.know_class(model, &members))
            .collect()
    }

    fn know_class(&mut self, model: ClassModel, members: &[Member]) -> Vec<Model> {
        let class: Arc<str> = model.class.as_str().into();
        let tracks = class_tracks(&mut self.classes, &self.config, &class);
        if !model.fits(&tracks.settings) {
            return Vec::new();
        }
        let models = members.iter().map(|member| model.of(member)).collect();
        tracks.learning.model = Some(Arc::new(model));
        models
    }

    /// The training of a class has ended without a model of it: it is tried again half a learning
    /// period later, or with the next asset when one has just learned by itself.
    pub fn class_not_learned(&mut self, class: &str) {
        if let Some(tracks) = self.classes.get_mut(class) {
            tracks.learning.training = false;
            if std::mem::take(&mut tracks.learning.one_alone) {
                return;
            }
            let newest = tracks.tracks.iter().map(|track| track.monitor.through());
            let settings = &tracks.settings;
            let pause = match settings.learning.micros() / 2 {
                0 => PAUSE.saturating_mul(settings.step.micros()),
                half => half,
            };
            tracks.learning.not_before = newest.max().map(|at| at.saturating_add(pause));
        }
    }
}

impl ClassTracks {
    /// Notes that an asset without a model has learned by itself.
    pub(super) fn note_alone(&mut self) {
        self.learning.one_alone |= self.settings.sharing == Sharing::Class;
    }

    /// The learning period of an asset is over: whether and on which span the class is to be learned.
    pub(super) fn is_due(&mut self, at: i64) -> Option<Finding> {
        let learning = &mut self.learning;
        let waits = learning.not_before.is_some_and(|before| at < before);
        if learning.model.is_some() || learning.training || waits {
            return None;
        }
        learning.training = true;
        learning.one_alone = false;
        let begun = self.tracks.iter().filter(|track| track.owned);
        let begun = begun.map(|track| track.monitor.learning_from()).min();
        let found = Found::TrainClass {
            class: Arc::clone(&self.class),
            from: super::instant(begun.unwrap_or(at)),
            to: super::instant(at),
        };
        Some(Finding {
            found,
            progress: None,
        })
    }
}

impl Track {
    /// Goes back to collecting windows, with its alarms as they stand.
    fn begin_reference(&mut self, settings: &Arc<fieldwright_condition::ClassSettings>) {
        debug_assert_eq!(settings.sharing, Sharing::Class);
        let alarms = self.monitor.alarms();
        let from = self.monitor.newest().saturating_add(1);
        self.monitor = Monitor::learning_again(Arc::clone(settings), from, alarms);
        self.shadow = None;
        if self.history.is_some() {
            self.begin_history_at(from, settings);
        }
        self.dirty = true;
    }
}
