use super::*;

const HOUR: i64 = 3_600_000_000;

fn declared() -> ClassLifeSettings {
    toml::from_str(
        "metrics = ['vibration', 'temp']\nsettings = ['speed']\ncap = '40h'\nevery = '1h'",
    )
    .unwrap()
}

fn noise(number: i64) -> f64 {
    ((number * 7919 + 13) % 101) as f64 / 101.0 - 0.5
}

/// A row `minute` minutes after the beginning of a life of so many hours: vibration rises over the
/// last 60 hours, in one of two speeds that it shows at; temperature says nothing.
fn row(seed: i64, minute: i64, length: i64) -> [f64; 3] {
    let fast = (minute / 60 + seed) % 2;
    let wear = (minute as f64 / 60.0 - (length - 60) as f64).max(0.0) / 60.0;
    let scale = (1 + fast) as f64;
    let vibration = scale * (1.0 + 3.0 * wear + 0.3 * noise(minute + 17 * seed));
    [
        vibration,
        60.0 + noise(3 * minute + seed),
        1_000.0 + 500.0 * fast as f64,
    ]
}

fn hour(number: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::hours(number)
}

fn ended(seed: i64, length: i64) -> EndedLife {
    let began = 1_000 * seed;
    let mut life = EndedLife::new("M-1", (hour(began), hour(began + length)), &declared());
    for minute in (0..60 * length).step_by(20) {
        let at = began * HOUR + minute * HOUR / 60;
        life.take(&declared(), at, |column| row(seed, minute, length)[column]);
    }
    life
}

fn model() -> ClassLifeModel {
    let lives: Vec<EndedLife> = (0..6)
        .map(|seed| ended(seed, 100 + 9 * ((seed * 5) % 7)))
        .collect();
    let mut told = Vec::new();
    let learned = ClassLifeModel::learn("mill", &declared(), &lives, |share| {
        told.push(share);
        true
    });
    assert!(
        told.windows(2).all(|two| two[0] < two[1]) && told.last() == Some(&1.0),
        "{told:?}"
    );
    learned.unwrap().unwrap()
}

/// A new asset that has run so many hours of a life, from hour 5,000 on.
fn followed(model: &ClassLifeModel, hours: i64, length: i64) -> LifeCourse {
    let mut course = model.begin(5_000 * HOUR);
    for minute in (0..60 * hours).step_by(20) {
        let at = 5_000 * HOUR + minute * HOUR / 60;
        model.take(&mut course, at, |column| row(9, minute, length)[column]);
    }
    course
}

#[test]
fn what_remains_is_told_in_hours_with_an_interval_and_dates() {
    let model = model();
    assert_eq!((model.lives, model.regimes()), (6, 2));
    let evaluation = &model.evaluation;
    assert!(
        evaluation.rmse < 10.0 && (0.8..=1.0).contains(&evaluation.coverage),
        "{evaluation:?}"
    );
    assert!(
        evaluation.width > 0.0 && evaluation.width < 36.0,
        "{evaluation:?}"
    );

    let young = model.estimate(&followed(&model, 30, 120)).unwrap();
    assert!(young.remaining.expected > 30.0, "{young:?}");
    assert_eq!(young.upper_at(), None, "the cap means the cap or more");
    assert!(!young.tells_of(young.as_of + TimeDelta::hours(50)));

    let old = model.estimate(&followed(&model, 106, 120)).unwrap();
    // The last span is over only when another one begins.
    assert_eq!(old.as_of, hour(5_105));
    assert!((5.0..26.0).contains(&old.remaining.expected), "{old:?}");
    let (lower, expected) = (old.lower_at().unwrap(), old.expected_at().unwrap());
    assert!(old.as_of <= lower && lower <= expected && expected > old.as_of);
    let soon = |hours: i64| {
        old.outlook
            .probability_of_failure(old.as_of + TimeDelta::hours(hours))
    };
    assert!(
        soon(2) < soon(15) && soon(35) > 0.8,
        "{} {} {}",
        soon(2),
        soon(15),
        soon(35)
    );
    assert!(
        old.sentence().contains(" h, with 90 % "),
        "{}",
        old.sentence()
    );
}

#[test]
fn an_unknown_way_of_running_leaves_the_estimate_and_its_time_as_they_are() {
    let model = model();
    let mut course = followed(&model, 100, 120);
    let before = model.estimate(&course).unwrap();
    for hour in 5_100..5_110 {
        // Half as fast again, and shaking.
        model.take(&mut course, hour * HOUR, |column| {
            [40.0, 90.0, 2_300.0][column]
        });
    }
    let after = model.estimate(&course).unwrap();
    // The hour that was under way was of a known one.
    assert_eq!((before.as_of, after.as_of), (hour(5_099), hour(5_100)));
    assert!((after.remaining.expected - before.remaining.expected).abs() < 4.0);
    let row = row(9, 60 * 110, 120);
    for hour in 5_110..5_112 {
        model.take(&mut course, hour * HOUR, |column| row[column]);
    }
    assert_eq!(model.estimate(&course).unwrap().as_of, hour(5_111));
}

#[test]
fn a_model_that_was_kept_says_the_same_to_the_last_bit_however_often() {
    let model = model();
    let mut again = model.clone();
    for _ in 0..3 {
        again = serde_json::from_str(&serde_json::to_string(&again).unwrap()).unwrap();
    }
    assert_eq!(again.fitted.text, model.fitted.text);
    for hours in [1, 40, 90, 110] {
        let (course, other) = (followed(&model, hours, 120), followed(&again, hours, 120));
        assert_eq!(model.estimate(&course), again.estimate(&other));
    }
    assert_eq!(model.estimate(&model.begin(0)), None);
}

#[test]
fn rows_from_before_a_life_and_late_ones_change_nothing() {
    let model = model();
    let mut course = followed(&model, 30, 120);
    let before = course.clone();
    for at in [4_000 * HOUR, 5_000 * HOUR, 5_010 * HOUR] {
        model.take(&mut course, at, |_| 1e6);
    }
    assert_eq!(course, before);
    assert_eq!(course.began(), 5_000 * HOUR);
}

#[test]
fn lives_that_were_hardly_seen_or_not_to_their_end_are_left_out() {
    let declared = declared();
    assert_eq!(ended(1, 100).mistake(&declared), None);
    assert_eq!(ended(1, 100).len(), 99);
    assert_eq!(ended(1, 15).mistake(&declared), Some(NoLife::Readings(14)));
    let cut_off = |ended: i64| {
        let mut life = EndedLife::new("M-1", (hour(0), hour(ended)), &declared);
        for hour in 0..60 {
            life.take(&declared, hour * HOUR, |_| 1.0);
        }
        life.mistake(&declared)
    };
    assert_eq!(cut_off(90), None, "silent while it waits for its repair");
    assert_eq!(cut_off(100), Some(NoLife::Silent(hour(59))));
    let few: Vec<EndedLife> = (0..3).map(|seed| ended(seed, 100)).collect();
    let refused = ClassLifeModel::learn("mill", &declared, &few, |_| true).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("at least 4 assets that ran to failure, and there are 3")
    );
    let many: Vec<EndedLife> = (0..5).map(|seed| ended(seed, 100)).collect();
    let stopped = ClassLifeModel::learn("mill", &declared, &many, |share| share < 0.3);
    assert_eq!(stopped.unwrap(), None);
}

#[test]
fn what_is_declared_wrongly_is_told_in_sentences() {
    assert_eq!(declared().mistakes(), Vec::<String>::new());
    let by_default = ClassLifeSettings {
        every: None,
        cap: "500h".parse().unwrap(),
        ..declared()
    };
    assert_eq!(by_default.every(), 4 * HOUR);
    let check = |text: &str, said: &str| {
        let wrong: ClassLifeSettings = toml::from_str(text).unwrap();
        let mistakes = wrong.mistakes().join("; ");
        assert!(mistakes.contains(said), "{text}: {mistakes}");
    };
    check(
        "metrics = []\ncap = '40h'",
        "metrics names 0, but must name from 1 to 32",
    );
    check(
        "metrics = ['a']\nsettings = ['a']\ncap = '40h'",
        "`a` is named twice",
    );
    check("metrics = ['a']\ncap = '0s'", "every must be at least 1s");
    check(
        "metrics = ['a']\ncap = '5h'\nevery = '1h'",
        "cap is 5h, but must be from 20 to 2000 times every",
    );
    check(
        "metrics = ['a']\ncap = '40h'\ncoverage = 1.0",
        "coverage must be from 0.5 to 0.95",
    );
    let unknown = toml::from_str::<ClassLifeSettings>("metrics = ['a']\ncap = '40h'\ncaps = 1");
    assert!(unknown.is_err());
}
