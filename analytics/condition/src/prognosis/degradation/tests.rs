use chrono::TimeDelta;

use super::*;

const HOUR: i64 = 3_600_000_000;

fn settings() -> DegradationSettings {
    DegradationSettings {
        every: Span::seconds(3_600),
        kept: 240,
        failing_index: 20.0,
        sureness: 4.0,
        horizon: Span::seconds(30 * 86_400),
    }
}

fn index(ratio: f64) -> HealthIndex {
    HealthIndex {
        index: health::index(ratio),
        reasons: Vec::new(),
    }
}

/// Numbers that look random and are always the same, in -1..1.
fn noise(hour: i64) -> f64 {
    let mixed = (hour as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(31);
    let mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11;
    mixed as f64 / (1_u64 << 52) as f64 - 1.0
}

/// A history of hours with the ratio that each has.
fn history(hours: std::ops::Range<i64>, ratio: impl Fn(i64) -> f64) -> HealthHistory {
    let mut history = HealthHistory::default();
    for hour in hours {
        let (asset, bearing) = (index(ratio(hour)), index(ratio(hour) / 2.0));
        let components = [("bearing", &bearing)].into_iter();
        history.take(hour * HOUR + 1, &asset, components, &settings());
    }
    history
}

fn hours(from: i64, to: Option<DateTime<Utc>>) -> f64 {
    let to = to.expect("a date").timestamp_micros();
    (to - from * HOUR) as f64 / HOUR as f64
}

#[test]
fn damage_that_grows_has_its_date() {
    // Calm for four days, then 0.02 of the limit an hour: 2 is reached after another 90 hours.
    let grows = |hour: i64| 0.2 + 0.05 * noise(hour) + 0.02 * (hour - 100).max(0) as f64;
    let seen = history(0..160, grows);
    let found = seen.of_asset(&settings()).unwrap();
    assert_eq!(found.as_of.timestamp_micros(), 160 * HOUR);
    let at = hours(100, found.expected);
    assert!((80.0..100.0).contains(&at), "{at} {found:?}");
    assert!(
        found.lower < found.expected && found.expected < found.upper,
        "{found:?}"
    );
    let since = hours(0, Some(found.since));
    assert!((60.0..140.0).contains(&since), "{since}");
    let chance = |hours: i64| {
        let before = found.as_of + TimeDelta::hours(hours);
        found.outlook.probability_of_failure(before)
    };
    assert!(
        chance(10) < 0.05 && chance(60) > 0.95,
        "{} {}",
        chance(10),
        chance(60)
    );
    // Its component is half as far.
    let part = seen.of_component("bearing", &settings()).unwrap();
    assert!(part.expected > found.expected, "{part:?}");
    assert!(
        found.sentence().contains("reaches 20 of 100 by 1970-01-0"),
        "{}",
        found.sentence()
    );
}

#[test]
fn what_is_steady_new_or_mended_has_none() {
    let calm = history(0..200, |hour| 0.3 + 0.1 * noise(hour));
    let said = calm.of_asset(&settings()).unwrap_err();
    assert!(
        matches!(said, NoDegradation::Steady { index } if index > 80.0),
        "{said}"
    );
    let young = history(0..7, |hour| 0.1 * hour as f64);
    let said = young.of_asset(&settings()).unwrap_err();
    assert!(said.to_string().starts_with("7 values"), "{said}");
    assert!(young.of_component("brake", &settings()).is_err());
    // A jump that stays is no course, and a repair ends one.
    let mended = history(0..150, |hour| match hour {
        ..60 => 0.2 + 0.05 * noise(hour),
        60..100 => 0.03 * (hour - 60) as f64,
        _ => 0.2 + 0.05 * noise(hour),
    });
    assert!(mended.of_asset(&settings()).is_err());
    let mut repaired = history(0..160, |hour| 0.02 * hour as f64);
    assert!(repaired.of_asset(&settings()).is_ok());
    // Told days later, and more than once: what came since the repair stays.
    for _ in 0..2 {
        repaired.begin_at(147 * HOUR + HOUR / 2, &settings());
        assert_eq!(repaired.asset.ratios().len(), 12);
        assert_eq!(repaired.components["bearing"].0.len(), 12);
    }
    repaired.begin_at(200 * HOUR, &settings());
    assert!(repaired.asset.0.is_empty() && repaired.components.is_empty());
    assert!(
        !repaired.is_due(180 * HOUR, &settings()),
        "that was before the repair"
    );
}

#[test]
fn noise_alone_is_hardly_ever_a_trend() {
    let found = (0..200).filter(|world| {
        let seen = history(0..240, |hour| 0.4 + 0.1 * noise(hour + world * 1_000));
        seen.of_asset(&settings()).is_ok()
    });
    let found = found.count();
    assert!(found <= 4, "{found} of 200");
}

#[test]
fn a_gap_is_missing_and_what_is_old_is_forgotten() {
    let mut seen = history(0..100, |hour| 0.01 * hour as f64);
    let last = index(3.0);
    let none = std::iter::empty;
    // Within the same hour nothing is taken.
    assert!(!seen.is_due(99 * HOUR + HOUR / 2, &settings()));
    let before = seen.clone();
    seen.take(99 * HOUR + HOUR / 2, &last, none(), &settings());
    assert_eq!(seen, before);
    seen.take(130 * HOUR, &last, none(), &settings());
    assert_eq!(seen.asset.0.len(), 131);
    assert_eq!(seen.asset.ratios().len(), 101);
    assert_eq!(seen.components["bearing"].0.len(), 131);
    seen.take(1_000 * HOUR, &last, none(), &settings());
    assert_eq!(seen.asset.0.len(), 240);
    assert_eq!(seen.asset.ratios().len(), 1);
    assert!(
        seen.components.is_empty(),
        "nothing is known of it any more"
    );
    assert!(seen.heap_bytes() <= 2 * 240, "{}", seen.heap_bytes());
}

#[test]
fn it_survives_a_restart() {
    let seen = history(0..160, |hour| 0.02 * hour as f64);
    let text = serde_json::to_string(&seen).unwrap();
    assert!(text.len() < 800, "{}", text.len());
    let again: HealthHistory = serde_json::from_str(&text).unwrap();
    assert_eq!(again, seen);
    assert_eq!(again.of_asset(&settings()), seen.of_asset(&settings()));
}

#[test]
fn wrong_settings_are_named() {
    assert_eq!(settings().mistakes(), Vec::<String>::new());
    let wrong = DegradationSettings {
        every: Span::seconds(1),
        kept: 3,
        failing_index: 60.0,
        sureness: 0.0,
        horizon: Span::seconds(0),
    };
    assert_eq!(wrong.mistakes().len(), 5, "{:?}", wrong.mistakes());
}
