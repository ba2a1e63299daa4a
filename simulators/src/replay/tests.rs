use super::*;
use crate::cancel::CancelSource;
use crate::clock::process_now;
use crate::mqtt::tests::TinyBroker;
use crate::world::WorldClock;

#[test]
fn spans_are_spoken() {
    assert_eq!(spoken(TimeDelta::seconds(90_061)), "+1 d 01:01:01");
    assert_eq!(spoken(-TimeDelta::seconds(59)), "-0 d 00:00:59");
}

const RECORDED: &str = "datetime;Current;Flow;anomaly;changepoint\n\
    2020-03-09 10:00:00;1.5;30;0;0\n\
    2020-03-09 10:00:01;x;31;0;1\n\
    2020-03-09 10:00:03;1.7;32;1;0\n\
    never;1.7;32;1;0\n\
    2020-03-09 10:00:02;1.6;33;1;0\n";

fn start() -> DateTime<Utc> {
    "2026-10-05T07:00:00Z".parse().unwrap()
}

/// Replays the file above under a clock of this rate.
async fn run(
    speed: Option<Speed>,
    keep_times: bool,
    rate: f64,
) -> (ReplayReport, Vec<(DateTime<Utc>, String)>, DateTime<Utc>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recorded.csv");
    std::fs::write(&file, RECORDED).unwrap();
    let broker = TinyBroker::start(usize::MAX).await;
    let config = ReplayConfig {
        file,
        asset: "R-1".into(),
        class: "rig".into(),
        speed,
        keep_times,
        broker: broker.address.as_str().into(),
        api: Endpoint::callback(|| None),
        token: None,
        talk: Talk::silent(),
    };
    let (_source, cancel) = CancelSource::new();
    let recording = Recording::open(&config.file).unwrap();
    let summary = recording.summarize().unwrap();
    let options = PublisherOptions {
        client_id: "replay".into(),
        window: 2,
    };
    let publisher = Publisher::open(config.broker.clone(), options, cancel.clone(), |()| ());
    let clock = WorldClock::new(start(), rate, process_now());
    let world = World {
        api: Api::new(config.api.clone(), None),
        clock,
    };
    let run = Run {
        config: &config,
        class: "rig",
        summary: &summary,
        world: &world,
        cancel: &cancel,
    };
    let report = run.send(&recording, publisher).await.unwrap();
    let end = world.clock.now();
    let messages = broker
        .acknowledged()
        .into_iter()
        .map(|(topic, payload)| {
            assert_eq!(topic, "fieldwright/rig/R-1");
            let payload: Value = serde_json::from_slice(&payload).unwrap();
            (
                payload["time"].as_str().unwrap().parse().unwrap(),
                payload["metrics"].to_string(),
            )
        })
        .collect();
    (report, messages, end)
}

fn offsets(messages: &[(DateTime<Utc>, String)]) -> Vec<i64> {
    messages
        .iter()
        .map(|(time, _)| (*time - messages[0].0).num_seconds())
        .collect()
}

#[tokio::test]
async fn rows_keep_their_order_and_labels_stay_at_home() {
    let (report, messages, end) = run(None, false, 60.0).await;
    assert_eq!(offsets(&messages), [0, 1, 3, 2]);
    let metrics: Vec<&str> = messages
        .iter()
        .map(|(_, metrics)| metrics.as_str())
        .collect();
    assert_eq!(
        metrics,
        [
            r#"{"Current":1.5,"Flow":30.0}"#,
            r#"{"Flow":31.0}"#,
            r#"{"Current":1.7,"Flow":32.0}"#,
            r#"{"Current":1.6,"Flow":33.0}"#,
        ]
    );
    assert_eq!(
        (report.rows, report.published, report.acknowledged),
        (5, 4, 4)
    );
    assert_eq!((report.skipped_rows, report.skipped_cells), (1, 1));
    // As fast as the clock: the first row is now and the rest is live.
    assert!(messages[0].0 >= start() && messages[2].0 <= end);
}

#[tokio::test]
async fn at_most_speed_the_newest_row_falls_at_its_sending() {
    let (report, messages, end) = run(Some(Speed::Max), false, 1.0).await;
    let newest = messages[2].0;
    assert!(newest >= start() && newest <= end, "{newest} {end}");
    assert!(messages[0].0 < start(), "the rest lies in the past");
    assert_eq!(report.first, Some(messages[0].0));
    let recorded: DateTime<Utc> = "2020-03-09T10:00:00Z".parse().unwrap();
    assert_eq!(
        report.shift_seconds,
        crate::world::seconds(messages[0].0 - recorded)
    );
}

#[tokio::test]
async fn kept_times_are_those_of_the_file() {
    let (report, messages, _) = run(Some(Speed::Max), true, 600.0).await;
    assert_eq!(
        messages[0].0,
        "2020-03-09T10:00:00Z".parse::<DateTime<Utc>>().unwrap()
    );
    assert_eq!(report.shift_seconds, 0.0);
}
