//! What outlives a connection, and what outlives the process.

use std::path::Path;

use super::version_5::connect_5;
use super::*;

/// A session of an hour.
const HOUR: &[u8] = &[0x11, 0, 0, 14, 16];

async fn kept(folder: &Path) -> Bench {
    let rules = crate::config::IngestConfig::default().rules;
    Bench::of(EndpointConfig {
        rules: Some(rules),
        folder: Some(folder.to_owned()),
        ..here()
    })
    .await
}

/// A CONNECT of 3.1.1 that wants its session kept.
fn connect_kept(client_id: &str) -> Vec<u8> {
    let mut packet = connect(client_id, 0);
    packet[9] = 0;
    packet
}

impl Bench {
    /// A client of 3.1.1 whose session is kept.
    async fn resumed(&self, client_id: &str, present: bool) -> Raw {
        let mut raw = self.raw().await;
        raw.send(&connect_kept(client_id)).await;
        raw.expect(&[0x20, 2, u8::from(present), 0]).await;
        raw
    }
}

/// As after `kill -9`: nothing is shut down, nothing more is written.
async fn kill(bench: Bench) {
    drop(bench);
}

#[tokio::test]
async fn sessions_retained_messages_and_commands_survive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mqtt");
    {
        let bench = kept(&folder).await;
        let mut device = bench.resumed("device", false).await;
        device.send(&subscribe("cmd/+", 2)).await;
        device.expect(&[0x90, 3, 0, 9, 2]).await;
        device.send(&subscribe("old", 1)).await;
        device.expect(&[0x90, 3, 0, 9, 1]).await;
        device.send(&[0xa2, 7, 0, 3, 0, 3, b'o', b'l', b'd']).await;
        device.expect(&[0xb0, 2, 0, 3]).await;
        drop(device);
        until(|| bench.endpoint.stats().connections == 0).await;
        let mut operator = bench.connected("operator", 0).await;
        for (id, packet) in [
            publish("cmd/start", "1", 1, 1),
            publish("cmd/stop", "2", 2, 2),
            publish("cmd/lost", "3", 0, 0),
            publish("old", "4", 1, 3),
        ]
        .into_iter()
        .enumerate()
        {
            operator.send(&packet).await;
            match id {
                0 => operator.expect(&[0x40, 2, 0, 1]).await,
                1 => operator.expect(&[0x50, 2, 0, 2]).await,
                3 => operator.expect(&[0x40, 2, 0, 3]).await,
                _ => {}
            }
        }
        let mut retained = publish("state", "on", 1, 4);
        retained[0] |= 1;
        operator.send(&retained).await;
        operator.expect(&[0x40, 2, 0, 4]).await;
        let mut removed = publish("gone", "x", 1, 5);
        removed[0] |= 1;
        operator.send(&removed).await;
        operator.expect(&[0x40, 2, 0, 5]).await;
        let mut removal = publish("gone", "", 1, 6);
        removal[0] |= 1;
        operator.send(&removal).await;
        operator.expect(&[0x40, 2, 0, 6]).await;
        kill(bench).await;
    }
    let bench = kept(&folder).await;
    assert_eq!(bench.endpoint.stats().sessions, 1, "the operator's is gone");
    let mut device = bench.resumed("device", true).await;
    let mut start = publish("cmd/start", "1", 1, 1);
    let mut stop = publish("cmd/stop", "2", 2, 2);
    start[0] |= 8;
    stop[0] |= 8;
    device.expect(&[start, stop].concat()).await;
    device.send(&[0x40, 2, 0, 1, 0x50, 2, 0, 2]).await;
    device.expect(&[0x62, 2, 0, 2]).await;
    device.send(&subscribe("#", 0)).await;
    device.expect(&[0x90, 3, 0, 9, 0]).await;
    let mut state = publish("state", "on", 0, 0);
    state[0] |= 1;
    device.expect(&state).await;
    device.expect_nothing().await;
    // It received the second one and did not say that it is done: only that is left.
    kill(bench).await;
    let bench = kept(&folder).await;
    let mut device = bench.resumed("device", true).await;
    device.expect(&[0x62, 2, 0, 2]).await;
    device.send(&[0x70, 2, 0, 2]).await;
    device.expect_nothing().await;
    // Who wants to begin anew, begins anew, now and after the next restart.
    let mut clean = bench.connected("device", 0).await;
    clean.expect_nothing().await;
    kill(bench).await;
    let bench = kept(&folder).await;
    bench.resumed("device", false).await.expect_nothing().await;
}

#[tokio::test]
async fn quality_2_counts_once_across_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mqtt");
    let topic = "fieldwright/pump/p1";
    let mut again = publish(topic, "1", 2, 7);
    {
        let mut bench = kept(&folder).await;
        let mut device = bench.resumed("device", false).await;
        device.send(&again).await;
        bench.confirm(1).await;
        device.expect(&[0x50, 2, 0, 7]).await;
        // Never confirmed by the pipeline, so never told and never remembered.
        device.send(&publish(topic, "2", 2, 8)).await;
        let _ = bench.delivery().await;
        kill(bench).await;
    }
    again[0] |= 8;
    let mut bench = kept(&folder).await;
    {
        let mut device = bench.resumed("device", true).await;
        device.send(&again).await;
        device.expect(&[0x50, 2, 0, 7]).await;
        assert!(bench.deliveries.try_recv().is_err(), "it came before");
        device.send(&publish(topic, "2", 2, 8)).await;
        assert_eq!(bench.confirm(1).await, [format!("{topic}=2")]);
        device.expect(&[0x50, 2, 0, 8]).await;
        device.send(&[0x62, 2, 0, 7]).await;
        device.expect(&[0x70, 2, 0, 7]).await;
    }
    kill(bench).await;
    let mut bench = kept(&folder).await;
    let mut device = bench.resumed("device", true).await;
    // Released: the id stands for another message now.
    device.send(&publish(topic, "3", 2, 7)).await;
    assert_eq!(bench.confirm(1).await, [format!("{topic}=3")]);
    device.expect(&[0x50, 2, 0, 7]).await;
    device.send(&publish(topic, "2", 2, 8)).await;
    device.expect(&[0x50, 2, 0, 8]).await;
    assert!(bench.deliveries.try_recv().is_err());
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mqtt");
    {
        let bench = kept(&folder).await;
        let (mut short, _) = bench.connected_5("short", true, &[0x11, 0, 0, 0, 1]).await;
        let (_long, _) = bench.connected_5("long", true, HOUR).await;
        let (mut ended, _) = bench.connected_5("ended", true, HOUR).await;
        // The goodbye says that nothing is to be kept.
        ended.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0]).await;
        assert_eq!(ended.rest().await, NOTHING);
        until(|| bench.endpoint.stats().sessions == 2).await;
        short.send(&[0xe0, 0]).await;
        assert_eq!(short.rest().await, NOTHING);
        until(|| bench.endpoint.stats().sessions == 1).await;
        kill(bench).await;
    }
    let bench = kept(&folder).await;
    // Should the end itself have been lost, its time is over all the same.
    until(|| bench.endpoint.stats().sessions == 1).await;
    assert!(bench.connected_5("long", false, HOUR).await.1);
    assert!(!bench.connected_5("short", false, HOUR).await.1);
}

#[tokio::test]
async fn a_will_may_wait_and_is_taken_back() {
    let bench = Bench::start().await;
    let mut bench = bench;
    let with_will = |delay: u8, expiry: u8| {
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 5, 0b110, 0, 0];
        body.extend([5, 0x11, 0, 0, 0, expiry, 0, 1, b'c']);
        body.extend([5, 0x18, 0, 0, 0, delay, 0, 1, b'w', 0, 1, b'm']);
        [&[0x10, body.len() as u8], &body[..]].concat()
    };
    let connected = async |bench: &Bench, packet: &[u8]| {
        let mut raw = bench.raw().await;
        raw.send(packet).await;
        assert_eq!(raw.packet().await[3], 0);
        raw
    };
    // At once, after the delay, at the end of a shorter session.
    for (delay, expiry) in [(0, 60), (1, 60), (60, 1), (60, 0)] {
        drop(connected(&bench, &with_will(delay, expiry)).await);
        assert_eq!(bench.confirm(1).await, ["w=m"], "{delay} {expiry}");
    }
    // Who comes back to its session in time takes it back; who begins anew does not.
    drop(connected(&bench, &with_will(60, 60)).await);
    until(|| bench.endpoint.stats().connections == 0).await;
    let (mut back, present) = bench.connected_5("c", false, HOUR).await;
    assert!(present);
    back.send(&[0xe0, 0]).await;
    assert_eq!(back.rest().await, NOTHING);
    drop(connected(&bench, &with_will(60, 60)).await);
    until(|| bench.endpoint.stats().connections == 0).await;
    let (_new, present) = bench.connected_5("c", true, &[]).await;
    assert!(!present);
    assert_eq!(bench.confirm(1).await, ["w=m"]);
    assert!(bench.deliveries.try_recv().is_err());
}

#[tokio::test]
async fn a_full_house_keeps_no_more_sessions() {
    let limits = EndpointLimits {
        sessions: 1,
        ..EndpointLimits::default()
    };
    let bench = Bench::with(limits).await;
    let _first = bench.connected_5("first", true, HOUR).await;
    let mut second = bench.raw().await;
    second.send(&connect_5("second", true, HOUR)).await;
    second.expect(&[0x20, 3, 0, 0x97, 0]).await;
    // Who needs none comes in, and the one who has one comes back.
    bench.connected("second", 0).await.expect_nothing().await;
    assert!(bench.connected_5("first", false, HOUR).await.1);
}

/// The older connection's messages are settled before the newer one begins.
#[tokio::test]
async fn a_connection_that_is_taken_over_finishes_first() {
    let mut bench = Bench::start().await;
    let mut old = bench.resumed("c", false).await;
    old.send(&publish("a", "1", 2, 7)).await;
    let (_, receipt) = bench.delivery().await;
    let mut new = bench.raw().await;
    new.send(&connect_kept("c")).await;
    bench.closed_for(CloseReason::TakenOver).await;
    receipt.confirm();
    new.expect(&[0x20, 2, 1, 0]).await;
    new.send(&publish("a", "1", 2, 7)).await;
    new.expect(&[0x50, 2, 0, 7]).await;
    assert!(bench.deliveries.try_recv().is_err(), "it came before");
}

#[tokio::test]
async fn the_log_is_compacted_and_keeps_what_counts() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mqtt");
    let large = "x".repeat(200_000);
    {
        let bench = kept(&folder).await;
        let mut device = bench.resumed("device", false).await;
        device.send(&subscribe("cmd", 1)).await;
        device.expect(&[0x90, 3, 0, 9, 1]).await;
        device.send(&[0xe0, 0]).await;
        assert_eq!(device.rest().await, NOTHING);
        let mut operator = bench.connected("operator", 0).await;
        operator.send(&publish("cmd", "kept", 1, 1)).await;
        operator.expect(&[0x40, 2, 0, 1]).await;
        for id in 1..=60u16 {
            let mut packet = publish("big", &large, 1, id);
            packet[0] |= 1;
            operator.send(&packet).await;
            let [high, low] = id.to_be_bytes();
            operator.expect(&[0x40, 2, high, low]).await;
        }
        let snapshots = || {
            std::fs::read_dir(&folder).unwrap().any(|entry| {
                let name = entry.unwrap().file_name();
                name.to_string_lossy().starts_with("snapshot-")
            })
        };
        until(snapshots).await;
        // The logs that the snapshot replaces go after it stands.
        let bytes = || -> u64 {
            std::fs::read_dir(&folder)
                .unwrap()
                .filter_map(|entry| entry.ok()?.metadata().ok())
                .map(|data| data.len())
                .sum()
        };
        until(|| bytes() < 9 << 20).await;
        kill(bench).await;
    }
    let bench = kept(&folder).await;
    let mut device = bench.resumed("device", true).await;
    let mut kept = publish("cmd", "kept", 1, 1);
    kept[0] |= 8;
    device.expect(&kept).await;
}
