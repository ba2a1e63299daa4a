//! Files that are away or damaged.

use super::*;

#[tokio::test]
async fn a_file_that_is_away_is_read_when_it_is_back_and_a_damaged_one_costs_its_own_rows() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let detection = wire.start(&book, folder.path(), LASTING).await;
    let mut lives = wire.failed(&LASTED).await;
    let began = 200 * HOUR;
    let newest = began + 104 * HOUR;
    detection.take_lives(lives.clone()).await;
    wire.follows(&detection).await;
    learned(&detection, true).await;
    wire.flush(folder.path());
    wire.rows(life("P-1", (began, 0..60), 120), began + 60 * HOUR)
        .await;
    wire.rows(life("P-2", (began, 0..60), 120), began + 60 * HOUR)
        .await;
    let files = || {
        let all = std::fs::read_dir(folder.path()).unwrap();
        let paths = all.map(|entry| entry.unwrap().path());
        let files = paths.filter(|path| path.extension().is_some_and(|own| own == "parquet"));
        files.collect::<std::collections::BTreeSet<_>>()
    };
    let before = files();
    wire.flush(folder.path());
    let now = files();
    let [file] = now.difference(&before).collect::<Vec<_>>()[..] else {
        panic!("one flush writes one file")
    };
    wire.rows(life("P-1", (began, 60..105), 120), began + 105 * HOUR)
        .await;
    wire.rows(life("P-2", (began, 60..105), 120), began + 105 * HOUR)
        .await;
    lives.push(told("P-1", began, &[]));
    detection.take_lives(lives.clone()).await;
    let whole = estimate(&detection, "P-1", newest).await;

    // The second one is told of while the file is away.
    let away = folder.path().join("away");
    std::fs::rename(file, &away).unwrap();
    lives.push(told("P-2", began, &[]));
    detection.take_lives(lives.clone()).await;
    process_sleep(Duration::from_millis(200)).await;
    let unread = detection.remaining_life("P-2").unwrap_err();
    assert!(
        matches!(unread, NoRemainingLife::NoReading(_)),
        "{unread:?}"
    );
    std::fs::rename(&away, file).unwrap();
    let late = estimate(&detection, "P-2", newest).await;
    assert_eq!(late.remaining, whole.remaining);

    // What is after a damaged file is followed all the same.
    let mut bytes = std::fs::read(file).unwrap();
    let end = bytes.len() / 2;
    bytes[4..end].fill(0xff);
    std::fs::write(file, bytes).unwrap();
    lives.push(told("P-3", began, &[]));
    detection.take_lives(lives).await;
    wire.rows(life("P-3", (began, 0..105), 120), began + 105 * HOUR)
        .await;
    let other = estimate(&detection, "P-3", newest).await;
    assert_eq!(other.remaining, whole.remaining);
    detection.shutdown().await;
}
