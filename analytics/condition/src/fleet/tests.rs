use std::sync::Arc;

use super::super::detectors::Fitted;
use super::super::model::learn;
use super::super::monitor::{Monitor, News};
use super::super::settings::tests::settings;
use super::super::watch::{SavedWatch, Verdict};
use super::*;

/// **Units**: microseconds.
const MINUTE: i64 = 60_000_000;
/// Windows of the learning period.
const LEARNING: usize = 288;
/// Windows of a reference.
const REFERENCE: usize = 48;

fn names() -> Vec<String> {
    ["current_a", "flow_m3h", "pressure_bar", "vibration_mm_s"]
        .map(str::to_owned)
        .to_vec()
}

fn shared() -> Arc<ClassSettings> {
    Arc::new(settings(
        "sharing = 'class'\nreference_windows = 48\nwindow = '10m'\nstep = '10m'\nlearning = '2d'\n\
         min_duration = '30m'\ndetectors.pca.with = { drift_lag = '3h', limit_factor = 2.0 }",
    ))
}

/// An asset of its own size and levels whose metrics follow a load.
#[derive(Clone)]
struct Machine {
    tag: String,
    size: f64,
    state: u64,
    /// Metrics that it does not have.
    lacks: Vec<usize>,
    /// Metrics that stand still, and until which window.
    stuck: (Vec<usize>, usize),
    /// From which window on its vibration no longer follows the load, and by how much.
    fault: usize,
    by: f64,
    load: f64,
}

impl Machine {
    fn new(number: usize) -> Self {
        Self {
            tag: format!("P-{number:03}"),
            size: 1.0 + (number * 7 % 11) as f64,
            state: (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            lacks: Vec::new(),
            stuck: (Vec::new(), 0),
            fault: usize::MAX,
            by: 0.4,
            load: 0.0,
        }
    }

    /// About normal, deviation 1.
    fn noise(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..12 {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            sum += (self.state >> 11) as f64 / (1_u64 << 53) as f64;
        }
        sum - 6.0
    }

    /// Five readings of a window.
    fn read(&mut self, window: usize) -> Vec<(i64, Vec<f64>)> {
        self.load = 0.9 * self.load + 0.4 * self.noise();
        let load = self.load;
        let base = i64::try_from(window).unwrap() * 10 * MINUTE;
        (0..5)
            .map(|reading| {
                let noise: Vec<f64> = (0..4).map(|_| self.noise()).collect();
                let mut values = vec![
                    self.size * (50.0 + 5.0 * load + noise[0]),
                    self.size * (200.0 + 20.0 * load + 4.0 * noise[1]),
                    3.0 + self.size - 0.3 * load + 0.05 * noise[2],
                    1.0 + 0.1 * self.size * (2.0 + load + 0.2 * noise[3]),
                ];
                if window >= self.fault {
                    values[3] += self.by * self.size;
                }
                for lacking in &self.lacks {
                    values[*lacking] = f64::NAN;
                }
                if window < self.stuck.1 {
                    for still in &self.stuck.0 {
                        values[*still] = 7.0;
                    }
                }
                (base + reading * 2 * MINUTE, values)
            })
            .collect()
    }
}

fn fleet_of(settings: &Arc<ClassSettings>, machines: &[Machine], windows: usize) -> Fleet {
    let tags = machines.iter().map(|machine| machine.tag.as_str().into());
    let mut fleet = Fleet::new("pump", settings, tags, names());
    for machine in machines {
        let asset = fleet.asset(&machine.tag).unwrap();
        let mut machine = machine.clone();
        for window in 0..windows {
            for (time, values) in machine.read(window) {
                let taken: Vec<bool> = fleet
                    .parts(2)
                    .map(|mut part| part.take(asset, time, 4, |metric| values[metric]))
                    .collect();
                assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
            }
        }
    }
    fleet
}

#[track_caller]
fn learned(fleet: &Fleet) -> (ClassModel, Vec<Member>, Vec<(String, FitError)>) {
    match fleet.learn(2, |_| true).unwrap().unwrap() {
        Learned::Class {
            model,
            members,
            left_out,
        } => (*model, members, left_out),
        Learned::Alone(model) => panic!("alone: {}", model.version),
    }
}

/// The verdicts of an asset, by the number of the window, from `from` on under a model.
fn watch(
    settings: &Arc<ClassSettings>,
    model: Model,
    machine: &Machine,
    (from, to): (usize, usize),
) -> (Vec<(usize, Verdict)>, Monitor) {
    let mut machine = machine.clone();
    for window in 0..from {
        machine.read(window);
    }
    let mut monitor = Monitor::with_model(Arc::clone(settings), Arc::new(model));
    monitor.know_metrics(&names());
    let mut said = Vec::new();
    for window in from..to {
        for (time, values) in machine.read(window) {
            monitor.take(
                time,
                4,
                |metric| values[metric],
                |news| {
                    if let News::Judged(_, judgement) = news {
                        said.extend(judgement.verdicts[0].map(|verdict| (window, verdict)));
                    }
                },
            );
        }
    }
    (said, monitor)
}

fn alarms(said: &[(usize, Verdict)]) -> usize {
    said.iter().filter(|(_, verdict)| verdict.alarm).count()
}

fn machines(number: usize) -> Vec<Machine> {
    (0..number).map(Machine::new).collect()
}

#[test]
fn assets_of_all_sizes_are_judged_by_one_model_in_their_own_units() {
    let settings = shared();
    let mut all = machines(12);
    let (model, members, left_out) = learned(&fleet_of(&settings, &all, LEARNING));
    assert_eq!((model.assets, members.len(), left_out.len()), (12, 12, 0));
    assert_eq!(model.windows, 12 * (LEARNING - 1));
    assert!(model.fits(&settings));
    let detectors = &model.of(&members[0]).detectors;
    for (number, machine) in all.iter_mut().enumerate() {
        let own = model.of(&members[number]);
        assert_eq!(own.asset, machine.tag);
        assert!(own.detectors.is(detectors), "the detectors are there once");
        assert!(own.fits(&settings));
        let span = (LEARNING, 2 * LEARNING);
        let (said, _) = watch(&settings, own.clone(), machine, span);
        assert!(said.len() > 200);
        assert_eq!(alarms(&said), 0, "{} is well", machine.tag);

        machine.fault = LEARNING + 100;
        let (said, monitor) = watch(&settings, own, machine, span);
        let first = said.iter().find(|(_, verdict)| verdict.alarm);
        let (raised, _) = first.expect("the fault is found");
        assert!(
            (machine.fault..machine.fault + 10).contains(raised),
            "{raised}"
        );
        let health = monitor.watch().unwrap().condition(&settings).unwrap();
        assert!(
            health.asset.reasons[0].text.contains("vibration_mm_s"),
            "{health:?}"
        );
    }
}

#[test]
fn explanations_are_in_the_units_of_the_asset() {
    let settings = shared();
    let mut all = machines(6);
    let (model, members, _) = learned(&fleet_of(&settings, &all, LEARNING));
    // Of size 8: its flow is about 1600.
    let machine = &mut all[1];
    machine.fault = LEARNING;
    let own = Arc::new(model.of(&members[1]));
    let mut monitor = Monitor::with_model(Arc::clone(&settings), Arc::clone(&own));
    monitor.know_metrics(&names());
    let mut machine = machine.clone();
    let mut explained = None;
    for window in 0..LEARNING + 20 {
        for (time, values) in machine.read(window) {
            let mut judged = None;
            monitor.take(
                time,
                4,
                |metric| values[metric],
                |news| {
                    if let News::Judged(window, _) = news {
                        judged = Some(window);
                    }
                },
            );
            if let Some(window) = judged {
                explained = Some((monitor.watch().unwrap().explain(&window, 0), window));
            }
        }
    }
    let (explanation, window) = explained.unwrap();
    for part in &explanation.contributions {
        let feature = &own.features[part.feature];
        let metric = names().iter().position(|name| *name == feature.metric);
        let seen = window.metrics[metric.unwrap()].mean;
        assert!(
            (part.observed - seen).abs() < 1e-6 * seen.abs(),
            "{}: {} is not {seen}",
            feature.metric,
            part.observed
        );
    }
    let first = &explanation.contributions[0];
    assert_eq!(own.features[first.feature].metric, "vibration_mm_s");
    let more = first.observed - first.expected;
    assert!(
        (more - 0.4 * machine.size).abs() < 0.15 * machine.size,
        "{more}"
    );
    assert!(first.deviations > 3.0);
}

#[test]
fn the_order_in_which_assets_come_changes_nothing() {
    let settings = shared();
    let mut all = machines(9);
    let (one, members, _) = learned(&fleet_of(&settings, &all, 60));
    all.reverse();
    all.swap(2, 5);
    let (other, same, _) = learned(&fleet_of(&settings, &all, 60));
    assert_eq!(one, other);
    assert_eq!(members, same);
}

#[test]
fn a_new_asset_is_judged_after_its_reference_and_not_before() {
    let settings = shared();
    let (model, _, _) = learned(&fleet_of(&settings, &machines(8), LEARNING));
    let mut new = Machine::new(77);
    new.fault = 120;
    let mut monitor = Monitor::new(Arc::clone(&settings));
    let (mut began, mut raised) = (None, None);
    for window in 0..160 {
        for (time, values) in new.read(window) {
            let mut news = Vec::new();
            monitor.take(time, 4, |metric| values[metric], |one| news.push(one));
            if let Some(own) = model.of_new("P-077", &settings, &names(), &monitor) {
                monitor.install(Arc::new(own.unwrap()), &names());
                began = Some(window);
            }
            for one in news {
                if let News::Judged(_, judgement) = one {
                    let alarm = judgement.verdicts[0].is_some_and(|verdict| verdict.alarm);
                    raised = raised.or(alarm.then_some(window));
                }
            }
        }
    }
    assert_eq!(began, Some(REFERENCE), "far before {LEARNING} windows");
    let raised = raised.expect("the fault is found");
    assert!((new.fault..new.fault + 10).contains(&raised), "{raised}");
}

#[test]
fn a_class_of_one_asset_learns_as_if_nothing_were_shared() {
    let settings = shared();
    let all = machines(1);
    let fleet = fleet_of(&settings, &all, LEARNING);
    let Some(Learned::Alone(found)) = fleet.learn(2, |_| true).unwrap() else {
        panic!("a class of one has nobody to share with");
    };
    let mut windows = Vec::new();
    let mut monitor = Monitor::new(Arc::clone(&settings));
    let mut machine = all[0].clone();
    for window in 0..LEARNING {
        for (time, values) in machine.read(window) {
            monitor.cut(time, 4, |m| values[m], |window| windows.push(window));
        }
    }
    let alone = learn("P-000", "pump", &settings, &names(), &windows).unwrap();
    assert_eq!(*found, alone);
    assert!(found.reference.is_none() && found.fits(&settings));

    // One that has hardly begun is nobody to share with either.
    let mut two = fleet_of(&settings, &machines(2), 12);
    let nobody = two.learn(2, |_| true).unwrap_err();
    assert_eq!(nobody, FitError::TooFewAssets { found: 0 });
    let asset = two.asset("P-001").unwrap();
    let mut machine = Machine::new(1);
    for window in 0..LEARNING {
        for (time, values) in machine.read(window) {
            for mut part in two.parts(1) {
                part.take(asset, time, 4, |m| values[m]);
            }
        }
    }
    let found = two.learn(2, |_| true).unwrap();
    assert!(matches!(found, Some(Learned::Alone(model)) if model.asset == "P-001"));
}

#[test]
fn an_asset_without_a_feature_is_judged_by_the_others_and_one_without_most_is_not() {
    let settings = shared();
    let mut all = machines(8);
    all[3].lacks = vec![2];
    all[5].lacks = vec![0, 2];
    let (model, members, left_out) = learned(&fleet_of(&settings, &all, LEARNING));
    assert_eq!(model.features.len(), 4, "most assets have all four");
    assert_eq!(model.assets, 6, "only whole windows are pooled");
    let wrong = FitError::FeaturesMissing {
        found: 2,
        wanted: 4,
    };
    assert_eq!(left_out, [("P-005".to_owned(), wrong)]);
    let own = members.iter().find(|member| member.asset == "P-003");
    let own = model.of(own.unwrap());
    let span = (LEARNING, 2 * LEARNING);
    assert_eq!(alarms(&watch(&settings, own.clone(), &all[3], span).0), 0);
    all[3].fault = LEARNING + 50;
    assert!(alarms(&watch(&settings, own, &all[3], span).0) > 200);
}

#[test]
fn a_metric_that_stood_still_in_the_reference_is_judged_by_the_spread_of_the_class() {
    let settings = shared();
    let mut all = machines(8);
    all[2].stuck = (vec![1], usize::MAX);
    let (model, members, _) = learned(&fleet_of(&settings, &all, LEARNING));
    let at = model.features.iter().position(|f| f.metric == "flow_m3h");
    let at = at.unwrap();
    let own = &members[2].reference;
    assert_eq!(own.center[at], 7.0);
    assert_eq!(own.scale[at], model.spreads[at].usual);
    assert!(members.iter().all(|member| {
        let scale = &member.reference.scale;
        scale.iter().all(|scale| *scale > 0.0 && scale.is_finite())
    }));
    let (said, _) = watch(
        &settings,
        model.of(&members[2]),
        &all[2],
        (LEARNING, 2 * LEARNING),
    );
    assert_eq!(alarms(&said), 0);
}

#[test]
fn a_fault_of_one_asset_is_not_learned_by_the_class() {
    let settings = shared();
    let mut all = machines(8);
    // The last two hours of the learning period.
    all[4].fault = LEARNING - 12;
    all[4].by = 4.0;
    let (model, members, _) = learned(&fleet_of(&settings, &all, LEARNING));
    assert_eq!(model.windows, 8 * (LEARNING - 1) - 11);
    let own = model.of(&members[4]);
    all[4].by = 0.4;
    let (said, _) = watch(&settings, own, &all[4], (LEARNING, LEARNING + 50));
    assert!(alarms(&said) > 40);
}

#[test]
fn what_is_kept_of_class_and_assets_gives_the_same_models_again() {
    let settings = shared();
    let all = machines(4);
    let (model, members, _) = learned(&fleet_of(&settings, &all, LEARNING));
    let text = serde_json::to_string(&model).unwrap();
    let again: ClassModel = serde_json::from_str(&text).unwrap();
    // JSON readers may miss the last bit of what was learned.
    let again = ClassModel {
        spreads: model.spreads.clone(),
        detectors: model.detectors.clone(),
        evaluation: model.evaluation.clone(),
        ..again
    };
    assert_eq!(again, model);
    for member in &members {
        let text = serde_json::to_string(member).unwrap();
        let kept: Member = serde_json::from_str(&text).unwrap();
        let own = again.of(&kept);
        assert_eq!(own, model.of(member));
        assert_eq!(Member::of(&own).unwrap(), *member);
        assert_eq!(own.reference.as_ref().unwrap().class_model, model.version);
        assert!(own.version.starts_with(&member.asset));
        // A model by itself, as a version in the registry is.
        let text = serde_json::to_string(&own).unwrap();
        let alone: Model = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&alone.reference, &alone.version),
            (&own.reference, &own.version)
        );
        assert!(alone.fits(&settings));
    }
    // A restart in the middle says the same.
    let own = model.of(&members[1]);
    let (whole, _) = watch(&settings, own.clone(), &all[1], (LEARNING, LEARNING + 60));
    let (mut first, monitor) = watch(&settings, own.clone(), &all[1], (LEARNING, LEARNING + 30));
    let saved = serde_json::to_string(&monitor.watch().unwrap().save()).unwrap();
    let saved: SavedWatch = serde_json::from_str(&saved).unwrap();
    let mut monitor = Monitor::resumed(
        Arc::clone(&settings),
        Arc::new(own),
        &saved,
        0,
        monitor.through(),
    );
    monitor.know_metrics(&names());
    let mut machine = all[1].clone();
    for window in 0..LEARNING + 60 {
        for (time, values) in machine.read(window) {
            if window < LEARNING + 28 {
                continue;
            }
            monitor.take(
                time,
                4,
                |metric| values[metric],
                |news| {
                    if let News::Judged(_, judgement) = news {
                        first.extend(judgement.verdicts[0].map(|verdict| (window, verdict)));
                    }
                },
            );
        }
    }
    // The first reading after it is another, so sums differ in their last bit.
    let rounded = |said: &[(usize, Verdict)]| -> Vec<(usize, bool, i64)> {
        let one =
            |(window, said): &(usize, Verdict)| (*window, said.alarm, (said.ratio * 1e9) as i64);
        said.iter().map(one).collect()
    };
    assert_eq!(rounded(&first), rounded(&whole));
}

#[test]
fn a_model_fits_only_the_way_of_learning_that_it_came_from() {
    let settings = shared();
    let (model, members, _) = learned(&fleet_of(&settings, &machines(3), LEARNING));
    let mut apart = (*settings).clone();
    apart.sharing = Sharing::Asset;
    assert!(!model.fits(&apart) && !model.of(&members[0]).fits(&apart));
    let mut other = (*settings).clone();
    other.ignore = vec!["flow_m3h".to_owned()];
    assert!(!model.fits(&other) && !model.of(&members[0]).fits(&other));
    let mut factor = (*settings).clone();
    let text = "detectors.pca.with.limit_factor = 9.0";
    factor.detectors = super::super::settings::tests::settings(text).detectors;
    assert!(
        model.fits(&factor),
        "a factor is no part of what was learned"
    );
}

#[test]
fn what_is_pooled_and_what_is_kept_of_an_asset_is_bounded() {
    let settings = shared();
    let tags = (0..3_000).map(|number| format!("P-{number:05}").as_str().into());
    let fleet = Fleet::new("pump", &settings, tags, names());
    let runs = fleet.assets.iter().filter(|asset| asset.run.is_some());
    assert_eq!(runs.count(), POOLED_WINDOWS / LEARNING);
    let mut long = (*settings).clone();
    long.learning = "100d".parse().unwrap();
    let tags = (0..3_000).map(|number| format!("P-{number:05}").as_str().into());
    let fleet = Fleet::new("pump", &Arc::new(long), tags, names());
    let runs = fleet.assets.iter().filter(|asset| asset.run.is_some());
    assert_eq!(runs.count(), LEAST_ASSETS);
    assert_eq!(fleet.longest_run, POOLED_WINDOWS / LEAST_ASSETS);

    let one = fleet_of(&shared(), &machines(1), 200).heap_bytes();
    let more = fleet_of(&shared(), &machines(1), 2_000);
    let spread = &more.assets[0].spread;
    assert!(spread.len() <= 128 && spread.len() > 32, "{}", spread.len());
    assert_eq!(spread.seen(), 1_999);
    assert!(spread.heap_bytes() < 5_000, "{}", spread.heap_bytes());
    assert!(one < more.heap_bytes());
}

#[test]
fn a_training_that_is_stopped_gives_nothing() {
    let fleet = fleet_of(&shared(), &machines(3), 60);
    assert_eq!(fleet.learn(2, |_| false).unwrap(), None);
}

#[test]
fn other_detectors_learn_as_a_class_too() {
    for text in [
        "kind = 'controlled'\nlearning_readings = 240\ndetectors.relations.with = { past = 2, future = 2 }",
        "kind = 'slow_machine'\ndetectors.residuals.with = { inputs = ['current_a'], set_points = [] }",
    ] {
        let mut own = settings(text);
        own.window = if own.window.micros() == 0 {
            own.window
        } else {
            Span::seconds(600)
        };
        own.step = Span::seconds(if own.window.micros() == 0 { 1 } else { 600 });
        own.min_samples = 1;
        own.min_duration = Span::seconds(1_800);
        own.sharing = Sharing::Class;
        own.reference_windows = 100;
        own.learning = Span::seconds(172_800);
        assert_eq!(own.mistakes(), Vec::<String>::new(), "{text}");
        let own = Arc::new(own);
        let mut all = machines(6);
        let (model, members, left_out) = learned(&fleet_of(&own, &all, LEARNING));
        assert_eq!((members.len(), left_out.len()), (6, 0));
        assert!(
            model
                .detectors
                .values()
                .all(|fitted| !matches!(fitted, Fitted::Pca(_)))
        );
        let span = (LEARNING, LEARNING + 200);
        let (said, _) = watch(&own, model.of(&members[2]), &all[2], span);
        let share = alarms(&said) as f64 / said.len() as f64;
        assert!(share < 0.02, "{text}: {share}");
        all[2].fault = LEARNING + 50;
        let (said, _) = watch(&own, model.of(&members[2]), &all[2], span);
        assert!(alarms(&said) > said.len() / 4, "{text}: {}", alarms(&said));
    }
}

#[test]
fn what_cannot_be_shared_is_refused_with_a_sentence() {
    let mistakes = |text: &str| settings(&format!("sharing = 'class'\n{text}")).mistakes();
    assert_eq!(mistakes(""), Vec::<String>::new());
    let found = mistakes("kind = 'univariate'");
    assert!(
        found[0].contains("knows the past of one asset"),
        "{found:?}"
    );
    let found = mistakes("kind = 'machine'");
    assert!(
        found.iter().any(|m| m.contains("tolerance is a share")),
        "{found:?}"
    );
    let found = mistakes("reference_windows = 3");
    assert!(found[0].contains("from 20 to 20000"), "{found:?}");
    assert_eq!(
        settings("reference_windows = 3").mistakes(),
        Vec::<String>::new()
    );
}
