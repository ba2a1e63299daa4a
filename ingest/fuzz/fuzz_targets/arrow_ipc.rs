//! Payloads of Arrow IPC.
#![no_main]

use std::sync::Once;

use fieldwright_ingest::fuzzing::{Kind, Payloads};
use libfuzzer_sys::fuzz_target;

static HUSHED: Once = Once::new();

fuzz_target!(|payload: &[u8]| {
    // The codec catches panics of the foreign reader; libFuzzer's hook would end the process at
    // them. A panic that nobody catches still ends it.
    HUSHED.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    Payloads::new(Kind::ArrowIpc).take(payload);
});
