//! Every way in which bytes of a client are read, for those who try any bytes.

use super::frame::{self, Version};
use super::{packet, property};

/// Reads `bytes` as the packets of a client of MQTT 3.1.1 and of one of MQTT 5, one after the
/// other, as the endpoint would.
pub fn packets(bytes: &[u8]) {
    for version in [Version::V4, Version::V5] {
        packets_of(bytes, version);
    }
}

fn packets_of(bytes: &[u8], version: Version) {
    let mut at = 0;
    while let Ok(Some(found)) = frame::scan(bytes, at, 1 << 20) {
        at = found.body.end;
        let body = &bytes[found.body.clone()];
        match found.first {
            first if frame::is_publish(first) => {
                if let Ok(publish) = frame::publish(bytes, &found, version) {
                    let properties = &bytes[publish.properties];
                    if let Ok(read) = property::of_publish(properties) {
                        property::passed_on(properties, read.passed);
                    }
                    let _ = super::topic::check_name(&bytes[publish.topic], 1_024, 32);
                }
            }
            frame::PUBACK | frame::PUBREC | frame::PUBREL | frame::PUBCOMP => {
                let _ = frame::acknowledgement(bytes, &found, version);
            }
            frame::CONNECT => drop(packet::connect(body)),
            frame::SUBSCRIBE => {
                packet::filters_in(body, 1, version);
                if let Ok(request) = packet::subscribe(body, version) {
                    for (filter, _) in &request.filters {
                        let _ = super::topic::shared(filter);
                        let _ = super::topic::check_filter(filter, 1_024, 32);
                    }
                }
            }
            frame::UNSUBSCRIBE => {
                packet::filters_in(body, 0, version);
                let _ = packet::unsubscribe(body, version);
            }
            frame::DISCONNECT => drop(packet::disconnect(body, version)),
            _ => {}
        }
    }
}
