//! Fuzzing of every codec within the tests: right payloads, and what a seed makes of them.
//!
//! 35,000 mutations of each of six kinds; `FIELDWRIGHT_MUTATIONS` says how many. The packets of
//! the endpoint have such a test beside their reader. `ingest/fuzz` has the targets for libFuzzer.

use fieldwright_ingest::fuzzing::{Kind, Payloads};

/// What the codecs know begins anew after so many payloads.
const FORGETS_AFTER: usize = 500;

/// A seed and what follows from it.
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

/// Bytes that mean something to one codec or another.
const TELLING: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b",",
    b":",
    b"=",
    b" ",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xFF",
    b"\x80",
    b"null",
    b"NaN",
    b"1e999",
    b"-0",
    b"18446744073709551616",
    b"\\ud800",
    b"\xFF\xFF\xFF\xFF\x0F",
    b"\xFF\xFF\xFF\x7F",
    b"time",
    b"asset",
    b"__text",
];

fn mutated(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => {
                let telling = TELLING[random.below(TELLING.len())];
                bytes.splice(at..at, telling.iter().copied());
            }
            4 => {
                let end = (at + random.below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let from = random.below(bytes.len() + 1);
                let part = bytes[from.min(at)..from.max(at)].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let cut = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[cut..]);
            }
        }
        bytes.truncate(8 << 10);
    }
    bytes
}

fn check(kind: Kind, rounds: usize) {
    let corpus = Payloads::corpus(kind);
    let mut payloads = Payloads::new(kind);
    for (number, right) in corpus.iter().enumerate() {
        let accepted = payloads.take(right);
        // The deaths of Sparkplug hold no reading.
        let silent = kind == Kind::SparkplugB && number >= 4;
        assert_eq!(
            accepted, !silent,
            "{kind:?}: payload {number} of the corpus"
        );
    }
    let mut random = Random(0x00F1_E1D5 ^ rounds as u64);
    let (mut accepted, mut input) = (0, Vec::new());
    for round in 0..rounds {
        if round % FORGETS_AFTER == 0 {
            payloads = Payloads::new(kind);
        }
        // Now and then a right one, so that there is something to be confused about.
        let (one, other) = (random.below(corpus.len()), random.below(corpus.len()));
        input = match random.below(8) {
            0 => corpus[one].clone(),
            1 => mutated(&input, &corpus[other], &mut random),
            _ => mutated(&corpus[one], &corpus[other], &mut random),
        };
        let taken =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| payloads.take(&input)));
        match taken {
            Ok(taken) => accepted += usize::from(taken),
            Err(_) => panic!("{kind:?}: round {round} panics at {input:?}"),
        }
    }
    assert!(
        accepted > rounds / 20,
        "{kind:?}: only {accepted} of {rounds} were readings"
    );
    assert!(accepted < rounds, "{kind:?}: nothing was refused");
}

/// The reader of Arrow streams panics at some, which the codec catches and refuses: not news.
fn hush_what_is_caught() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let foreign = |file: &str| file.contains("arrow-") || file.contains("flatbuffers");
        if !panic.location().is_some_and(|at| foreign(at.file())) {
            tell(panic);
        }
    }));
}

#[test]
fn no_payload_ends_in_a_panic() {
    hush_what_is_caught();
    let rounds = std::env::var("FIELDWRIGHT_MUTATIONS").ok();
    let rounds = rounds.and_then(|text| text.parse().ok()).unwrap_or(35_000);
    std::thread::scope(|scope| {
        for kind in Kind::ALL {
            scope.spawn(move || check(kind, rounds));
        }
    });
}
