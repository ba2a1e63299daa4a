//! Declared features end to end: learned, judged, and after a restart.

use std::f64::consts::TAU;
use std::sync::Arc;

use crate::bench::Feed;
use crate::settings::tests::settings;
use crate::watch::SavedWatch;
use crate::{Judgement, Model, Monitor, News};

/// **Units**: microseconds.
const MINUTE: i64 = 60_000_000;

/// Whole eighths that look random.
fn noise(place: i64) -> f64 {
    let mixed = (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed >> 40) % 64) as f64 / 8.0
}

#[test]
fn a_damaged_bearing_raises_an_alarm_that_names_the_envelope() {
    let own = settings(
        "window = '1s'\nstep = '1s'\nlearning = '40s'\nmin_duration = '10s'\n\
         features = ['log_std', { band = { from_hz = 5, to_hz = 60 } }, { envelope = { \
         from_hz = 15, to_hz = 35, carrier_from_hz = 200, carrier_to_hz = 400 } }]",
    );
    let own = Arc::new(own);
    let mut feed = Feed::fresh("P-1".into(), vec!["vibration".into()], &own);
    let mut raised = None;
    // A thousand readings a second; the housing rings at 300 Hz. After a minute every pass of
    // a ball, 25 a second, makes it a little louder.
    for place in 0..80_000_i64 {
        let t = place as f64 / 1_000.0;
        let damage = if place > 60_000 { 0.4 } else { 0.0 };
        let housing = (1.0 + damage * (TAU * 25.0 * t).sin()) * (TAU * 300.0 * t).sin();
        let value = 5.0 * housing + 0.1 * noise(place);
        let said = feed.take(place * 1_000, &[value]);
        if let Some((window, judgement)) = said
            && judgement.verdicts[0].unwrap().alarm
            && raised.is_none()
        {
            let watch = feed.monitor().watch().unwrap();
            let explained = watch.explain(&window, 0);
            let first = explained.contributions[0].feature;
            raised = Some((window.end, watch.model().features[first].name()));
        }
    }
    let (at, name) = raised.unwrap();
    assert!(at > 60_000_000 && at < 76_000_000, "{at}");
    assert_eq!(
        name,
        "vibration (envelope 15 to 35 Hz of 200 to 400 Hz, rms)"
    );
}

/// A class with a mean over windows and slopes, and its reading at a minute.
const SLOW: &str = "window = '10m'\nstep = '10m'\nlearning = '1d'\nmin_duration = '30m'\n\
                    features = ['mean', 'slope', 'max', { ewma = { half_life = '3h' } }]";

fn reading(minute: i64) -> [f64; 2] {
    [100.0 + noise(minute), 7.0 + noise(minute + 77_777)]
}

fn take(monitor: &mut Monitor, minutes: std::ops::Range<i64>) -> Vec<Judgement> {
    let mut said = Vec::new();
    for minute in minutes {
        let values = reading(minute);
        monitor.take(
            minute * MINUTE,
            2,
            |metric| values[metric],
            |news| {
                if let News::Judged(_, judgement) = news {
                    said.push(judgement);
                }
            },
        );
    }
    said
}

#[test]
fn means_over_windows_go_on_after_a_restart() {
    let own = Arc::new(settings(SLOW));
    let names = vec!["a".to_owned(), "b".to_owned()];
    let mut feed = Feed::fresh("P-1".into(), names.clone(), &own);
    for minute in 0..1_700 {
        feed.take(minute * MINUTE, &reading(minute));
    }
    let watch = feed.monitor().watch().unwrap();
    let text = serde_json::to_string(&watch.save()).unwrap();
    let saved: SavedWatch = serde_json::from_str(&text).unwrap();
    assert!(!saved.averages.is_empty());
    let model = serde_json::to_string(&**watch.model()).unwrap();
    let model: Model = serde_json::from_str(&model).unwrap();
    let through = feed.monitor().through();
    let mut restarted = Monitor::resumed(Arc::clone(&own), Arc::new(model), &saved, 0, through);
    restarted.know_metrics(&names);
    let from = (through - own.reach()) / MINUTE;
    let after = take(&mut restarted, from..3_000);
    let mut uninterrupted = Vec::new();
    for minute in 1_700..3_000 {
        uninterrupted.extend(
            feed.take(minute * MINUTE, &reading(minute))
                .map(|(_, said)| said),
        );
    }
    assert!(after.len() > 100);
    assert_eq!(after.len(), uninterrupted.len());
    for (after, uninterrupted) in after.iter().zip(&uninterrupted) {
        let ratios = [after, uninterrupted].map(|said| said.verdicts[0].unwrap().ratio);
        // What JSON keeps of the model may miss its last bits.
        assert!(
            (ratios[0] - ratios[1]).abs() < 1e-9 * ratios[1],
            "{ratios:?}"
        );
    }
    let averages = |monitor: &Monitor| monitor.watch().unwrap().save().averages;
    assert_eq!(averages(&restarted), averages(feed.monitor()));
}

#[test]
fn a_mean_over_windows_goes_on_from_learning_and_under_the_next_model() {
    let own = Arc::new(settings(SLOW));
    let names = vec!["a".to_owned(), "b".to_owned()];
    let mut feed = Feed::fresh("P-1".into(), names.clone(), &own);
    for minute in 0..1_500 {
        feed.take(minute * MINUTE, &reading(minute));
    }
    let model = Arc::clone(feed.monitor().watch().unwrap().model());
    assert!(
        !model.averages.is_empty(),
        "where it stood when learning was over"
    );
    let mut monitor = Monitor::with_model(Arc::clone(&own), Arc::clone(&model));
    monitor.know_metrics(&names);
    take(&mut monitor, 1_450..2_000);
    let before = monitor.watch().unwrap().save().averages;
    assert_ne!(before, model.averages);
    monitor.install(Arc::clone(&model), &names);
    assert_eq!(monitor.watch().unwrap().save().averages, before);
}

#[test]
fn a_model_stands_on_the_version_of_its_features() {
    let own = Arc::new(settings(SLOW));
    let names = vec!["a".to_owned(), "b".to_owned()];
    let mut feed = Feed::fresh("P-1".into(), names, &own);
    for minute in 0..1_700 {
        feed.take(minute * MINUTE, &reading(minute));
    }
    let model = Model::clone(feed.monitor().watch().unwrap().model());
    assert!(model.fits(&own));
    // As it was written before there were versions.
    let mut old = serde_json::to_value(&model).unwrap();
    old.as_object_mut().unwrap().remove("features_version");
    let old: Model = serde_json::from_value(old).unwrap();
    assert!(old.fits(&own));
    let newer = Model {
        features_version: super::VERSION + 1,
        ..model
    };
    assert!(!newer.fits(&own));
}

#[test]
fn of_a_stuck_sensor_every_feature_is_missing() {
    let own = Arc::new(settings(&format!("{SLOW}\nstuck_after = '0s'")));
    let names = ["a", "b", "c"].map(str::to_owned).to_vec();
    let mut feed = Feed::fresh("P-1".into(), names, &own);
    let mut stuck = Vec::new();
    for minute in 0..2_500 {
        let [a, b] = reading(minute);
        let a = if minute > 2_000 { 104.0 } else { a };
        let said = feed.take(minute * MINUTE, &[a, b, noise(minute + 5)]);
        if let Some((_, judgement)) = said.filter(|_| minute > 2_020) {
            stuck.push(judgement.verdicts[0].unwrap());
        }
    }
    assert!(stuck.len() > 30);
    assert!(stuck.iter().all(|verdict| !verdict.alarm), "{stuck:?}");
}
