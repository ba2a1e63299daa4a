//! What a foreign encoder wrote (`tests/judges/sparkplug/encode.js`), and damaged messages.

use serde_json::Value as Json;

use super::*;
use crate::catalog::Catalog;
use crate::codec::said::{T, World};
use crate::config::IngestConfig;
use crate::decode::Decoder;

/// Written by the npm package `sparkplug-payload`.
const MESSAGES: &str = include_str!("messages.jsonl");

const BOUNDS: Bounds = Bounds {
    nodes: 10,
    metrics: 100,
};

/// A line of the script: topic, payload, and what must be found.
fn lines() -> impl Iterator<Item = (String, Vec<u8>, Json)> {
    MESSAGES.lines().map(|line| {
        let line: Json = serde_json::from_str(line).unwrap();
        let hex = line["payload"].as_str().unwrap();
        let payload = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        (line["topic"].as_str().unwrap().to_owned(), payload, line)
    })
}

/// A reading as the script writes it.
fn shown(reading: &Reading<'_>) -> Json {
    let value = match &reading.value {
        Some(Value::Number(number)) => Json::from(*number),
        Some(Value::Text(text)) => Json::from(text.clone()),
        None => Json::Null,
    };
    let trust = match reading.trust {
        Trust::Good => "good",
        Trust::Uncertain => "uncertain",
        Trust::Bad => "bad",
    };
    let mut all = vec![
        Json::from(reading.time / 1000),
        reading.metric.into(),
        value,
        trust.into(),
    ];
    all.extend(reading.unit.map(Json::from));
    Json::from(all)
}

/// Numbers of JSON compare as numbers.
fn same(found: &Json, expected: &Json) -> bool {
    match (found, expected) {
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

#[test]
fn a_foreign_encoder_is_understood() {
    let mut sparkplug = Sparkplug::new(BOUNDS);
    for (number, (topic, payload, line)) in lines().enumerate() {
        let what = format!("message {number} {topic}");
        let mut found = Vec::new();
        let said = sparkplug.read(&topic, &payload, |_, readings| {
            found.extend(readings.iter().map(shown));
            Ok(())
        });
        match line["refused"].as_str() {
            Some(reason) => assert_eq!(said.unwrap_err().name(), reason, "{what}"),
            None => {
                assert_eq!(said, Ok(()), "{what}");
                let found = Json::from(found);
                assert!(same(&found, &line["samples"]), "{what}: {found}");
            }
        }
        let asked = !sparkplug.take_rebirths().is_empty();
        assert_eq!(asked, line["rebirth"] == true, "{what}");
    }
}

/// A replay from any message on, with the sessions of that instant, ends where the whole did.
#[test]
fn sessions_that_were_written_go_on_as_those_that_lived() {
    let all: Vec<_> = lines().collect();
    let run = |sparkplug: &mut Sparkplug, messages: &[(String, Vec<u8>, Json)]| -> Vec<String> {
        let mut found = Vec::new();
        for (topic, payload, _) in messages {
            let mut rows = Vec::new();
            let said = sparkplug.read(topic, payload, |_, readings| {
                rows.extend(readings.iter().map(shown));
                Ok(())
            });
            found.push(format!("{said:?} {rows:?}"));
        }
        found
    };
    let mut live = Sparkplug::new(BOUNDS);
    let whole = run(&mut live, &all);
    for cut in 0..all.len() {
        let mut first = Sparkplug::new(BOUNDS);
        run(&mut first, &all[..cut]);
        let written = serde_json::to_vec(first.sessions()).unwrap();
        let mut second = Sparkplug::new(BOUNDS);
        second.restore(serde_json::from_slice(&written).unwrap());
        assert_eq!(run(&mut second, &all[cut..]), whole[cut..], "cut at {cut}");
        let ends = [&second, &live].map(|one| serde_json::to_string(one.sessions()).unwrap());
        assert_eq!(ends[0], ends[1], "cut at {cut}");
    }
}

/// Through the decoder, not the names alone: the class of the rule must not stand above them.
#[test]
fn a_class_of_its_own_stands_above_the_class_of_the_rule() {
    let rule = "topic = 'spBv1.0/plant1/#'\ncodec = 'sparkplug_b'\nclass = 'press'\n\
                [sparkplug]\nclasses = { 'press1:pump' = 'pump' }\n\
                assets = { 'press1:pump' = 'P-101' }\n";
    let birth = |seq| {
        let flow = Metric {
            name: Some("flow".into()),
            datatype: Some(10),
            value: Some(wire::MetricValue::Double(8.5)),
            ..Metric::default()
        };
        let birth = Payload {
            timestamp: Some((T / 1000) as u64),
            seq: Some(seq),
            metrics: vec![flow],
            ..Payload::default()
        };
        birth.encode_to_vec()
    };
    let check = |mut world: World, device: &str| {
        let node = world.said("spBv1.0/plant1/NBIRTH/press1", &birth(0));
        assert_eq!(node, ["press press1 0 flow=8.5"]);
        let said = world.said("spBv1.0/plant1/DBIRTH/press1/pump", &birth(1));
        assert_eq!(said, [device]);
    };
    check(World::of(rule), "pump P-101 0 flow=8.5");
    // A segment of an earlier version is replayed as that version read it.
    let config = IngestConfig {
        rules: vec![toml::from_str(rule).unwrap()],
        ..IngestConfig::default()
    };
    let mut written = serde_json::to_value(config.decode_rules()).unwrap();
    let known = written.as_object_mut().unwrap().remove("sparkplug_classes");
    assert_eq!(known, Some(true.into()));
    let before = World {
        decoder: Decoder::new(serde_json::from_value(written).unwrap()).unwrap(),
        catalog: Catalog::default(),
    };
    check(before, "press P-101 0 flow=8.5");
}

#[test]
fn damaged_messages_are_refused_and_change_nothing() {
    let check = |topic: &str, payload: &[u8], reason: &str| {
        let mut sparkplug = Sparkplug::new(BOUNDS);
        let said = sparkplug.read(topic, payload, |_, _| Ok(()));
        assert_eq!(said.unwrap_err().name(), reason, "{topic}");
    };
    check("spBv1.0/g/NDATA/n", b"\xFF\xFF", "malformed");
    check("spBv1.0/g/NDATA/n/d", b"", "malformed");
    check("spBv1.0/g/NFOO/n", b"", "malformed");
    let compressed = Payload {
        uuid: Some(COMPRESSED.into()),
        body: Some(vec![1]),
        ..Payload::default()
    };
    check(
        "spBv1.0/g/NDATA/n",
        &compressed.encode_to_vec(),
        "malformed",
    );
    let metric = |change: &dyn Fn(&mut Metric)| {
        let mut metric = Metric {
            name: Some("a".into()),
            timestamp: Some(1),
            datatype: Some(10),
            value: Some(wire::MetricValue::Double(1.0)),
            ..Metric::default()
        };
        change(&mut metric);
        Payload {
            metrics: vec![metric],
            ..Payload::default()
        }
        .encode_to_vec()
    };
    let topic = "spBv1.0/g/NDATA/n";
    check(topic, &metric(&|m| m.timestamp = None), "no_time");
    check(topic, &metric(&|m| m.name = None), "malformed");
    check(topic, &metric(&|m| m.datatype = Some(3)), "malformed");
    let untyped = metric(&|m| {
        m.datatype = None;
        m.value = Some(wire::MetricValue::Int(1));
    });
    check(topic, &untyped, "sparkplug_session");
    let mut sparkplug = Sparkplug::new(BOUNDS);
    for (topic, payload, _) in lines().take(2) {
        sparkplug.read(&topic, &payload, |_, _| Ok(())).unwrap();
        for cut in 0..payload.len() {
            let _ = sparkplug
                .clone()
                .read(&topic, &payload[..cut], |_, _| Ok(()));
        }
    }
}

#[test]
fn a_number_that_is_none_beside_a_bad_quality_has_no_value() {
    let payload = Payload {
        timestamp: Some(1),
        metrics: vec![Metric {
            name: Some("a".into()),
            datatype: Some(10),
            value: Some(wire::MetricValue::Double(f64::NAN)),
            properties: Some(wire::PropertySet {
                keys: vec!["Quality".into()],
                values: vec![wire::PropertyValue {
                    datatype: Some(3),
                    is_null: None,
                    value: Some(wire::PropertyContent::Int(0)),
                }],
            }),
            ..Metric::default()
        }],
        ..Payload::default()
    };
    let mut found = Vec::new();
    Sparkplug::new(BOUNDS)
        .read(
            "spBv1.0/g/NDATA/n",
            &payload.encode_to_vec(),
            |_, readings| {
                found.extend(readings.iter().map(|one| (one.value.clone(), one.trust)));
                Ok(())
            },
        )
        .unwrap();
    assert_eq!(found, [(None, Trust::Bad)]);
}
