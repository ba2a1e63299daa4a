//! What comes late revises, and raises nothing.

use super::*;

/// Seconds of readings from a minute to before another.
fn seconds(from: i64, to: i64) -> Vec<i64> {
    (from * 10..to * 10).map(|n| 6 * n).collect()
}

#[tokio::test]
async fn late_rows_revise_scores_and_turn_no_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), "").await;
    wire.send(45, 0.0).await;
    wire.settle(&detection).await;
    // Five minutes that were quite different, as it turns out.
    wire.commit(batch("R-1", &seconds(38, 43), 60.0), true)
        .await;
    wire.send(5, 0.0).await;
    wait_for("five windows are revised", async || {
        (detection.stats().revised == 5).then_some(())
    })
    .await;
    wire.settle(&detection).await;
    let scores = detection.scores("R-1").unwrap();
    let revised: Vec<_> = scores.iter().filter(|score| score.revision > 0).collect();
    let ends: Vec<DateTime<Utc>> = revised.iter().map(|score| score.time).collect();
    assert_eq!(ends, [39, 40, 41, 42, 43].map(|minute| at(60 * minute)));
    for score in revised {
        assert!(score.ratio > 1.0 && !score.out_of_band, "{score:?}");
    }
    assert_eq!(alarms(&book).await, []);
    assert_eq!(detection.health("R-1").state, HealthState::Normal);

    // An alarm that is up does not return because its windows turn out well.
    wire.send(6, 60.0).await;
    wire.settle(&detection).await;
    let up = [("pca".to_owned(), State::ActiveUnacknowledged, 1)];
    assert_eq!(alarms(&book).await, up);
    wire.commit(batch("R-1", &seconds(50, 56), 0.0), true).await;
    wire.send(3, 60.0).await;
    wait_for("six more are revised", async || {
        (detection.stats().revised == 11).then_some(())
    })
    .await;
    wire.settle(&detection).await;
    assert_eq!(alarms(&book).await, up);
    detection.shutdown().await;
}

/// The model of an hour, with ten minutes of the learning period wrong at first, or missing.
async fn learned(wrong: Option<f64>, corrected: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), "").await;
    wire.send(10, 0.0).await;
    match wrong {
        Some(fault) => wire.send(10, fault).await,
        None => wire.second += 600,
    }
    wire.send(5, 0.0).await;
    if corrected {
        wire.commit(batch("R-1", &seconds(10, 20), 0.0), true).await;
        wire.flush(folder.path());
    }
    wire.send(20, 0.0).await;
    wire.settle(&detection).await;
    detection.shutdown().await;
    let kept = models::ModelFolder::open(&folder.path().join("models"));
    let models = kept.unwrap().load().unwrap();
    serde_json::to_string(&models[0]).unwrap()
}

#[tokio::test]
async fn what_comes_late_while_learning_is_learned_as_if_it_had_come_in_time() {
    let in_time = learned(Some(0.0), false).await;
    assert_eq!(learned(Some(3.0), true).await, in_time);
    assert_eq!(learned(None, true).await, in_time);
    assert_ne!(learned(Some(3.0), false).await, in_time);
}
