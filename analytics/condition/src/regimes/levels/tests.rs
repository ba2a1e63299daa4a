use std::sync::Arc;

use crate::bench::Feed;
use crate::settings::tests::settings;
use crate::watch::SavedWatch;
use crate::{ClassSettings, Judgement, Model, Monitor, News};

/// **Units**: microseconds.
const MINUTE: i64 = 60_000_000;

const OWN: &str = "window = '10m'\nstep = '10m'\nlearning = '4d'\nmin_duration = '30m'\n\
                   regimes = { settings = ['speed_pct', 'load_pct'] }";

/// Whole sixty-fourths between -1 and 1 that look random.
fn noise(place: i64) -> f64 {
    let mixed = (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed >> 40) % 129) as f64 / 64.0 - 1.0
}

fn names() -> Vec<String> {
    ["flow", "speed_pct", "load_pct", "vibration", "command"]
        .map(str::to_owned)
        .to_vec()
}

/// Three ways of running, hours each; vibration is forty times as lively in the third.
const WAYS: [(f64, f64, f64, f64, f64); 3] = [
    (30.0, 20.0, 100.0, 1.0, 0.05),
    (60.0, 20.0, 220.0, 4.0, 0.2),
    (90.0, 80.0, 300.0, 30.0, 2.0),
];

/// What the machine shows at a minute when it is run in a way.
fn reading(minute: i64, way: (f64, f64, f64, f64, f64)) -> [f64; 5] {
    let (speed, load, flow, level, lively) = way;
    [
        flow + 4.0 * noise(5 * minute),
        speed + 0.25 * noise(5 * minute + 1),
        load + 0.25 * noise(5 * minute + 2),
        level + lively * noise(5 * minute + 3),
        speed,
    ]
}

fn way(minute: i64) -> (f64, f64, f64, f64, f64) {
    WAYS[(minute / 200).rem_euclid(3) as usize]
}

struct Fed {
    feed: Feed,
    settings: Arc<ClassSettings>,
    minute: i64,
}

impl Fed {
    /// A machine that has learned for five days.
    fn learned(own: &str) -> Self {
        let settings = Arc::new(settings(own));
        assert_eq!(settings.mistakes(), Vec::<String>::new());
        let feed = Feed::fresh("P-1".into(), names(), &settings);
        let mut fed = Self {
            feed,
            settings,
            minute: 0,
        };
        fed.run(5 * 1_440, |minute| reading(minute, way(minute)));
        fed
    }

    fn run(&mut self, minutes: i64, reading: impl Fn(i64) -> [f64; 5]) -> Vec<Judgement> {
        let mut said = Vec::new();
        for minute in self.minute..self.minute + minutes {
            let taken = self.feed.take(minute * MINUTE, &reading(minute));
            said.extend(taken.map(|(_, judgement)| judgement));
        }
        self.minute += minutes;
        said
    }

    fn model(&self) -> &Arc<Model> {
        self.feed.monitor().watch().unwrap().model()
    }

    fn unknown(&self) -> u64 {
        self.feed.monitor().watch().unwrap().unknown_windows()
    }
}

fn alarms(said: &[Judgement]) -> usize {
    said.iter()
        .filter(|one| one.verdicts[0].unwrap().alarm)
        .count()
}

#[test]
fn every_way_of_running_is_judged_by_itself() {
    let mut fed = Fed::learned(OWN);
    let regimes = fed.model().regimes.as_ref().unwrap();
    assert_eq!(regimes.count(), 3);
    let features: Vec<String> = fed.model().features.iter().map(|f| f.name()).collect();
    assert_eq!(features, ["flow", "vibration"]);
    let reason = |metric: &str| {
        let left_out = fed.model().left_out.iter();
        left_out
            .filter(|own| own.metric == metric)
            .map(|own| own.reason.clone())
            .collect::<String>()
    };
    assert!(reason("speed_pct").contains("setting channel"));
    assert!(reason("command").contains("within any regime"));
    let quiet = fed.run(1_440, |minute| reading(minute, way(minute)));
    assert!(quiet.len() > 120, "{}", quiet.len());
    assert_eq!(alarms(&quiet), 0);
    // Vibration of a mm/s more is nothing in the third way, and very much in the first.
    let more = |minute: i64, way| {
        let mut values = reading(minute, way);
        values[3] += 1.0;
        values
    };
    assert_eq!(alarms(&fed.run(200, |minute| more(minute, WAYS[2]))), 0);
    let fault = fed.run(200, |minute| more(minute, WAYS[0]));
    assert!(alarms(&fault) > 10, "{fault:?}");
}

#[test]
fn what_is_said_has_the_numbers_of_the_regime() {
    let mut fed = Fed::learned(OWN);
    let fault = |minute| {
        let mut values = reading(minute, WAYS[0]);
        values[3] += 1.0;
        values
    };
    let mut last = None;
    for _ in 0..200 {
        let minute = fed.minute;
        last = fed.feed.take(minute * MINUTE, &fault(minute)).or(last);
        fed.minute += 1;
    }
    let (window, _) = last.unwrap();
    let said = fed.feed.monitor().watch().unwrap().explain(&window, 0);
    let first = &said.contributions[0];
    assert_eq!(fed.model().features[first.feature].metric, "vibration");
    assert!((first.observed - 2.0).abs() < 0.1, "{first:?}");
    assert!((first.expected - 1.0).abs() < 0.5, "{first:?}");
    assert!(said.facts["regime"].is_number());
}

#[test]
fn a_transition_and_an_unseen_regime_are_unknown_and_raise_nothing() {
    let mut fed = Fed::learned(OWN);
    let before = fed.unknown();
    let between = |minute: i64| reading(minute, if minute % 10 < 5 { WAYS[0] } else { WAYS[1] });
    // The first reading closes the window before, the last window is still open.
    assert_eq!(fed.run(50, between).len(), 1, "half of each");
    assert_eq!(fed.unknown(), before + 4);
    let unseen = (45.0, 55.0, 900.0, 90.0, 5.0);
    assert_eq!(fed.run(300, |minute| reading(minute, unseen)).len(), 0);
    assert_eq!(fed.unknown(), before + 34);
    assert_eq!(fed.feed.monitor().watch().unwrap().regime(), None);
    let back = fed.run(200, |minute| reading(minute, WAYS[0]));
    assert_eq!(alarms(&back), 0);
    assert!(fed.feed.monitor().watch().unwrap().regime().is_some());
    // A setting channel that is missing says nothing of the regime.
    let blind = |minute| {
        let mut values = reading(minute, WAYS[0]);
        values[2] = f64::NAN;
        values
    };
    assert_eq!(fed.run(60, blind).len(), 1, "the window before");
}

#[test]
fn an_alarm_that_is_up_is_not_returned_by_an_unseen_regime() {
    let mut fed = Fed::learned(OWN);
    let fault = |minute| {
        let mut values = reading(minute, WAYS[0]);
        values[3] += 3.0;
        values
    };
    assert!(alarms(&fed.run(200, fault)) > 10);
    let up = |fed: &Fed| fed.feed.monitor().alarms().len();
    assert_eq!(up(&fed), 1);
    fed.run(600, |minute| {
        reading(minute, (45.0, 55.0, 100.0, 1.0, 0.05))
    });
    assert_eq!(up(&fed), 1);
    fed.run(200, |minute| reading(minute, WAYS[0]));
    assert_eq!(up(&fed), 0);
}

#[test]
fn without_regimes_the_same_machine_is_blind_in_its_calm_ways() {
    let own = OWN.replace("regimes = { settings = ['speed_pct', 'load_pct'] }", "");
    let mut fed = Fed::learned(&own);
    let fault = |minute| {
        let mut values = reading(minute, WAYS[0]);
        values[3] += 1.0;
        values
    };
    assert_eq!(alarms(&fed.run(200, fault)), 0);
}

#[test]
fn a_restart_goes_on_in_the_same_regimes() {
    let mut fed = Fed::learned(OWN);
    fed.run(30, |minute| reading(minute, (45.0, 55.0, 900.0, 90.0, 5.0)));
    fed.run(100, |minute| reading(minute, WAYS[1]));
    let watch = fed.feed.monitor().watch().unwrap();
    let saved = serde_json::to_string(&watch.save()).unwrap();
    let saved: SavedWatch = serde_json::from_str(&saved).unwrap();
    let (settings, model) = (Arc::clone(&fed.settings), Arc::clone(fed.model()));
    let through = fed.feed.monitor().through();
    let mut restarted = Monitor::resumed(settings, model, &saved, 0, through);
    restarted.know_metrics(&names());
    let mut after = Vec::new();
    let from = (through - fed.settings.reach()) / MINUTE;
    let course = |minute| reading(minute, way(minute));
    let switch = fed.minute;
    for minute in from..switch + 900 {
        let values = match minute < switch {
            true => reading(minute, WAYS[1]),
            false => course(minute),
        };
        restarted.take(
            minute * MINUTE,
            5,
            |metric| values[metric],
            |news| {
                if let News::Judged(_, judgement) = news {
                    after.push(judgement);
                }
            },
        );
    }
    let uninterrupted = fed.run(900, course);
    assert_eq!(after.len(), uninterrupted.len());
    for (after, before) in after.iter().zip(&uninterrupted) {
        let ratios = [after, before].map(|said| said.verdicts[0].unwrap().ratio);
        assert!(
            (ratios[0] - ratios[1]).abs() <= 1e-9 * ratios[1],
            "{ratios:?}"
        );
    }
    assert_eq!(restarted.watch().unwrap().unknown_windows(), fed.unknown());
}

#[test]
fn a_declared_number_cuts_settings_that_vary_freely() {
    let own = "window = '10m'\nstep = '10m'\nlearning = '4d'\nmin_duration = '30m'\n\
               regimes = { settings = ['speed_pct'], count = 4 }";
    let mut fed = Fed::learned(own);
    assert!(fed.model().regimes.is_some());
    let settings = Arc::new(settings(own));
    let feed = Feed::fresh("P-2".into(), names(), &settings);
    fed = Fed {
        feed,
        settings,
        minute: 0,
    };
    // Speed runs up and down all the time, and flow with it.
    let free = |minute: i64| {
        let speed = 50.0 + 0.05 * ((minute % 1_400) - 700).abs() as f64;
        reading(minute, (speed, 20.0, 4.0 * speed, 1.0, 0.05))
    };
    fed.run(5 * 1_440, free);
    assert_eq!(fed.model().regimes.as_ref().unwrap().count(), 4);
    let said = fed.run(2_000, free);
    assert_eq!((said.len(), alarms(&said), fed.unknown()), (200, 0, 0));
}

#[test]
fn a_model_of_other_regimes_does_not_fit() {
    let fed = Fed::learned(OWN);
    assert!(fed.model().fits(&fed.settings));
    let other = settings(&OWN.replace("'speed_pct', 'load_pct'", "'speed_pct'"));
    assert!(!fed.model().fits(&other));
    let none = settings(&OWN.replace("regimes = { settings = ['speed_pct', 'load_pct'] }", ""));
    assert!(!fed.model().fits(&none));
}

#[test]
fn mistakes_are_named_and_too_little_is_refused() {
    let mistakes = |own: &str| settings(own).mistakes().join("\n");
    assert!(mistakes("regimes = { settings = [] }").contains("from 1 to 8"));
    assert!(mistakes("regimes = { settings = ['a', 'a'] }").contains("twice"));
    assert!(mistakes("regimes = { settings = ['a'], count = 1 }").contains("from 2 to 32"));
    let both =
        "features = ['mean', { ewma = { half_life = '1h' } }]\nregimes = { settings = ['a'] }";
    assert!(mistakes(both).contains("leave out one of both"));
    let settings = Arc::new(settings(&OWN.replace("load_pct", "no_such_metric")));
    let mut feed = Feed::fresh("P-1".into(), names(), &settings);
    for minute in 0..6_000 {
        feed.take(minute * MINUTE, &reading(minute, way(minute)));
    }
    assert!(feed.monitor().watch().is_none(), "it goes on learning");
}
