use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::sampling::normal;
use super::*;

/// Lives of 60 to 140 readings: a sensor rises over the last 50 in one of two regimes that change
/// at every reading, beside one that says nothing.
fn lives(count: usize, seed: u64) -> Vec<Life> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let life = |_| {
        let length = generator.random_range(60..140);
        let reading = |age: i32| {
            let regime = f64::from(generator.random_range(0..2));
            let wear = f64::from((age - (length - 50)).max(0)) / 50.0;
            let noise = |g: &mut ChaCha8Rng| 0.1 * normal(g);
            let first = 5.0 * regime + (1.0 + regime) * (wear * wear + noise(&mut generator));
            LifeReading {
                age: f64::from(age),
                settings: vec![regime],
                sensors: vec![first, noise(&mut generator)],
            }
        };
        Life {
            readings: (1..=length).map(reading).collect(),
        }
    };
    (0..count).map(life).collect()
}

fn settings() -> LifeSettings {
    LifeSettings {
        cap: 40.0,
        members: 1,
        trees: BoostedTreesParams::default().trees(80).least_rows(20),
        ..LifeSettings::shipped()
    }
}

#[test]
fn predicts_unseen_assets_with_intervals_that_hold() {
    let model = settings().fit(&lives(40, 1)).unwrap();
    assert_eq!(model.regimes(), 2);
    assert!(model.evaluation.rmse < 8.0, "{:?}", model.evaluation);
    let (mut inside, mut all, mut squares) = (0.0, 0.0, 0.0);
    for life in lives(30, 2) {
        let mut course = model.begin();
        for (at, reading) in life.readings.iter().enumerate() {
            model.follow(&mut course, reading);
            let truth = (life.readings.len() - 1 - at) as f64;
            if truth > 48.0 {
                continue;
            }
            let found = model.remaining(&course).unwrap();
            let truth = truth.min(40.0);
            inside += f64::from(u8::from((found.lower..=found.upper).contains(&truth)));
            squares += (found.expected - truth).powi(2);
            all += 1.0;
        }
    }
    let (share, rmse) = (inside / all, (squares / all).sqrt());
    assert!(
        (0.85..0.96).contains(&share) && rmse < 8.0,
        "{share} {rmse}"
    );
}

#[test]
fn the_nearer_the_end_the_likelier_a_failure_before_a_date() {
    let model = settings().fit(&lives(20, 1)).unwrap();
    let life = &lives(1, 3)[0];
    let mut course = model.begin();
    let mut chances = Vec::new();
    let now = DateTime::UNIX_EPOCH;
    for reading in &life.readings {
        model.follow(&mut course, reading);
        let outlook = model
            .remaining(&course)
            .unwrap()
            .outlook(now, TimeDelta::hours(1));
        chances.push(outlook.probability_of_failure(now + TimeDelta::hours(15)));
    }
    let last = chances.len() - 1;
    assert!(chances[10] < 0.1, "{}", chances[10]);
    assert!(chances[last] > 0.9, "{}", chances[last]);
}

#[test]
fn is_the_same_on_every_run() {
    let of = || serde_json::to_string(&settings().fit(&lives(8, 1)).unwrap()).unwrap();
    assert_eq!(of(), of());
}

#[test]
fn an_asset_without_a_known_regime_has_no_prognosis() {
    let model = settings().fit(&lives(8, 1)).unwrap();
    let mut course = model.begin();
    model.follow(
        &mut course,
        &LifeReading {
            age: 1.0,
            settings: vec![0.5],
            sensors: vec![0.0, 0.0],
        },
    );
    assert_eq!(model.remaining(&course), None);
}

#[test]
fn too_few_assets_are_refused() {
    let refused = settings().fit(&lives(3, 1));
    assert!(matches!(refused, Err(LifeError::Assets(3))));
}
