//! Remaining life in the service: from lives that ended to an answer, and over a restart.

mod files;

use super::super::jobs::{JobReport, JobRequest, JobResult, JobState, Work};
use super::super::models::ModelFolder;
use super::*;

const HOUR: i64 = 3_600;
/// The class above, whose remaining life shows in `a`, in the ways of running that `b` says.
const LASTING: &str = "[classes.rig]\nwindow = '2h'\nstep = '2h'\nlearning = '200d'\n\
    stale_after = '12h'\nbackfill_after = '400d'\n\
    life = { metrics = ['a'], settings = ['b'], cap = '40h', every = '1h' }";

/// Hours that the machines lasted.
const LASTED: [i64; 6] = [104, 110, 116, 122, 128, 134];

/// A row every half an hour of a machine that fails after `length` hours: `a` rises over the last 60,
/// in one of two ways of running that `b` says.
fn life(tag: &str, (began, hours): (i64, std::ops::Range<i64>), length: i64) -> RecordBatch {
    let halves: Vec<i64> = (2 * hours.start..2 * hours.end).collect();
    let seconds: Vec<i64> = halves.iter().map(|half| began + half * HOUR / 2).collect();
    let a = halves.iter().map(|half| {
        let wear = ((*half as f64 / 2.0) - (length - 60) as f64).max(0.0) / 20.0;
        let noise = f64::from(((half * 7919 + length * 31) % 101) as i32) / 101.0 - 0.5;
        1.0 + wear + 0.2 * noise
    });
    let b = halves.iter().map(|half| ((half / 4) % 2) as f64);
    with(tag, &seconds, (a.collect(), b.collect()))
}

fn with(tag: &str, seconds: &[i64], (a, b): (Vec<f64>, Vec<f64>)) -> RecordBatch {
    let like = batch(tag, seconds, 0.0);
    let mut columns = like.columns()[..3].to_vec();
    columns.push(Arc::new(Float64Array::from(a)));
    columns.push(Arc::new(Float64Array::from(b)));
    RecordBatch::try_new(like.schema(), columns).unwrap()
}

/// What the field tells of a machine that was installed at `began` and has failed after so many
/// hours each time.
fn told(tag: &str, began: i64, lasted: &[i64]) -> AssetLives {
    let mut at_hour = 0;
    AssetLives {
        asset: tag.to_owned(),
        class: "rig".to_owned(),
        installed_at: Some(at(began)),
        seen_since: at(began),
        failures: lasted
            .iter()
            .map(|hours| {
                at_hour += hours;
                at(began + at_hour * HOUR)
            })
            .collect(),
    }
}

impl Wire {
    async fn rows(&mut self, rows: RecordBatch, until: i64) {
        self.second = self.second.max(until);
        self.commit(rows, false).await;
    }

    /// So many machines that failed, all installed at 0.
    async fn failed(&mut self, lasted: &[i64]) -> Vec<AssetLives> {
        let mut all = Vec::new();
        for (number, length) in lasted.iter().enumerate() {
            let tag = format!("F-{number}");
            let rows = life(&tag, (0, 0..*length), *length);
            self.rows(rows, length * HOUR).await;
            all.push(told(&tag, 0, &[*length]));
        }
        all
    }

    async fn follows(&self, detection: &Detection) {
        wait_for("everything is followed", async || {
            let stats = detection.stats();
            (stats.caught_up && stats.behind == 0).then_some(())
        })
        .await;
    }
}

fn training(promote: bool) -> JobRequest {
    JobRequest {
        work: Work::TrainLife {
            class: "rig".to_owned(),
            promote,
        },
        asset: String::new(),
        from: at(0),
        to: at(10_000 * HOUR),
        by: "ada".to_owned(),
        key: None,
    }
}

async fn ended(detection: &Detection, number: u64) -> JobReport {
    wait_for("the job ends", async || {
        let report = detection.job(number).unwrap();
        (report.ended_at.is_some()).then_some(report)
    })
    .await
}

/// Learns a version.
async fn learned(detection: &Detection, promote: bool) -> String {
    let job = detection.begin_job(training(promote)).unwrap();
    let report = ended(detection, job.number).await;
    let Some(JobResult::TrainedLife { version, lives, .. }) = report.result else {
        panic!("{report:?}")
    };
    assert_eq!(lives, LASTED.len());
    version
}

async fn estimate(detection: &Detection, asset: &str, as_of: i64) -> Arc<LifeEstimate> {
    wait_for("its remaining life is known", async || {
        let found = detection.remaining_life(asset).ok()?;
        (found.as_of == at(as_of)).then_some(found)
    })
    .await
}

#[tokio::test]
async fn lives_that_ended_tell_how_long_the_others_last_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), LASTING).await;
    let mut lives = wire.failed(&LASTED).await;
    let began = 200 * HOUR;
    wire.rows(life("P-1", (began, 0..105), 120), began + 105 * HOUR)
        .await;
    wire.rows(life("P-2", (began, 0..105), 900), began + 105 * HOUR)
        .await;
    lives.extend([told("P-1", began, &[]), told("P-2", began, &[])]);
    detection.take_lives(lives.clone()).await;
    wire.follows(&detection).await;
    assert_eq!(
        detection.remaining_life("P-1").unwrap_err(),
        NoRemainingLife::NoModel
    );

    // It is kept, and answers only when somebody promotes it.
    let version = learned(&detection, false).await;
    let (versions, live) = detection.life_versions("rig").await.unwrap();
    assert_eq!((versions.len(), live), (1, None));
    let record = &versions[0];
    assert_eq!(record.made_by, "ada");
    assert_eq!((record.model.lives, record.model.regimes()), (6, 2));
    assert_eq!(record.model.trained_from, at(0));
    assert_eq!(record.model.trained_through, at(134 * HOUR));
    let good = record.model.evaluation;
    assert!(
        good.rmse < 10.0 && good.coverage > 0.75 && good.width < 36.0,
        "{good:?}"
    );
    assert_eq!(
        detection.remaining_life("P-1").unwrap_err(),
        NoRemainingLife::NoModel
    );
    let promoted = detection.promote_life("rig", &version, "bob").await;
    assert_eq!(promoted.unwrap().promotions[0].by, "bob");

    let newest = began + 104 * HOUR;
    let worn = estimate(&detection, "P-1", newest).await;
    assert!(
        (4.0..30.0).contains(&worn.remaining.expected),
        "{:?}",
        worn.remaining
    );
    assert_eq!(worn.version, version);
    let young = estimate(&detection, "P-2", newest).await;
    assert!(
        young.remaining.expected > 30.0 && young.upper_at().is_none(),
        "{:?}",
        young.remaining
    );
    // Asked about a date within the cap it is the life that answers.
    let before = at(newest) + TimeDelta::hours(35);
    let likely = |asset: &str| detection.failure_probability(asset, before).unwrap();
    let (sick, well) = (likely("P-1"), likely("P-2"));
    assert_eq!((sick.basis, well.basis), (Basis::Life, Basis::Life));
    assert!(sick.probability > 0.7 && well.probability < 0.4);
    assert!(sick.text.contains(&version), "{}", sick.text);
    // Beyond it a machine far from its end is like any other.
    let far = at(newest) + TimeDelta::days(30);
    let by_age = detection.failure_probability("P-2", far).unwrap();
    assert_eq!(by_age.basis, Basis::Age);
    assert!(by_age.text.contains("up to 40 h"), "{}", by_age.text);

    // Some rows into a file, and another start.
    detection.shutdown().await;
    wire.flush(folder.path());
    let detection = wire.start(&book, folder.path(), LASTING).await;
    detection.take_lives(lives.clone()).await;
    assert_eq!(*estimate(&detection, "P-1", newest).await, *worn);
    assert_eq!(*estimate(&detection, "P-2", newest).await, *young);
    // What is stored from now on is followed from there on.
    let rows = life("P-1", (began, 105..112), 120);
    wire.rows(rows, began + 112 * HOUR).await;
    let later = estimate(&detection, "P-1", began + 111 * HOUR).await;
    assert!(later.remaining.expected < worn.remaining.expected + 1.0);

    // Silent for too long: nothing is known of now.
    wire.clock.set(at(began + 130 * HOUR));
    let soon = at(began + 140 * HOUR);
    let stale = detection.failure_probability("P-1", soon);
    let said = match stale {
        Ok(found) => {
            assert_ne!(found.basis, Basis::Life);
            found.text
        }
        Err(reasons) => reasons.to_string(),
    };
    assert!(said.contains("too long ago to count"), "{said}");
    assert!(detection.remaining_life("P-1").is_ok(), "with its time");
    detection.shutdown().await;
}

#[tokio::test]
async fn a_machine_that_was_mended_begins_a_life_and_an_unknown_way_of_running_tells_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), LASTING).await;
    let mut lives = wire.failed(&LASTED).await;
    let began = 200 * HOUR;
    wire.rows(life("P-1", (began, 0..118), 120), began + 118 * HOUR)
        .await;
    lives.push(told("P-1", began, &[]));
    detection.take_lives(lives.clone()).await;
    wire.follows(&detection).await;
    let first = learned(&detection, true).await;
    let worn = estimate(&detection, "P-1", began + 117 * HOUR).await;
    assert!(worn.remaining.expected < 20.0, "{:?}", worn.remaining);

    // It fails, is mended and goes on as new; the close-out is told some hours later.
    let renewed = began + 120 * HOUR;
    wire.rows(life("P-1", (renewed, 0..30), 900), renewed + 30 * HOUR)
        .await;
    lives.pop();
    lives.push(told("P-1", began, &[120]));
    detection.take_lives(lives.clone()).await;
    let new = wait_for("it is as good as new", async || {
        let found = detection.remaining_life("P-1").ok()?;
        (found.as_of == at(renewed + 29 * HOUR) && found.remaining.expected > 30.0).then_some(found)
    })
    .await;
    assert_eq!(new.upper_at(), None);

    // It runs as no machine before: what was known stays, with its time.
    let seconds: Vec<i64> = (60..72).map(|half| renewed + half * HOUR / 2).collect();
    let odd = (vec![9.0; 12], vec![7.0; 12]);
    wire.rows(with("P-1", &seconds, odd), renewed + 36 * HOUR)
        .await;
    let rows = life("P-2", (renewed, 0..36), 900);
    lives.push(told("P-2", renewed, &[]));
    detection.take_lives(lives.clone()).await;
    wire.rows(rows, renewed + 36 * HOUR).await;
    estimate(&detection, "P-2", renewed + 35 * HOUR).await;
    let kept = detection.remaining_life("P-1").unwrap();
    // The hour that was under way was of a known one.
    assert_eq!(kept.as_of, at(renewed + 30 * HOUR));
    assert!((kept.remaining.expected - new.remaining.expected).abs() < 5.0);

    // One more life has ended, so a version more; the former one can come back.
    let job = detection.begin_job(training(true)).unwrap();
    let report = ended(&detection, job.number).await;
    let Some(JobResult::TrainedLife {
        version,
        lives: 7,
        left_out: 0,
    }) = report.result
    else {
        panic!("{report:?}")
    };
    assert_ne!(version, first);
    for wanted in [&version, &first] {
        if wanted == &first {
            detection.promote_life("rig", wanted, "bob").await.unwrap();
        }
        wait_for("that version answers", async || {
            let found = detection.remaining_life("P-2").ok()?;
            (found.version == *wanted).then_some(())
        })
        .await;
        let (_, live) = detection.life_versions("rig").await.unwrap();
        assert_eq!(live.as_ref(), Some(wanted));
    }
    let none = detection.promote_life("rig", "none", "bob").await;
    assert!(matches!(none, Err(VersionError::NotFound { .. })));
    detection.shutdown().await;

    // Where the class looks at something else, what was learned is of no use.
    let other = LASTING.replace("cap = '40h'", "cap = '50h'");
    let detection = wire.start(&book, folder.path(), &other).await;
    detection.take_lives(lives).await;
    wire.follows(&detection).await;
    assert_eq!(
        detection.remaining_life("P-2").unwrap_err(),
        NoRemainingLife::NoModel
    );
    let refused = detection.promote_life("rig", &first, "bob").await;
    assert!(matches!(refused, Err(VersionError::OtherSettings { .. })));
    detection.shutdown().await;
}

#[tokio::test]
async fn too_few_lives_are_told_and_a_training_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), LASTING).await;
    let mut lives = wire.failed(&LASTED[..3]).await;
    // Nobody has seen the last days of this one, and hardly anything of that one.
    wire.rows(life("F-8", (0, 0..60), 110), 110 * HOUR).await;
    wire.rows(life("F-9", (90 * HOUR, 0..10), 110), 110 * HOUR)
        .await;
    lives.extend([told("F-8", 0, &[110]), told("F-9", 90 * HOUR, &[20])]);
    detection.take_lives(lives).await;
    wire.follows(&detection).await;
    let job = detection.begin_job(training(false)).unwrap();
    let report = ended(&detection, job.number).await;
    assert_eq!(report.state, JobState::Failed);
    let why = report.failure.unwrap();
    for said in [
        "class rig: remaining life needs at least 4 assets that ran to failure, and there are 3",
        "a life of F-8 is left out: its readings end at 2026-10-07T19:30:00Z",
        "a life of F-9 is left out: 9 readings are stored of it",
    ] {
        assert!(why.contains(said), "{why}");
    }
    assert_eq!(detection.life_versions("rig").await.unwrap().0, []);

    let mut lives = Vec::new();
    for (number, length) in LASTED.iter().enumerate() {
        let tag = format!("G-{number}");
        wire.rows(life(&tag, (0, 0..*length), *length), 0).await;
        lives.push(told(&tag, 0, &[*length]));
    }
    detection.take_lives(lives).await;
    let first = detection.begin_job(training(false)).unwrap();
    let second = detection.begin_job(training(false)).unwrap();
    for job in [second.number, first.number] {
        detection.cancel_job(job).unwrap();
        let report = ended(&detection, job).await;
        assert_eq!(report.state, JobState::Canceled, "{report:?}");
    }
    assert_eq!(detection.life_versions("rig").await.unwrap().0, []);
    detection.shutdown().await;
}

#[tokio::test]
async fn a_life_that_nobody_saw_takes_no_room_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), LASTING).await;
    let mut lives = wire.failed(&LASTED).await;
    // Seventeen years of readings would be more than a model is learned from.
    let long = 150_000;
    lives.push(told("F-9", 0, &[long]));
    wire.clock.set(at((long + 1) * HOUR));
    detection.take_lives(lives).await;
    let mut asked = training(false);
    asked.to = at((long + 1) * HOUR);
    let job = detection.begin_job(asked).unwrap();
    let report = ended(&detection, job.number).await;
    let Some(JobResult::TrainedLife {
        lives: 6,
        left_out: 1,
        ..
    }) = report.result
    else {
        panic!("{report:?}")
    };
    let (versions, _) = detection.life_versions("rig").await.unwrap();
    let (asset, why) = &versions[0].left_out[0];
    assert!(
        asset == "F-9" && why.starts_with("0 readings"),
        "{asset}: {why}"
    );
    detection.shutdown().await;
}

#[tokio::test]
async fn of_two_promotions_at_the_same_moment_one_is_last_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), LASTING).await;
    let lives = wire.failed(&LASTED).await;
    detection.take_lives(lives).await;
    wire.follows(&detection).await;
    let first = learned(&detection, false).await;
    wire.clock.set(at(135 * HOUR));
    let mut asked = training(false);
    asked.from = at(105 * HOUR);
    let job = detection.begin_job(asked).unwrap();
    let Some(JobResult::TrainedLife {
        version: second, ..
    }) = ended(&detection, job.number).await.result
    else {
        panic!("it is learned")
    };
    assert_ne!(first, second);
    let models = ModelFolder::open(&folder.path().join("models")).unwrap();
    let settings = config(&configured(LASTING)).unwrap();
    for _ in 0..20 {
        let (one, other) = tokio::join!(
            detection.promote_life("rig", &first, "ada"),
            detection.promote_life("rig", &second, "bob"),
        );
        one.unwrap();
        other.unwrap();
        let (_, live) = detection.life_versions("rig").await.unwrap();
        let kept = models.lives_in_use(&settings).unwrap();
        let kept = &kept["rig"];
        assert_eq!(live.as_ref(), Some(&kept.version));
    }
    detection.shutdown().await;
}

#[tokio::test]
async fn a_class_that_declares_no_life_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), "").await;
    wire.send(2, 0.0).await;
    wire.settle(&detection).await;
    assert_eq!(
        detection.remaining_life("R-1").unwrap_err(),
        NoRemainingLife::NotDeclared
    );
    assert_eq!(
        detection.remaining_life("R-2").unwrap_err(),
        NoRemainingLife::Unknown
    );
    let job = detection.begin_job(training(false)).unwrap();
    let report = ended(&detection, job.number).await;
    let why = report.failure.unwrap();
    assert!(why.contains("say [detect.classes.rig.life]"), "{why}");
    let mistakes = config(&configured(&LASTING.replace("'40h'", "'10h'")))
        .unwrap()
        .validate();
    assert_eq!(
        mistakes,
        ["classes.rig: life: cap is 10h, but must be from 20 to 2000 times every"]
    );
    let unknown = config(&configured(&LASTING.replace("every", "evry")));
    assert!(unknown.unwrap_err().to_string().contains("evry"));
    detection.shutdown().await;
}
