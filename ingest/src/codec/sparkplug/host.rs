//! The state of a primary host: nodes that name one wait for it before they send.

use bytes::Bytes;

use super::address::NAMESPACE;
use crate::commands::Outgoing;

/// The retained message that says whether the host `host_id` takes data.
///
/// `at` is the business clock's milliseconds since 1970; a will carries the instant of the
/// connection that it belongs to.
///
/// **Source** Eclipse Sparkplug 3.0.0, section 6.4.10.
pub fn host_state(host_id: &str, online: bool, at: i64) -> Outgoing {
    Outgoing {
        topic: format!("{NAMESPACE}/STATE/{host_id}"),
        payload: Bytes::from(format!("{{\"online\":{online},\"timestamp\":{at}}}")),
        qos: 1,
        retain: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_json_and_retained() {
        let state = host_state("fieldwright", true, 7);
        assert_eq!(state.topic, "spBv1.0/STATE/fieldwright");
        let payload: serde_json::Value = serde_json::from_slice(&state.payload).unwrap();
        assert_eq!(payload, serde_json::json!({"online": true, "timestamp": 7}));
        assert_eq!((state.qos, state.retain), (1, true));
    }
}
