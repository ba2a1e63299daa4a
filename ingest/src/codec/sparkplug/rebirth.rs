//! Asking nodes for their births again.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;

use super::address::NAMESPACE;
use super::wire::{Metric, MetricValue, Payload};
use crate::commands::Outgoing;

/// The metric whose command makes a node say its births again.
const REBIRTH: &str = "Node Control/Rebirth";

/// A node: group and name.
pub(crate) type NodeId = (Box<str>, Box<str>);

/// Asks each node at most once in a while, on the process clock.
#[derive(Debug)]
pub(crate) struct RebirthRequests {
    pause: Duration,
    /// Most nodes that are remembered.
    most: usize,
    asked: HashMap<NodeId, Instant>,
}

impl RebirthRequests {
    pub(crate) fn new(pause: Duration, most: usize) -> Self {
        Self {
            pause,
            most,
            asked: HashMap::new(),
        }
    }

    /// The commands for the nodes that were not asked a moment ago.
    ///
    /// `at` stamps the command: milliseconds since 1970 on the business clock.
    pub(crate) fn commands(
        &mut self,
        nodes: BTreeSet<NodeId>,
        now: Instant,
        at: i64,
    ) -> Vec<Outgoing> {
        let mut commands = Vec::new();
        for node in nodes {
            let recently = |asked: &Instant| now.saturating_duration_since(*asked) < self.pause;
            if self.asked.get(&node).is_some_and(recently) {
                continue;
            }
            if self.asked.len() >= self.most {
                self.asked.retain(|_, asked| recently(asked));
            }
            if self.asked.len() >= self.most {
                // So many nodes asked within one pause: the rest asks again with its next message.
                break;
            }
            commands.push(request(&node, at));
            self.asked.insert(node, now);
        }
        commands
    }
}

/// `NCMD` with `Node Control/Rebirth = true`.
fn request((group, node): &NodeId, at: i64) -> Outgoing {
    let timestamp = u64::try_from(at).ok();
    let payload = Payload {
        timestamp,
        metrics: vec![Metric {
            name: Some(REBIRTH.to_owned()),
            timestamp,
            datatype: Some(super::value::BOOLEAN),
            value: Some(MetricValue::Boolean(true)),
            ..Metric::default()
        }],
        ..Payload::default()
    };
    Outgoing {
        topic: format!("{NAMESPACE}/{group}/NCMD/{node}"),
        payload: Bytes::from(payload.encode_to_vec()),
        qos: 0,
        retain: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::process_now;

    fn node(name: &str) -> NodeId {
        ("g".into(), name.into())
    }

    #[test]
    fn a_node_is_asked_once_in_a_while() {
        let mut requests = RebirthRequests::new(Duration::from_secs(10), 2);
        let start = process_now();
        let check = |requests: &mut RebirthRequests, after: u64, nodes: &[&str], asked: &[&str]| {
            let nodes = nodes.iter().map(|name| node(name)).collect();
            let now = start + Duration::from_secs(after);
            let topics: Vec<String> = requests
                .commands(nodes, now, 1)
                .into_iter()
                .map(|command| command.topic)
                .collect();
            let expected: Vec<String> = asked
                .iter()
                .map(|name| format!("spBv1.0/g/NCMD/{name}"))
                .collect();
            assert_eq!(topics, expected, "after {after} s");
        };
        check(&mut requests, 0, &["a"], &["a"]);
        check(&mut requests, 9, &["a", "b"], &["b"]);
        check(&mut requests, 10, &["a"], &["a"]);
        check(&mut requests, 11, &["c"], &[]);
        check(&mut requests, 19, &["c"], &["c"]);
    }

    #[test]
    fn the_command_is_a_payload_of_sparkplug() {
        let command = request(&node("n"), 1_772_434_800_000);
        let payload = Payload::decode(command.payload).unwrap();
        assert_eq!(payload.timestamp, Some(1_772_434_800_000));
        assert_eq!(payload.metrics[0].name.as_deref(), Some(REBIRTH));
        assert_eq!(payload.metrics[0].value, Some(MetricValue::Boolean(true)));
        assert_eq!((command.qos, command.retain), (0, false));
    }
}
