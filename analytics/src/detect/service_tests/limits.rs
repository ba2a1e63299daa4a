//! Limits that people promoted are in force in the detectors.

use super::*;

/// How far `b` goes off: some times the limit that was learned.
const FAULT: f64 = 1.0;

fn factor(factor: f64) -> Vec<LimitFactor> {
    vec![LimitFactor {
        class: "rig".to_owned(),
        cause: "pca".to_owned(),
        factor,
    }]
}

/// The ratio of the alarm when it was raised, and the factor that it was raised under.
async fn told(book: &AlarmBook) -> Option<(f64, f64)> {
    let alarm = book.store().open_alarm("R-1", "pca").await.unwrap()?;
    let of = |name: &str| alarm.evidence[name].as_f64();
    Some((of("ratio")?, of("limit_factor")?))
}

/// Learns, then shows the same small fault: with the limit as learned, and with a promoted one.
#[tokio::test]
async fn the_same_readings_raise_no_alarm_under_a_promoted_limit() {
    for (promoted, raises) in [(1.0, true), (1_000.0, false)] {
        let folder = tempfile::tempdir().unwrap();
        let book = memory_book().await;
        let mut wire = Wire::new();
        let detection = wire.start(&book, folder.path(), "").await;
        wire.send(45, 0.0).await;
        wire.settle(&detection).await;
        if !raises {
            assert!(detection.set_limit_factor(&factor(promoted)[0]));
        }
        wire.send(10, FAULT).await;
        wire.settle(&detection).await;
        let state = detection.health("R-1").state;
        match raises {
            true => assert_eq!(state, HealthState::Alarm),
            false => assert_eq!(state, HealthState::Normal),
        }
        assert_eq!(alarms(&book).await.len(), usize::from(raises));
        detection.shutdown().await;
    }
}

/// In force from the start on, shown, multiplied, and taken back.
#[tokio::test]
async fn a_promoted_limit_survives_a_restart_and_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), "").await;
    wire.send(45, 0.0).await;
    wire.settle(&detection).await;
    assert!(detection.models()[0].limit_factors.is_empty());
    detection.shutdown().await;

    wire.limits = factor(1_000.0);
    let detection = wire.start(&book, folder.path(), "").await;
    let shown = detection.models()[0].limit_factors.clone();
    assert_eq!(
        shown.into_iter().collect::<Vec<_>>(),
        [("pca".to_owned(), 1_000.0)]
    );
    wire.send(10, FAULT).await;
    wire.settle(&detection).await;
    assert_eq!(alarms(&book).await, []);
    // Another detector's limit, and what is none of a detector, change nothing.
    assert!(detection.takes_limit("rig", "pca"));
    assert!(!detection.takes_limit("rig", "too_hot"));
    let other = LimitFactor {
        cause: "too_hot".to_owned(),
        ..factor(2.0).remove(0)
    };
    assert!(!detection.set_limit_factor(&other));

    // Back to two times the learned limit: this fault is still beyond it.
    assert!(detection.set_limit_factor(&factor(2.0)[0]));
    wire.send(10, FAULT).await;
    wire.settle(&detection).await;
    let (ratio, under) = told(&book).await.unwrap();
    assert_eq!(under, 2.0);
    assert!((1.0..500.0).contains(&ratio), "{ratio}");
    detection.shutdown().await;
}
