//! A class that learns as a whole, from the first reading to a roll back.

use super::super::jobs::{JobReport, JobRequest, JobResult, JobState, Then, Work};
use super::*;

/// The class above, learned once for all of its assets.
const SHARED: &str = "[classes.rig]\nsharing = 'class'\nreference_windows = 20\nwindow = '1m'\n\
    step = '1m'\nlearning = '30m'\nmin_duration = '3m'\nstale_after = '10m'\n\
    detectors.pca.with = { drift_lag = '5m', limit_factor = 6.0, adapt_half_life = '2h' }";

/// A minute of readings of an asset of its own size.
fn sized(number: usize, seconds: &[i64], fault: f64) -> RecordBatch {
    let size = (number + 1) as f64;
    // Each asset has its own noise.
    let other: Vec<i64> = seconds
        .iter()
        .map(|second| second + 31 * number as i64)
        .collect();
    let (a, b): (Vec<f64>, Vec<f64>) = other.iter().map(|second| values(*second, fault)).unzip();
    let scaled = |values: Vec<f64>| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(
            values.into_iter().map(|value| size * value),
        ))
    };
    let like = batch(&format!("R-{number}"), seconds, fault);
    let mut columns = like.columns()[..3].to_vec();
    columns.extend([scaled(a), scaled(b)]);
    RecordBatch::try_new(like.schema(), columns).unwrap()
}

impl Wire {
    /// So many minutes of these assets; the last of them has the fault.
    async fn fleet(&mut self, assets: &[usize], minutes: i64, fault: f64) {
        for _ in 0..minutes {
            let seconds: Vec<i64> = (0..10).map(|n| self.second + 6 * n).collect();
            self.second += 60;
            for (place, asset) in assets.iter().enumerate() {
                let fault = if place + 1 == assets.len() {
                    fault
                } else {
                    0.0
                };
                self.commit(sized(*asset, &seconds, fault), false).await;
            }
        }
    }

    /// Waits until everything is followed and so many assets are judged.
    async fn judged(&self, detection: &Detection, assets: usize) -> DetectionStats {
        wait_for("so many assets are judged", async || {
            let stats = detection.stats();
            let idle = stats.caught_up && stats.behind == 0 && stats.unkept == 0;
            (idle && stats.scored == assets).then_some(stats)
        })
        .await
    }
}

async fn ended(detection: &Detection, number: u64) -> JobReport {
    wait_for("the job ends", async || {
        let report = detection.job(number).unwrap();
        (report.ended_at.is_some()).then_some(report)
    })
    .await
}

/// Assets and the version of their class's model that they are judged by.
fn in_use(detection: &Detection) -> Vec<(String, Option<String>)> {
    let models = detection.models().into_iter();
    models
        .map(|model| (model.asset, model.class_model))
        .collect()
}

fn training(then: Then, (from, to): (i64, i64)) -> JobRequest {
    JobRequest {
        work: Work::TrainClass {
            class: "rig".to_owned(),
            then,
        },
        asset: String::new(),
        from: at(from),
        to: at(to),
        by: "ada".to_owned(),
        key: None,
    }
}

#[tokio::test]
async fn a_class_learns_once_and_a_new_asset_is_judged_soon_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), SHARED).await;
    let old = [0, 1, 2, 3];
    wire.fleet(&old, 35, 0.0).await;
    wire.judged(&detection, 4).await;
    let job = &detection.jobs()[0];
    assert_eq!(
        (job.request.by.as_str(), job.assets),
        ("learning", Some((4, 4)))
    );
    let (versions, live) = detection.class_versions("rig").unwrap();
    assert_eq!(versions.len(), 1);
    let record = &versions[0];
    assert_eq!(live.as_ref(), Some(&record.model.version));
    assert_eq!((record.model.assets, record.members), (4, 4));
    assert_eq!(record.promotions[0].by, "learning");
    assert!(record.model.evaluation["pca"].windows > 100);
    let shared = |number: usize| (format!("R-{number}"), live.clone());
    assert_eq!(in_use(&detection), old.map(shared));
    let files = std::fs::read_dir(folder.path().join("models")).unwrap();
    assert_eq!(files.count(), 1, "no asset has a file of its own");

    // A new asset, larger than all others.
    let all = [0, 1, 2, 3, 8];
    wire.fleet(&all, 15, 0.0).await;
    wire.settle_of(&detection).await;
    assert_eq!(detection.health("R-8").state, HealthState::Learning);
    wire.fleet(&all, 8, 0.0).await;
    wire.judged(&detection, 5).await;
    assert_eq!(in_use(&detection).last(), Some(&shared(8)));
    assert_eq!(alarms(&book).await, []);

    // Killed where it stands, and rows go on.
    detection.kill().await;
    wire.flush(folder.path());
    wire.fleet(&all, 3, 0.0).await;
    let detection = wire.start(&book, folder.path(), SHARED).await;
    wire.judged(&detection, 5).await;
    assert_eq!(detection.stats().trained, 0, "nothing is learned again");
    assert_eq!(in_use(&detection).last(), Some(&shared(8)));
    assert_eq!(detection.jobs(), []);
    wire.fleet(&all, 10, 8.0).await;
    wire.settle_of(&detection).await;
    assert_eq!(alarms(&book).await.len(), 1);
    let open = book.store().open_alarm("R-8", "pca").await.unwrap();
    let alarm = open.expect("of the asset with the fault");
    assert!(
        alarm.summary.contains("b 5") && alarm.summary.contains("suggest 4"),
        "{}",
        alarm.summary
    );
    detection.shutdown().await;
}

#[tokio::test]
async fn versions_of_a_class_are_tried_promoted_and_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), SHARED).await;
    let all = [0, 1, 2];
    wire.fleet(&all, 60, 0.0).await;
    wire.judged(&detection, 3).await;
    let (_, first) = detection.class_versions("rig").unwrap();
    let first = first.unwrap();

    let job = detection.begin_job(training(Then::Shadow, (600, 3600)));
    let report = ended(&detection, job.unwrap().number).await;
    let Some(JobResult::TrainedClass {
        version: second,
        assets: 3,
        left_out: 0,
    }) = report.result
    else {
        panic!("{report:?}")
    };
    assert_ne!(second, first);
    wire.fleet(&all, 10, 0.0).await;
    wire.settle_of(&detection).await;
    let shadows = detection.shadows();
    assert_eq!(shadows.len(), 3, "each asset has its candidate");
    assert!(
        shadows
            .iter()
            .all(|shadow| shadow.windows >= 9 && shadow.alarms == 0)
    );
    assert_eq!(in_use(&detection)[0].1.as_ref(), Some(&first));

    let judge = JobRequest {
        work: Work::BackTest {
            version: Some(second.clone()),
        },
        asset: "R-1".to_owned(),
        ..training(Then::Keep, (0, 4000))
    };
    let job = detection.begin_job(judge).unwrap();
    let report = ended(&detection, job.number).await;
    let Some(JobResult::BackTest(found)) = report.result else {
        panic!("{report:?}")
    };
    assert!(found.windows > 50 && found.alarms == 0, "{found:?}");

    let promoted = detection
        .promote_class("rig", &second, "bob")
        .await
        .unwrap();
    assert_eq!(promoted.promotions[0].by, "bob");
    assert_eq!(in_use(&detection)[2].1.as_ref(), Some(&second));
    assert_eq!(detection.shadows(), [], "what was tried is in use");
    let back = detection.promote_class("rig", &first, "bob").await.unwrap();
    assert_eq!(back.promotions.len(), 2);
    assert_eq!(in_use(&detection)[0].1.as_ref(), Some(&first));
    let none = detection.promote_class("rig", "none", "bob").await;
    assert!(matches!(none, Err(VersionError::NotFound { .. })));
    detection.shutdown().await;

    let detection = wire.start(&book, folder.path(), SHARED).await;
    wire.judged(&detection, 3).await;
    assert_eq!(in_use(&detection)[0].1.as_ref(), Some(&first));
    detection.shutdown().await;
}

#[tokio::test]
async fn a_class_of_one_learns_by_itself_until_it_has_company() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), SHARED).await;
    wire.fleet(&[0], 40, 0.0).await;
    wire.judged(&detection, 1).await;
    assert_eq!(in_use(&detection), [("R-0".to_owned(), None)]);
    wire.fleet(&[0, 1], 45, 0.0).await;
    wire.judged(&detection, 2).await;
    let both = in_use(&detection);
    assert!(both[0].1.is_some() && both[0].1 == both[1].1, "{both:?}");
    let own = std::fs::read_dir(folder.path().join("models")).unwrap();
    let own = own.filter(|entry| entry.as_ref().unwrap().path().is_file());
    assert_eq!(own.count(), 0, "what it had learned by itself is given up");
    detection.shutdown().await;
}

#[tokio::test]
async fn a_class_that_is_imported_asset_by_asset_learns_with_the_second_one() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), SHARED).await;
    for (asset, judged) in [(0, 1), (1, 2), (2, 3)] {
        wire.second = 0;
        wire.fleet(&[asset], 40, 0.0).await;
        wire.judged(&detection, judged).await;
    }
    let all = in_use(&detection);
    assert!(all[0].1.is_some(), "{all:?}");
    assert!(all.iter().all(|one| one.1 == all[0].1), "{all:?}");
    let by_itself = |report: &JobReport| matches!(report.result, Some(JobResult::Trained { .. }));
    let jobs = detection.jobs();
    assert_eq!((jobs.len(), by_itself(&jobs[1])), (2, true), "{jobs:?}");
    detection.shutdown().await;
}

#[tokio::test]
async fn what_a_person_has_learned_for_one_asset_stays_until_a_version_of_its_class_is_promoted() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), SHARED).await;
    wire.fleet(&[0, 1, 2], 45, 0.0).await;
    wire.judged(&detection, 3).await;
    let version = in_use(&detection)[0].1.clone().unwrap();
    let own = detection.train("R-1", at(300), at(2700)).await.unwrap();
    assert_eq!(own.class_model, None);
    wire.fleet(&[0, 1, 2], 2, 0.0).await;
    wire.settle_of(&detection).await;
    detection.shutdown().await;

    let detection = wire.start(&book, folder.path(), SHARED).await;
    wire.judged(&detection, 3).await;
    let classes: Vec<bool> = in_use(&detection)
        .into_iter()
        .map(|one| one.1.is_some())
        .collect();
    assert_eq!(classes, [true, false, true]);
    assert_eq!(detection.models()[1].version, own.version);
    detection
        .promote_class("rig", &version, "bob")
        .await
        .unwrap();
    assert_eq!(in_use(&detection)[1].1, Some(version));
    assert_eq!(alarms(&book).await, []);
    detection.shutdown().await;
}

#[tokio::test]
async fn late_rows_of_a_class_that_shares_revise_and_turn_no_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), SHARED).await;
    let minutes = |from: i64, to: i64| (from * 10..to * 10).map(|n| 6 * n).collect::<Vec<i64>>();
    let old = [0, 1, 2];
    wire.fleet(&old, 5, 0.0).await;
    // While it learns: one window of thirty is not learned from.
    wire.commit(sized(1, &minutes(2, 3), 60.0), true).await;
    wire.fleet(&old, 30, 0.0).await;
    wire.judged(&detection, 3).await;
    wire.fleet(&old, 10, 0.0).await;
    wire.commit(sized(1, &minutes(38, 43), 60.0), true).await;
    // And of an asset that collects its reference.
    let all = [0, 1, 2, 8];
    wire.fleet(&all, 10, 0.0).await;
    wire.commit(sized(8, &minutes(46, 48), 60.0), true).await;
    wire.fleet(&all, 15, 0.0).await;
    wire.judged(&detection, 4).await;
    // A window whose rows come in two looks is revised twice.
    let revised = wait_for("five windows are revised", async || {
        let mut scores = detection.scores("R-1")?;
        scores.retain(|score| score.revision > 0);
        (scores.len() == 5).then_some(scores)
    })
    .await;
    let ends: Vec<DateTime<Utc>> = revised.iter().map(|score| score.time).collect();
    assert_eq!(ends, [39, 40, 41, 42, 43].map(|minute| at(60 * minute)));
    for score in revised {
        assert!(score.ratio > 1.0 && !score.out_of_band, "{score:?}");
    }
    assert_eq!(alarms(&book).await, []);
    detection.shutdown().await;
}

/// What a class of three has learned in an hour; ten minutes of one of them were wrong at first, or
/// missing.
async fn learned(wrong: Option<f64>, corrected: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), SHARED).await;
    let seconds: Vec<i64> = (100..200).map(|n| 6 * n).collect();
    wire.fleet(&[0, 2, 1], 10, 0.0).await;
    match wrong {
        Some(fault) => wire.fleet(&[0, 2, 1], 10, fault).await,
        None => wire.fleet(&[0, 2], 10, 0.0).await,
    }
    wire.fleet(&[0, 2, 1], 5, 0.0).await;
    if corrected {
        wire.commit(sized(1, &seconds, 0.0), true).await;
        wire.flush(folder.path());
    }
    wire.fleet(&[0, 2, 1], 20, 0.0).await;
    wire.judged(&detection, 3).await;
    detection.shutdown().await;
    let kept = models::ModelFolder::open(&folder.path().join("models")).unwrap();
    let (model, members) = kept.classes().unwrap().remove(0);
    format!(
        "{} {}",
        serde_json::to_string(&model).unwrap(),
        serde_json::to_string(&members).unwrap()
    )
}

#[tokio::test]
async fn a_class_learns_from_what_came_late_as_if_it_had_come_in_time() {
    let in_time = learned(Some(0.0), false).await;
    assert_eq!(learned(Some(3.0), true).await, in_time);
    assert_eq!(learned(None, true).await, in_time);
    assert_ne!(learned(Some(3.0), false).await, in_time);
}

#[tokio::test]
async fn a_fault_inside_the_learning_period_of_one_asset_hides_it_in_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), SHARED).await;
    wire.fleet(&[0, 1, 2, 3], 10, 0.0).await;
    wire.fleet(&[0, 1, 2, 3], 1, 60.0).await;
    wire.fleet(&[0, 1, 2, 3], 24, 0.0).await;
    wire.judged(&detection, 4).await;
    wire.fleet(&[3, 2, 1, 0], 10, 8.0).await;
    wire.settle_of(&detection).await;
    let all = AlarmFilter {
        limit: 100,
        ..AlarmFilter::default()
    };
    let raised = book.list(&all).await.unwrap();
    let raised: Vec<&str> = raised.iter().map(|alarm| &*alarm.asset).collect();
    assert_eq!(raised, ["R-0"]);
    detection.shutdown().await;
}

#[tokio::test]
async fn a_class_whose_assets_learn_by_themselves_is_not_learned_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), "").await;
    wire.send(10, 0.0).await;
    let job = detection.begin_job(training(Then::Keep, (0, 600))).unwrap();
    let report = ended(&detection, job.number).await;
    assert_eq!(report.state, JobState::Failed);
    assert!(report.failure.unwrap().contains("set sharing"));
    detection.shutdown().await;
}

impl Wire {
    /// Waits until everything is followed.
    async fn settle_of(&self, detection: &Detection) {
        wait_for("everything is followed", async || {
            let stats = detection.stats();
            (stats.caught_up && stats.behind == 0 && stats.unkept == 0).then_some(())
        })
        .await;
    }
}
