//! Payloads of JSON of any shape.
#![no_main]

use fieldwright_ingest::fuzzing::{Kind, Payloads};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    Payloads::new(Kind::ShapedJson).take(payload);
});
