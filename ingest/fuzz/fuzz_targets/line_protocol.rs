//! Payloads of line protocol.
#![no_main]

use fieldwright_ingest::fuzzing::{Kind, Payloads};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    Payloads::new(Kind::LineProtocol).take(payload);
});
