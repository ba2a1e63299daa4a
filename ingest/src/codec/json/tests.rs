//! Payloads: what they say, and that the scanner agrees with an independent reader of JSON.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use serde_json::Value as Tree;

use crate::catalog::{Catalog, FIXED_COLUMNS};
use crate::codec::said::World;
use crate::config::{DecodeRules, IngestConfig};
use crate::decode::Decoder;
use crate::source::Envelope;

/// What a payload decodes to: time and numbers, or the name of the refusal.
fn decode(payload: &[u8]) -> Result<(i64, BTreeMap<String, f64>), &'static str> {
    static RULES: OnceLock<DecodeRules> = OnceLock::new();
    let rules = RULES.get_or_init(|| {
        let mut config = IngestConfig::default();
        config.rules.truncate(1);
        config.max_metrics_per_message = 4;
        config.decode_rules()
    });
    let mut decoder = Decoder::new(rules.clone()).unwrap();
    let mut catalog = Catalog::default();
    let envelope = Envelope {
        topic: "fieldwright/pump/P1".into(),
        payload: payload.to_vec().into(),
        received_at: "2026-03-02T07:00:00Z".parse::<DateTime<Utc>>().unwrap(),
    };
    let accepted = decoder
        .decode(&mut catalog, &envelope)
        .map_err(|refusal| refusal.name())?;
    let row = accepted
        .rows()
        .next()
        .expect("the contract's payload is one row");
    let schema = &catalog.class(0).schema;
    let name = |column: u32| schema.field(FIXED_COLUMNS + column as usize).name().clone();
    let named = row.cells.numbers.iter();
    let named = named.map(|(column, value)| (name(*column), *value));
    Ok((row.time, named.collect()))
}

/// Time and values, or the name of the refusal.
type Expected<'a> = Result<(i64, &'a [(&'a str, f64)]), &'static str>;

fn check(payload: &str, expected: Expected<'_>) {
    let expected = expected.map(|(time, values)| {
        (
            time,
            values
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect(),
        )
    });
    assert_eq!(decode(payload.as_bytes()), expected, "{payload}");
}

#[test]
fn what_is_accepted() {
    const T: i64 = 1_772_434_800_000_000; // 2026-03-02T07:00:00Z
    check(
        r#"{"time":"2026-03-02T07:00:00Z","metrics":{"a":1}}"#,
        Ok((T, &[("a", 1.0)])),
    );
    check(
        r#"{"time":"2026-03-02T08:00:00+01:00","metrics":{"a":1}}"#,
        Ok((T, &[("a", 1.0)])),
    );
    check(
        r#"{"metrics":{"a":-1.5e3,"b":0},"time":1772434800000}"#,
        Ok((T, &[("a", -1500.0), ("b", 0.0)])),
    );
    check(
        r#"{"time":1772434800000.25,"metrics":{"a":1}}"#,
        Ok((T + 250, &[("a", 1.0)])),
    );
    check(
        r#"{"time":1.7724348e12,"metrics":{"a":1}}"#,
        Ok((T, &[("a", 1.0)])),
    );
    check(
        r#"{"time":"2026-03-02T07:00:00.123456789Z","metrics":{"a":1}}"#,
        Ok((T + 123_456, &[("a", 1.0)])),
    );
    check(
        "\n{ \"x\" : [1,{\"y\":[]},\"\\u00e9\"] ,\r\"time\":1772434800000,\t\"metrics\" :{ \"a\" : 1 } } ",
        Ok((T, &[("a", 1.0)])),
    );
    check(
        r#"{"time":1772434800000,"metrics":{"\u0394p \"in\"":1,"😀":2,"\ud83d\ude01":3}}"#,
        Ok((T, &[("Δp \"in\"", 1.0), ("😀", 2.0), ("😁", 3.0)])),
    );
    // 17 digits arrive as the nearest number, not one unit beside it.
    check(
        r#"{"time":1772434800000,"metrics":{"a":0.30000000000000004}}"#,
        Ok((T, &[("a", 0.1 + 0.2)])),
    );
}

#[test]
fn what_is_refused() {
    for (payload, reason) in [
        ("", "malformed"),
        ("17", "malformed"),
        ("{", "malformed"),
        (r#"{"time":1772434800000,"metrics":{"a":1}}x"#, "malformed"),
        (r#"{"time":1772434800000,"metrics":{"a":1,}}"#, "malformed"),
        (r#"{"time":1772434800000,"metrics":{"a":01}}"#, "malformed"),
        (r#"{"time":1772434800000,"metrics":{"a":1.}}"#, "malformed"),
        (r#"{"time":1772434800000,"metrics":{"a":+1}}"#, "malformed"),
        (r#"{"time":1772434800000,"metrics":{'a':1}}"#, "malformed"),
        (
            r#"{"time":1772434800000,"metrics":{"\ud83d":1}}"#,
            "malformed",
        ),
        (r#"{"time":1772434800000,"metrics":[1]}"#, "malformed"),
        (r#"{"time":1772434800000,"metrics":null}"#, "malformed"),
        (r#"{"time":1,"time":2,"metrics":{"a":1}}"#, "malformed"),
        (
            r#"{"time":1772434800000,"metrics":{"a":1},"metrics":{"b":1}}"#,
            "malformed",
        ),
        (r#"{"time":1772434800000,"metrics":{"a":NaN}"#, "malformed"),
        (r#"{"metrics":{"a":1}}"#, "no_time"),
        (r#"{"metrics":{"a":NaN}}"#, "no_time"),
        (r#"{"time":null,"metrics":{"a":1}}"#, "bad_time"),
        (r#"{"time":true,"metrics":{"a":1}}"#, "bad_time"),
        (
            r#"{"time":"2026-03-02T07:00:00","metrics":{"a":1}}"#,
            "bad_time",
        ),
        (r#"{"time":"yesterday","metrics":{"a":1}}"#, "bad_time"),
        (r#"{"time":1772434800000}"#, "no_metrics"),
        (r#"{"time":1772434800000,"metrics":{}}"#, "no_metrics"),
        (
            r#"{"time":1772434800000,"metrics":{"a":1,"b":2,"c":3,"d":4,"e":5}}"#,
            "too_many_metrics",
        ),
        (r#"{"time":1772434800000,"metrics":{"":1}}"#, "bad_metric"),
        (
            r#"{"time":1772434800000,"metrics":{"a\n":1}}"#,
            "bad_metric",
        ),
        (
            r#"{"time":1772434800000,"metrics":{"asset":1}}"#,
            "reserved_metric",
        ),
        (
            r#"{"time":1772434800000,"metrics":{"a":1,"a":1}}"#,
            "metric_twice",
        ),
        (
            r#"{"time":1772434800000,"metrics":{"a":[1]}}"#,
            "not_a_number",
        ),
        (
            r#"{"time":1772434800000,"metrics":{"a":null}}"#,
            "no_metrics",
        ),
        (
            r#"{"time":1772434800000,"metrics":{"a":NaN,"b":{}}}"#,
            "not_a_number",
        ),
        (
            r#"{"time":1772434800000,"metrics":{"a__text":1}}"#,
            "reserved_metric",
        ),
        (
            r#"{"time":1772434800000,"metrics":{"a":NaN}}"#,
            "not_finite",
        ),
        (
            r#"{"time":1772434800000,"metrics":{"a":-Infinity}}"#,
            "not_finite",
        ),
        (
            r#"{"time":1772434800000,"metrics":{"a":1e999}}"#,
            "not_finite",
        ),
        (r#"{"time":1772434800,"metrics":{"a":1}}"#, "before_1990"),
        (
            r#"{"time":-99999999999999999999,"metrics":{"a":1}}"#,
            "before_1990",
        ),
        (
            r#"{"time":99999999999999999999,"metrics":{"a":1}}"#,
            "too_far_ahead",
        ),
        (
            r#"{"time":"2026-03-02T07:10:00.001Z","metrics":{"a":1}}"#,
            "too_far_ahead",
        ),
    ] {
        check(payload, Err(reason));
    }
    assert_eq!(
        decode(b"{\"time\":1,\"metrics\":{\"\xff\":1}}"),
        Err("malformed")
    );
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(65), "]".repeat(65));
    check(&deep, Err("malformed"));
}

#[test]
fn values_of_every_type() {
    let mut world = World::of("");
    let mut check = |metrics: &str, expected: &str| {
        let payload = format!("{{\"time\":1772434800000,\"metrics\":{metrics}}}");
        let said = world.said("fieldwright/pump/P1", payload.as_bytes());
        assert_eq!(said, [expected], "{metrics}");
    };
    check(
        r#"{"on":true,"off":false,"mode":"auto","gone":null}"#,
        "pump P1 0 on=1.0 off=0.0 mode=auto",
    );
    // The first value decided the type; the other type stands beside it.
    check(
        r#"{"on":"yes","mode":3,"off":2}"#,
        "pump P1 0 off=2.0 on__text=yes mode__number=3.0",
    );
    check(r#"{"mode":"man\u00e4l"}"#, "pump P1 0 mode=manäl");
}

/// One rule of any shape.
#[track_caller]
fn check_shape(rule: &str, topic: &str, payload: &str, expected: &[&str]) {
    let mut world = World::of(rule);
    for _ in 0..2 {
        let said = world.said(topic, payload.as_bytes());
        assert_eq!(said, expected, "{payload} under {rule}");
    }
}

#[test]
fn flat() {
    let rule = "topic = \"{class}/{asset}\"\njson = { metrics = \"\", time = \"/ts\" }";
    let check = |payload, expected: &str| check_shape(rule, "pump/P1", payload, &[expected]);
    check(
        r#"{"ts":1772434800001,"a":1,"b":"x","c":null}"#,
        "pump P1 1000 a=1.0 b=x",
    );
    check(r#"{"ts":"1772434800001","a":1}"#, "pump P1 1000 a=1.0");
    check(r#"{"ts":1772434800001,"a":1,"b":{"c":2}}"#, "not_a_number");
    check(r#"{"a":1}"#, "no_time");
    check(r#"{"ts":[],"a":1}"#, "bad_time");
    check("[]", "no_metrics");
    check("[1]", "malformed");
}

#[test]
fn nested_by_pointer_and_named_in_the_payload() {
    check_shape(
        "topic = \"gateway\"\nclass = \"room\"\ntime_unit = \"s\"\n[json]\n\
         asset = \"/device/id\"\ntime = \"/meta/at\"\n\
         values = { temperature = \"/env/temp~1out\", mode = \"/state/0\" }",
        "gateway",
        r#"{"device":{"id":17},"meta":{"at":1772434800.25},"env":{"temp/out":21.5},"state":["eco"]}"#,
        &["room 17 250000 mode=eco temperature=21.5"],
    );
}

#[test]
fn arrays_of_samples() {
    // The head stands around them.
    check_shape(
        "topic = \"gateway\"\n[json]\nsamples = \"/samples\"\nclass = \"/kind\"\nasset = \"/id\"",
        "gateway",
        r#"{"kind":"Pump","id":"P1","samples":[
            {"time":1772434800000,"metrics":{"a":1}},
            {"time":1772434800001,"metrics":{"a":2,"b":3}},
            {"time":1772434800001,"metrics":{"b":4}},
            {"id":"P2","time":1772434800000,"metrics":{"a":5}}]}"#,
        &[
            "pump P1 0 a=1.0",
            "pump P1 1000 a=2.0 b=4.0",
            "pump P2 0 a=5.0",
        ],
    );
    // One metric each.
    check_shape(
        "topic = \"{class}/{asset}\"\n[json]\nmetric = \"/n\"\nvalue = \"v\"\ntime = \"/t\"",
        "pump/P1",
        r#"[{"n":"a","v":1,"t":1772434800000},{"n":"b","v":true,"t":1772434800000},
            {"n":"a","v":2,"t":1772434800001}]"#,
        &["pump P1 0 a=1.0 b=1.0", "pump P1 1000 a=2.0"],
    );
    // Names and values in a list.
    check_shape(
        "topic = \"{class}/{asset}\"\njson = { metrics = \"/values\" }",
        "pump/P1",
        r#"{"time":1772434800000,"values":[{"name":"a","value":1},{"name":"b","value":"x"}]}"#,
        &["pump P1 0 a=1.0 b=x"],
    );
}

#[test]
fn quality() {
    let rule = "topic = \"{class}/{asset}\"\njson = { quality = \"/q\" }";
    let check = |payload: &str, expected: &str| {
        let payload = format!("{{\"time\":1772434800000,{payload}}}");
        check_shape(rule, "pump/P1", &payload, &[expected]);
    };
    check(r#""q":"GOOD","metrics":{"a":1}"#, "pump P1 0 a=1.0");
    check(r#""q":192,"metrics":{"a":1}"#, "pump P1 0 a=1.0");
    check(
        r#""q":"uncertain","metrics":{"a":1}"#,
        "pump P1 0 a=1.0 a__quality=uncertain",
    );
    check(r#""q":0,"metrics":{"a":null}"#, "pump P1 0 a__quality=bad");
    check(
        r#""q":{"b":"bad"},"metrics":{"a":1,"b":2}"#,
        "pump P1 0 a=1.0 b=2.0 b__quality=bad",
    );
    check(
        r#""metrics":{"a":{"value":1,"q":"Uncertain"},"b":{"value":2}}"#,
        "pump P1 0 a=1.0 a__quality=uncertain b=2.0",
    );
    check_shape(
        "topic = \"{class}/{asset}\"\njson = { quality = \"/q\" }\n\
         quality = { good = [\"fine\"], uncertain = [] }",
        "pump/P1",
        r#"{"time":1772434800000,"q":"good","metrics":{"a":1}}"#,
        &["pump P1 0 a=1.0 a__quality=bad"],
    );
}

#[test]
fn an_older_journal_refuses_what_it_refused() {
    let mut rules = IngestConfig::default().decode_rules();
    rules.all_types = false;
    let mut world = World::of("");
    world.decoder = Decoder::new(rules).unwrap();
    for (metrics, reason) in [
        (r#"{"a":"1"}"#, "not_a_number"),
        (r#"{"a":true}"#, "not_a_number"),
        (r#"{"a":null}"#, "not_a_number"),
        (r#"{"a__text":1}"#, "pump P1 0 a__text=1.0"),
    ] {
        let payload = format!("{{\"time\":1772434800000,\"metrics\":{metrics}}}");
        let said = world.said("fieldwright/pump/P1", payload.as_bytes());
        assert_eq!(said, [reason], "{metrics}");
    }
}

/// The same from an independent reader; what it calls malformed must be malformed.
fn oracle(payload: &[u8]) -> Result<(), &'static str> {
    let Ok(tree) = serde_json::from_slice::<Tree>(payload) else {
        return Err("malformed");
    };
    let Tree::Object(_) = &tree else {
        return Err("malformed");
    };
    Ok(())
}

/// A small deterministic source of choices.
struct Choices(u64);

impl Choices {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

#[test]
fn mutated_payloads_agree_with_an_independent_reader() {
    let seeds: [&[u8]; 4] = [
        br#"{"time":"2026-03-02T07:00:00Z","metrics":{"a":1.25,"b":-3e2}}"#,
        br#"{"x":{"y":[1,true,null,"t\u00e9"],"z":{}},"time":1772434800000,"metrics":{"a":0.1}}"#,
        br#"{ "metrics" : { "pressure" : 3 , "flow\n" : 4 } , "time" : 1772434800000 }"#,
        "{\"time\":1772434800000,\"metrics\":{\"Δ\":1,\"😀\":2}}".as_bytes(),
    ];
    let alphabet = br#"{}[]",:\/ 0123456789.eE+-truefalsnuAd"#;
    let mut choices = Choices(0x9E37_79B9_7F4A_7C15);
    let (mut whole, mut broken) = (0, 0);
    for round in 0..20_000 {
        let mut payload = seeds[round % seeds.len()].to_vec();
        for _ in 0..=choices.next(3) {
            let at = choices.next(payload.len());
            match choices.next(4) {
                0 if payload.len() > 1 => drop(payload.remove(at)),
                1 => payload.insert(at, alphabet[choices.next(alphabet.len())]),
                2 => payload[at] = alphabet[choices.next(alphabet.len())],
                _ => payload.truncate(at.max(1)),
            }
        }
        let ours = decode(&payload);
        let shown = String::from_utf8_lossy(&payload);
        match oracle(&payload) {
            Ok(()) => {
                whole += 1;
                // Well-formed JSON may still break the contract: two times, metrics no object.
                if ours == Err("malformed") {
                    let twice = shown.matches("\"time\"").count() > 1;
                    let tree: Tree = serde_json::from_slice(&payload).unwrap();
                    let shape = tree
                        .get("metrics")
                        .is_some_and(|metrics| !metrics.is_object());
                    assert!(twice || shape, "{shown}");
                }
            }
            Err(_) => {
                broken += 1;
                // An exponent that overflows is a number to us, and refused as not finite.
                let ours = ours.unwrap_err();
                assert!(
                    ours == "malformed" || shown.contains(['e', 'E']),
                    "{shown}: {ours}"
                );
            }
        }
    }
    assert!(
        whole > 1000 && broken > 1000,
        "{whole} whole, {broken} broken"
    );
}

#[test]
fn numbers_round_trip() {
    let mut choices = Choices(88_172_645_463_325_252);
    for _ in 0..20_000 {
        let value = f64::from_bits(choices.next(usize::MAX) as u64);
        if !value.is_finite() {
            continue;
        }
        let payload = format!("{{\"time\":1772434800000,\"metrics\":{{\"a\":{value:e}}}}}");
        assert_eq!(
            decode(payload.as_bytes()).unwrap().1["a"],
            value,
            "{payload}"
        );
    }
}
