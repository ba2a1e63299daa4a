//! The store goes away, the feed overflows, detection is told to stop in the middle.

use super::store::{Mood, MoodyStore};
use super::*;

/// The news of alarms, as text.
async fn news(book: &AlarmBook) -> Vec<String> {
    let events = book.events_after(0, 1000).await.unwrap();
    let show = |e: &crate::alarms::AlarmEvent| {
        format!("{} {} {} {}", e.asset, e.kind, e.occurrence, e.time)
    };
    events.iter().map(show).collect()
}

/// Gives the news of two episodes, and what detection has done. The store is silent from minute
/// 61 on, until both are over.
async fn two_episodes(capacity: usize, silent: bool) -> (Vec<String>, DetectionStats) {
    let folder = tempfile::tempdir().unwrap();
    let (book, store) = MoodyStore::book().await;
    let mut wire = Wire::new();
    wire.capacity = capacity;
    let detection = wire.start(&book, folder.path(), "").await;
    for minute in 0..140 {
        if minute == 61 && silent {
            store.is_now(Mood::Silent);
        }
        let fault = match minute {
            60..=69 => 20.0,
            85..=94 => -20.0,
            _ => 0.0,
        };
        wire.send(1, fault).await;
        if minute % 25 == 0 {
            wire.flush(folder.path());
        }
        if minute < 60 || !silent {
            wire.settle(&detection).await;
        }
    }
    store.is_now(Mood::Well);
    // Nothing is sent any more: nobody says that the newest commits were left out.
    let stats = wire.settle(&detection).await;
    detection.shutdown().await;
    (news(&book).await, stats)
}

#[tokio::test]
async fn a_silent_store_makes_the_feed_overflow_and_no_alarm_is_missed() {
    let (calm, stats) = two_episodes(64, false).await;
    assert_eq!(calm.len(), 4, "{calm:?}");
    assert_eq!((stats.catch_ups, stats.left_out), (0, 0));
    for capacity in [1, 8] {
        let (torn, stats) = two_episodes(capacity, true).await;
        assert_eq!(torn, calm, "room for {capacity}");
        assert!(stats.catch_ups > 0, "{stats:?}");
    }
}

#[tokio::test]
async fn commits_that_are_left_out_at_the_start_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    wire.capacity = 1;
    wire.send(60, 0.0).await;
    let detection = wire.start(&book, folder.path(), "").await;
    wire.send(10, 20.0).await;
    wire.flush(folder.path());
    wire.send(10, 0.0).await;
    wire.settle(&detection).await;
    let expected = [("pca".into(), State::ReturnedUnacknowledged, 1)];
    assert_eq!(alarms(&book).await, expected);
    detection.shutdown().await;
}

#[tokio::test]
async fn saving_progress_holds_up_no_reading() {
    let folder = tempfile::tempdir().unwrap();
    let (book, store) = MoodyStore::book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), "").await;
    wire.send(1, 0.0).await;
    store.is_now(Mood::Silent);
    store.lets_wait().await;
    for _ in 0..60 {
        wire.send(1, 0.0).await;
        wire.settle(&detection).await;
        process_sleep(Duration::from_millis(1)).await;
    }
    wait_for("the model", async || detection.models().pop()).await;
    assert_eq!(detection.stats().left_out, 0);
    store.is_now(Mood::Well);
    let saved = wait_for("progress is saved", async || {
        let saved = store.progress().await.unwrap();
        saved.into_iter().find(|row| row.asset == "R-1")
    });
    assert_eq!(saved.await.class, "rig");
    detection.shutdown().await;
}

/// Progress that is on its way to the store when an alarm comes up.
#[tokio::test]
async fn older_progress_is_never_written_over_newer() {
    let folder = tempfile::tempdir().unwrap();
    let (book, store) = MoodyStore::book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), "").await;
    for _ in 0..60 {
        wire.send(1, 0.0).await;
        wire.settle(&detection).await;
    }
    store.is_now(Mood::NoProgress);
    wire.send(1, 0.0).await;
    store.lets_wait().await;
    wire.send(10, 20.0).await;
    wait_for("the alarm is found", async || {
        (detection.stats().findings > 0).then_some(())
    })
    .await;
    // An alarm that does not wait for its turn is saved by now.
    process_sleep(Duration::from_millis(20)).await;
    store.is_now(Mood::Well);
    store.has_answered().await;
    wire.settle(&detection).await;
    assert_eq!(alarms(&book).await.len(), 1);
    detection.shutdown().await;
    assert_eq!(store.went_back(), []);
}

#[tokio::test]
async fn what_the_store_refuses_for_good_holds_up_no_other_asset() {
    let folder = tempfile::tempdir().unwrap();
    let (book, store) = MoodyStore::book().await;
    store.is_now(Mood::Damaged("R-1"));
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), "").await;
    for minute in 0..90 {
        let fault = if (60..70).contains(&minute) {
            20.0
        } else {
            0.0
        };
        let seconds: Vec<i64> = (0..10).map(|n| wire.second + 6 * n).collect();
        wire.second += 60;
        for asset in ["R-1", "R-2"] {
            wire.commit(batch(asset, &seconds, fault), false).await;
        }
        wire.settle(&detection).await;
    }
    let news = news(&book).await;
    assert_eq!(news.len(), 2, "{news:?}");
    assert!(news.iter().all(|one| one.starts_with("R-2")), "{news:?}");
    assert_eq!(detection.stats().not_kept, 2, "raised and returned");
    wait_for("its progress is saved all the same", async || {
        let saved = store.progress().await.unwrap();
        let saved = saved.into_iter().find(|row| row.asset == "R-1")?;
        (saved.scored_through > at(80 * 60)).then_some(())
    })
    .await;
    detection.shutdown().await;
}

#[tokio::test]
async fn the_end_is_quick_without_the_store_and_the_alarm_is_found_at_the_next_start() {
    for mood in [Mood::Silent, Mood::NoAlarms] {
        let folder = tempfile::tempdir().unwrap();
        let (book, store) = MoodyStore::book().await;
        let mut wire = Wire::new();
        wire.capacity = 4;
        let first = wire.start(&book, folder.path(), "").await;
        for _ in 0..60 {
            wire.send(1, 0.0).await;
            wire.settle(&first).await;
        }
        store.is_now(mood);
        // Something to save at the end, which the silent store will not answer.
        wire.commit(batch("R-2", &[0], 0.0), false).await;
        wait_for("it is followed", async || {
            (first.stats().learning == 1).then_some(())
        })
        .await;
        for _ in 0..30 {
            wire.send(1, 20.0).await;
            // Time for the house to save progress that it must not save.
            process_sleep(Duration::from_millis(5)).await;
        }
        assert!(wire.skipped > 0, "the feed is full");
        assert_eq!(first.stats().unkept, 1, "and the finding is stuck");
        first.stop();
        let ended = tokio::time::timeout(Duration::from_secs(10), first.shutdown()).await;
        assert!(ended.is_ok(), "{mood:?}");
        assert_eq!(news(&book).await.len(), 0);

        store.is_now(Mood::Well);
        let second = wire.start(&book, folder.path(), "").await;
        let found = wait_for("the alarm", async || {
            let found = alarms(&book).await;
            (!found.is_empty()).then_some(found)
        });
        assert_eq!(
            found.await,
            [("pca".into(), State::ActiveUnacknowledged, 1)],
            "{mood:?}"
        );
        second.shutdown().await;
    }
}

/// Also an asset that is new and sends what is long past, of which event time says nothing.
#[tokio::test]
async fn what_is_committed_after_the_stop_is_found_at_the_next_start() {
    for flushed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let book = memory_book().await;
        let mut wire = Wire::new();
        wire.began = 30 * 86_400;
        wire.second = wire.began;
        let first = wire.start(&book, folder.path(), "").await;
        for _ in 0..60 {
            wire.send(1, 0.0).await;
            wire.settle(&first).await;
        }
        wire.flush(folder.path());
        wait_for("the file is marked as followed", async || {
            let saved = book.store().progress().await.unwrap();
            let mark = saved.into_iter().find(|row| row.asset.starts_with('/'))?;
            mark.state.contains("rig").then_some(())
        })
        .await;
        first.stop();
        let followed = first.stats().rows;
        wire.send(10, 20.0).await;
        for minute in 0..70 {
            let fault = if minute < 60 { 0.0 } else { 20.0 };
            let seconds: Vec<i64> = (0..10).map(|n| 60 * minute + 6 * n).collect();
            wire.commit(batch("R-2", &seconds, fault), false).await;
        }
        if flushed {
            wire.flush(folder.path());
        }
        first.shutdown().await;
        assert_eq!(first.stats().rows, followed, "stopped");
        let second = wire.start(&book, folder.path(), "").await;
        wire.settle(&second).await;
        let mut assets: Vec<String> = wait_for("both alarms", async || {
            let news = news(&book).await;
            (news.len() == 2).then_some(news)
        })
        .await;
        assets.sort();
        assert!(assets[0].starts_with("R-1 raised"), "{assets:?}");
        assert!(assets[1].starts_with("R-2 raised"), "{assets:?}");
        second.shutdown().await;
    }
}

#[tokio::test]
async fn a_device_that_flaps_does_not_delay_the_alarms_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (book, store) = MoodyStore::book().await;
    let mut wire = Wire::new();
    let class = CLASS.replace("[classes.rig]", "");
    let hot = "[classes.rig.thresholds.hot]\nmetric = 'b'\nabove = 60.0\nmin_duration = '0s'\n\
               severity = 'high'\n";
    let detection = wire
        .start(
            &book,
            folder.path(),
            &format!("[classes.rig]\n{class}\n{hot}"),
        )
        .await;
    let calm = |tag: &str| batch(tag, &[0], 0.0);
    wire.commit(calm("R-1"), false).await;
    wire.commit(calm("R-2"), false).await;
    wire.settle(&detection).await;
    // All of it has come before anything of it can be kept.
    store.is_now(Mood::Silent);
    wire.second = 400;
    let rows: Vec<RecordBatch> = (1..=400)
        .map(|second| batch("R-1", &[second], f64::from((second % 2) as i32) * 20.0))
        .collect();
    let rows = arrow::compute::concat_batches(&schema(), &rows).unwrap();
    wire.commit(rows, false).await;
    wire.commit(batch("R-2", &[400], 20.0), false).await;
    store.lets_wait().await;
    store.is_now(Mood::Well);
    wire.settle(&detection).await;
    detection.shutdown().await;

    let news = news(&book).await;
    let own = |tag: &str| news.iter().filter(|one| one.starts_with(tag)).count();
    assert_eq!((own("R-1"), own("R-2")), (400, 1));
    let place = news.iter().position(|one| one.starts_with("R-2")).unwrap();
    assert!(place <= 10, "{place}");
    // The turns of the one that flaps are kept in their order.
    let turns: Vec<&String> = news.iter().filter(|one| one.starts_with("R-1")).collect();
    let times = turns.iter().map(|one| one.rsplit_once(' ').unwrap().1);
    assert!(times.collect::<Vec<_>>().is_sorted());
    assert_eq!(store.went_back(), []);
}
