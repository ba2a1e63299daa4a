//! Sessions as scripts: a message a line, and whether it asks for a rebirth.

use super::super::address::{self, Spoken};
use super::*;

const BOUNDS: Bounds = Bounds {
    nodes: 2,
    metrics: 5,
};

fn payload(seq: Option<u64>, bd_seq: Option<u64>, metrics: &[(&str, u64)]) -> Payload {
    let mut all: Vec<Metric> = metrics
        .iter()
        .map(|(name, alias)| Metric {
            name: Some((*name).to_owned()),
            alias: Some(*alias),
            datatype: Some(10),
            ..Metric::default()
        })
        .collect();
    all.extend(bd_seq.map(|number| Metric {
        name: Some(crate::codec::sparkplug::BD_SEQ.to_owned()),
        value: Some(MetricValue::Long(number)),
        ..Metric::default()
    }));
    Payload {
        seq,
        metrics: all,
        ..Payload::default()
    }
}

fn follow(sessions: &mut Sessions, topic: &str, payload: &Payload) -> Followed {
    let topic = format!("spBv1.0/g/{topic}");
    let Spoken::Message(address) = address::read(&topic) else {
        panic!("{topic}");
    };
    sessions.follow(&address, payload, BOUNDS)
}

/// Each line: type, node and device; seq; bdSeq; whether a rebirth is asked for.
type Line<'a> = (&'a str, Option<u64>, Option<u64>, bool);

fn check(what: &str, script: &[Line<'_>]) {
    let mut sessions = Sessions::default();
    for (number, (topic, seq, bd, rebirth)) in script.iter().enumerate() {
        let metrics: &[(&str, u64)] = if topic.contains("BIRTH") {
            &[("a", 1)]
        } else {
            &[]
        };
        let found = follow(&mut sessions, topic, &payload(*seq, *bd, metrics));
        assert_eq!(found.rebirth, *rebirth, "{what}: message {number} {topic}");
    }
    let written = serde_json::to_string(&sessions).unwrap();
    let read: Sessions = serde_json::from_str(&written).unwrap();
    assert_eq!(read.nodes, sessions.nodes, "{what}");
    assert_eq!(read.metrics, sessions.metrics, "{what}");
    assert_eq!(serde_json::to_string(&read).unwrap(), written, "{what}");
}

#[test]
fn gaps_and_deaths() {
    check(
        "a session without a gap",
        &[
            ("NBIRTH/n", Some(0), Some(7), false),
            ("DBIRTH/n/d", Some(1), None, false),
            ("NDATA/n", Some(2), None, false),
            ("DDATA/n/d", Some(3), None, false),
            ("DDEATH/n/d", Some(4), None, false),
            ("NDEATH/n", None, Some(7), false),
        ],
    );
    check(
        "the count goes round at 255",
        &[
            ("NBIRTH/n", Some(255), None, false),
            ("NDATA/n", Some(0), None, false),
            ("NDATA/n", Some(0), None, false),
            ("NDATA/n", Some(1), None, false),
        ],
    );
    check(
        "a gap is asked about until the birth comes",
        &[
            ("NBIRTH/n", Some(0), Some(0), false),
            ("NDATA/n", Some(2), None, true),
            ("NDATA/n", Some(3), None, true),
            ("NBIRTH/n", Some(0), Some(0), false),
            ("NDATA/n", Some(1), None, false),
        ],
    );
    check("data before a birth", &[("NDATA/n", Some(2), None, true)]);
    check(
        "a device without a birth",
        &[
            ("NBIRTH/n", Some(0), None, false),
            ("DDATA/n/d", Some(1), None, true),
        ],
    );
    check(
        "a device of a node whose birth was missed",
        &[("DBIRTH/n/d", Some(1), None, true)],
    );
    check(
        "data after a death",
        &[
            ("NBIRTH/n", Some(0), Some(1), false),
            ("NDEATH/n", None, Some(1), false),
            ("NDATA/n", Some(1), None, true),
        ],
    );
    check(
        "the will of an earlier session kills nobody",
        &[
            ("NBIRTH/n", Some(0), Some(2), false),
            ("NDEATH/n", None, Some(1), true),
            ("NDATA/n", Some(1), None, false),
        ],
    );
}

#[test]
fn aliases_are_of_the_newest_birth() {
    let mut sessions = Sessions::default();
    let first = payload(Some(0), None, &[("a", 1), ("b", 2)]);
    let second = payload(Some(0), None, &[("b", 1)]);
    follow(&mut sessions, "NBIRTH/n", &first);
    let before = sessions.clone();
    follow(&mut sessions, "NBIRTH/n", &second);
    let data = payload(Some(1), None, &[]);
    let birth = follow(&mut sessions, "NDATA/n", &data).birth.unwrap();
    assert_eq!(birth.name(1), Some("b"));
    assert_eq!(birth.name(2), None);
    assert_eq!(sessions.metrics, 1);
    // A picture that was kept does not change.
    let mut before = before;
    let birth = follow(&mut before, "NDATA/n", &data).birth.unwrap();
    assert_eq!(birth.name(1), Some("a"));
}

#[test]
fn sessions_stay_bounded() {
    let mut sessions = Sessions::default();
    let births = |count: u64| {
        let names: Vec<String> = (0..count).map(|n| format!("m{n}")).collect();
        let metrics: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(0..).collect();
        payload(Some(0), None, &metrics)
    };
    assert!(!follow(&mut sessions, "NBIRTH/n1", &births(2)).full);
    assert!(!follow(&mut sessions, "NBIRTH/n2", &births(2)).full);
    assert!(follow(&mut sessions, "NBIRTH/n3", &births(1)).full, "nodes");
    assert!(
        follow(&mut sessions, "DBIRTH/n2/d", &births(2)).full,
        "metrics"
    );
    assert!(!follow(&mut sessions, "DBIRTH/n2/d", &births(1)).full);
    assert!(
        !follow(&mut sessions, "NBIRTH/n1", &births(2)).full,
        "again"
    );
    assert!(follow(&mut sessions, "NBIRTH/n1", &births(3)).full);
    assert_eq!(
        (sessions.nodes, sessions.metrics),
        (1, 3),
        "n1 has none now"
    );
}
