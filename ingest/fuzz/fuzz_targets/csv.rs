//! Payloads of CSV.
#![no_main]

use fieldwright_ingest::fuzzing::{Kind, Payloads};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    Payloads::new(Kind::Csv).take(payload);
});
