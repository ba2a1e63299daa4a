//! Messages of Sparkplug B, several in one input: a length, a type, a payload.
#![no_main]

use fieldwright_ingest::fuzzing::{Kind, Payloads};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut payloads = Payloads::new(Kind::SparkplugB);
    let mut rest = input;
    while let Some((length, more)) = rest.split_first() {
        let (message, after) = more.split_at(usize::from(*length).min(more.len()));
        payloads.take(message);
        rest = after;
    }
});
