//! Any bytes as the packets of an MQTT client, 3.1.1 and 5: no input may panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fieldwright_ingest::mqtt::fuzzing::packets(bytes));
