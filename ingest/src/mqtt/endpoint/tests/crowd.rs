//! Those who mean no good, or have no time: honest clients do not notice them.

use std::time::Instant;

use super::*;
use crate::clock::process_now;

/// Sockets that say nothing; 10,000 with `FIELDWRIGHT_HALF_OPEN=10000` and enough descriptors.
fn half_open() -> usize {
    let asked = std::env::var("FIELDWRIGHT_HALF_OPEN").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

/// The time from publish to PUBACK, confirmed at once by the pipeline, `rounds` times, sorted.
async fn round_trips(bench: &mut Bench, honest: &mut Raw, rounds: u16) -> Vec<Duration> {
    let mut times = Vec::new();
    for id in 1..=rounds {
        let start: Instant = process_now();
        honest.send(&publish("a", "x", 1, id)).await;
        bench.confirm(1).await;
        let [high, low] = id.to_be_bytes();
        honest.expect(&[0x40, 2, high, low]).await;
        times.push(process_now() - start);
    }
    times.sort_unstable();
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_connections_and_a_slow_reader_are_not_noticed() {
    let limits = EndpointLimits {
        half_open: half_open(),
        connect_timeout: Duration::from_secs(60),
        ..EndpointLimits::default()
    };
    let mut bench = Bench::with(limits).await;
    let mut honest = bench.connected("honest", 0).await;
    round_trips(&mut bench, &mut honest, 200).await;
    let before = round_trips(&mut bench, &mut honest, 1_000).await;
    let mut silent = Vec::new();
    for number in 0..half_open() {
        let mut raw = bench.raw().await;
        if number % 2 == 0 {
            raw.send(&connect("half", 0)[..7]).await;
        }
        silent.push(raw);
    }
    // It wants everything and reads nothing.
    let mut slow = bench.connected("slow", 0).await;
    slow.send(&subscribe("#", 0)).await;
    slow.expect(&[0x90, 3, 0, 9, 0]).await;
    let after = round_trips(&mut bench, &mut honest, 1_000).await;
    let p99 = |times: &[Duration]| times[times.len() * 99 / 100];
    let (before, after) = (p99(&before), p99(&after));
    eprintln!(
        "p99 before {before:?}, beside {} half-open {after:?}",
        half_open()
    );
    // A shared machine hiccups by itself: the factor counts above a floor.
    let floor = Duration::from_millis(20);
    assert!(
        after <= 2 * before.max(floor),
        "{before:?} became {after:?}"
    );
    // All places are taken: a newcomer gets in all the same.
    bench.connected("new", 0).await.expect_nothing().await;
    drop(silent);
}

#[tokio::test]
async fn a_client_past_its_rate_is_read_more_slowly_and_loses_nothing() {
    let limits = EndpointLimits {
        messages_per_second: 50,
        ..EndpointLimits::default()
    };
    let mut bench = Bench::with(limits).await;
    let mut fast = bench.connected("fast", 0).await;
    let start = process_now();
    // The first fifty are free, then one every 20 ms.
    for id in 1..=75 {
        fast.send(&publish("a", "x", 1, id)).await;
        bench.confirm(1).await;
        fast.expect(&[0x40, 2, 0, id as u8]).await;
    }
    let took = process_now() - start;
    assert!(took >= Duration::from_millis(400), "{took:?}");
    let mut other = bench.connected("other", 0).await;
    let start = process_now();
    other.send(&publish("a", "y", 1, 1)).await;
    bench.confirm(1).await;
    other.expect(&[0x40, 2, 0, 1]).await;
    assert!(
        process_now() - start < Duration::from_secs(5),
        "its own bucket"
    );
}

/// A CONNECT with a will, of so many bytes and a few more.
fn large_connect(client_id: &str, bytes: usize) -> Vec<u8> {
    let text = |text: &[u8]| [&(text.len() as u16).to_be_bytes()[..], text].concat();
    let head = [0, 4, b'M', b'Q', b'T', b'T', 4, 0b110, 0, 0];
    let will = text(&vec![b'x'; bytes]);
    let body = [&head[..], &text(client_id.as_bytes()), &text(b"w"), &will].concat();
    let mut packet = vec![0x10];
    crate::mqtt::property::put_length(&mut packet, body.len());
    packet.extend(body);
    packet
}

#[tokio::test]
async fn who_is_not_known_yet_takes_little_memory() {
    let limits = EndpointLimits {
        connect_bytes: 48 << 10,
        all_connect_bytes: 64 << 10,
        ..EndpointLimits::default()
    };
    let bench = Bench::with(limits).await;
    // It announces 40 KiB and sends only the beginning.
    let mut half = bench.raw().await;
    half.send(&large_connect("half", 40 << 10)[..100]).await;
    let refused = async || {
        let mut other = bench.raw().await;
        let _ = other.0.write_all(&large_connect("other", 40 << 10)).await;
        // The CONNACK, or the end.
        let mut first = [0];
        !matches!(within(other.0.read(&mut first)).await, Ok(1))
    };
    // The first socket is read by another task: it may come second.
    while !refused().await {
        tokio::task::yield_now().await;
    }
    bench.closed_for(CloseReason::Refused).await;
    bench.connected("small", 0).await.expect_nothing().await;
    drop(half);
    let patience = process_now();
    while refused().await {
        assert!(patience.elapsed() < Duration::from_secs(20));
        tokio::task::yield_now().await;
    }
    let mut larger = bench.raw().await;
    let _ = larger.0.write_all(&large_connect("larger", 50 << 10)).await;
    assert!(larger.rest().await.is_empty());
    bench.closed_for(CloseReason::PacketTooLarge).await;
}

#[tokio::test]
async fn subscriptions_beyond_the_memory_for_all_are_refused() {
    let limits = EndpointLimits {
        all_subscription_bytes: 40_000,
        ..EndpointLimits::default()
    };
    let bench = Bench::with(limits).await;
    let deep = |number: u8| format!("{number}{}", "/a".repeat(31));
    let mut one = bench.connected("one", 0).await;
    for (number, code) in [(1, 1), (2, 1), (3, 0x80)] {
        one.send(&subscribe(&deep(number), 1)).await;
        one.expect(&[0x90, 3, 0, 9, code]).await;
    }
    let mut other = bench.connected("other", 0).await;
    other.send(&subscribe(&deep(3), 1)).await;
    other.expect(&[0x90, 3, 0, 9, 0x80]).await;
    drop(one);
    bench.closed_for(CloseReason::PeerClosed).await;
    until(|| bench.endpoint.stats().sessions == 1).await;
    other.send(&subscribe(&deep(3), 1)).await;
    other.expect(&[0x90, 3, 0, 9, 1]).await;
}
