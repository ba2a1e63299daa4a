//! Packets as they should be, and then not quite: no input may end in a panic.

use super::*;
use crate::mqtt::fuzzing;

/// 50,000; more with `FIELDWRIGHT_MUTATIONS`.
fn rounds() -> u64 {
    let asked = std::env::var("FIELDWRIGHT_MUTATIONS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(50_000)
}

/// Whole packets of clients, both versions, and some that are wrong.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let five = version_5::connect_5;
    let will = [
        &[0x10, 46, 0, 4][..],
        b"MQTT",
        &[5, 0b1111_0110, 0, 60, 5, 0x11, 0, 0, 0, 9, 0, 1, b'c'],
        &[7, 0x18, 0, 0, 0, 5, 0x01, 1, 0, 1, b'w', 0, 1, b'm'],
        &[0, 1, b'u', 0, 1, b'p'],
    ]
    .concat();
    vec![
        connect("client", 60),
        five("client", true, &[0x11, 0, 0, 0, 9, 0x21, 0, 7]),
        will,
        publish("a/b", "payload", 0, 0),
        publish("a/b", "payload", 1, 7),
        publish("fieldwright/pump/p1", "{}", 2, 8),
        [
            &[0x32, 16, 0, 1, b't', 0, 1, 10][..],
            &[0x23, 0, 1, 2, 0, 0, 0, 9, 1, 1, b'p'],
        ]
        .concat(),
        [
            &[0x30, 14, 0, 1, b't', 9][..],
            &[0x26, 0, 2, b'k', b'k', 0, 2, b'v', b'v', b'p'],
        ]
        .concat(),
        vec![0x40, 2, 0, 1],
        vec![0x50, 3, 0, 1, 0x10],
        vec![0x62, 4, 0, 1, 0, 0],
        vec![0x70, 2, 0, 1],
        subscribe("a/+/#", 1),
        vec![0x82, 10, 0, 9, 2, 0x0b, 5, 0, 1, b'a', 0x2e, 0],
        vec![0xa2, 5, 0, 3, 0, 1, b'a'],
        vec![0xa2, 6, 0, 3, 0, 0, 1, b'a'],
        vec![0xc0, 0],
        vec![0xe0, 0],
        vec![0xe0, 7, 0, 5, 0x11, 0, 0, 0, 9],
        vec![0x82, 0xff, 0xff, 0xff, 0x7f],
    ]
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }
}

/// One to four changes: a byte, a bit, a cut, a repetition, a piece of another packet.
fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(packet.len());
        match random.below(6) {
            0 if !packet.is_empty() => packet[at] = random.next() as u8,
            1 if !packet.is_empty() => packet[at] ^= 1 << random.below(8),
            2 => packet.truncate(at),
            3 => packet.insert(at, random.next() as u8),
            4 => packet.extend_from_slice(&packet.clone()[at..]),
            _ => packet.extend_from_slice(&corpus[random.below(corpus.len())]),
        }
    }
    packet
}

#[test]
fn no_mutation_of_a_packet_panics() {
    let corpus = corpus();
    for packet in &corpus {
        fuzzing::packets(packet);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds() {
        let packet = mutate(&mut random, &corpus);
        fuzzing::packets(&packet);
    }
}

/// The same against the whole endpoint, which goes on as if nothing were.
#[tokio::test]
async fn an_endpoint_takes_any_bytes() {
    let mut bench = Bench::start().await;
    let corpus = corpus();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let address = bench.endpoint.local_addr();
    let drain = async {
        loop {
            bench.confirm(1).await;
        }
    };
    let attack = async {
        for round in 0..300 {
            let mut raw = Raw(TcpStream::connect(address).await.unwrap());
            let greeting = match round % 3 {
                0 => connect("m", 0),
                1 => version_5::connect_5("m", false, &[0x11, 0, 0, 0, 9]),
                _ => Vec::new(),
            };
            raw.send(&greeting).await;
            for _ in 0..4 {
                // It may have been closed by now.
                let _ = raw.0.write_all(&mutate(&mut random, &corpus)).await;
            }
        }
    };
    tokio::select! {
        () = attack => {}
        () = drain => {}
    }
    bench.connected("after", 0).await.expect_nothing().await;
}
