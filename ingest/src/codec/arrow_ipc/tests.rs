//! Arrow streams: what they decode to, as text.

use std::sync::Arc;

use arrow::array::{
    BooleanArray, DictionaryArray, Int32Array, LargeStringArray, ListArray, NullArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{Field, Int32Type, Schema};
use arrow::ipc::writer::StreamWriter;

use super::*;
use crate::codec::said::{T, World};

/// A stream of one batch.
pub(crate) fn stream(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let fields = columns.iter();
    let fields = fields.map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn texts_of(texts: &[Option<&str>]) -> ArrayRef {
    Arc::new(texts.iter().copied().collect::<StringArray>())
}

#[track_caller]
fn check(rule: &str, topic: &str, columns: Vec<(&str, ArrayRef)>, expected: &[&str]) {
    let mut world = World::of(&format!("codec = \"arrow_ipc\"\n{rule}"));
    let payload = stream(columns);
    for _ in 0..2 {
        assert_eq!(world.said(topic, &payload), expected, "{rule}");
    }
}

fn nanos(after: &[i64]) -> ArrayRef {
    let nanos = after.iter().map(|after| T * 1000 + after);
    Arc::new(TimestampNanosecondArray::from_iter_values(nanos).with_timezone("+00:00"))
}

#[test]
fn columns_of_every_kind() {
    let words: DictionaryArray<Int32Type> = vec!["on", "off"].into_iter().collect();
    check(
        "topic = \"{class}/{asset}\"",
        "pump/P1",
        vec![
            ("time", nanos(&[0, 2_999])),
            ("a", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
            ("b", Arc::new(Int32Array::from(vec![None, Some(2)]))),
            ("c", Arc::new(BooleanArray::from(vec![true, false]))),
            ("d", Arc::new(words)),
            ("e", Arc::new(LargeStringArray::from(vec![None, Some("x")]))),
            ("a__quality", texts_of(&[Some("uncertain"), Some("bad")])),
            ("f", Arc::new(NullArray::new(2))),
        ],
        &[
            "pump P1 0 a=1.5 a__quality=uncertain c=1.0 d=on",
            "pump P1 2 a__quality=bad c=0.0 d=off b=2.0 e=x",
        ],
    );
}

#[test]
fn the_rows_may_say_what_they_are_of() {
    let rule =
        "topic = \"rows\"\ncolumns = { class = \"kind\", quality = \"q\" }\ntime_unit = \"s\"";
    let rows = |kind: &'static str| -> Vec<(&str, ArrayRef)> {
        vec![
            (
                "time",
                Arc::new(Int64Array::from(vec![T / 1_000_000, T / 1_000_000 + 1])) as ArrayRef,
            ),
            ("kind", texts_of(&[Some(kind), Some("fan")])),
            ("asset", texts_of(&[Some("P1"), Some("F1")])),
            ("q", texts_of(&[Some("good"), Some("0")])),
            ("a", Arc::new(Float64Array::from(vec![1.0, 2.0]))),
        ]
    };
    let expected = ["pump P1 0 a=1.0", "fan F1 1000000 a=2.0 a__quality=bad"];
    check(rule, "rows", rows("Pump"), &expected);
    check(rule, "rows", rows("9"), &["bad_class"]);
    let mut unnamed = rows("pump");
    unnamed.remove(2);
    check(rule, "rows", unnamed, &["no_asset"]);
}

#[test]
fn what_is_refused() {
    let rule = "topic = \"{class}/{asset}\"";
    let list = ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(1.0)])]);
    let check = |columns, expected: &str| check(rule, "pump/P1", columns, &[expected]);
    check(
        vec![("time", nanos(&[0])), ("a", Arc::new(list))],
        "malformed",
    );
    check(
        vec![("time", nanos(&[0])), ("a", nanos(&[0]))],
        "not_a_number",
    );
    let numbers = |value: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
    check(vec![("a", numbers(1.0))], "no_time");
    check(
        vec![("time", numbers(1.0)), ("a", numbers(1.0))],
        "malformed",
    );
    check(
        vec![("time", nanos(&[0])), ("a", numbers(f64::NAN))],
        "not_finite",
    );
    check(vec![("time", nanos(&[0]))], "no_metrics");
    let twice = vec![
        ("time", nanos(&[0])),
        ("a", numbers(1.0)),
        ("a", numbers(2.0)),
    ];
    check(twice, "metric_twice");
    let mut world = World::of(&format!("codec = \"arrow_ipc\"\n{rule}"));
    assert_eq!(world.said("pump/P1", b""), ["no_metrics"]);
    assert_eq!(world.said("pump/P1", b"time,a\n"), ["malformed"]);
    let whole = stream(vec![("time", nanos(&[0])), ("a", numbers(1.0))]);
    for cut in 1..whole.len() - 8 {
        let said = world.said("pump/P1", &whole[..cut]);
        assert!(
            ["malformed", "no_metrics"].contains(&said[0].as_str()),
            "{cut}: {said:?}"
        );
    }
}

/// What `pyarrow` writes: plain columns, dictionaries, large and viewed texts, qualities.
const FOREIGN: [&[u8]; 2] = [
    include_bytes!("streams/plain.arrows"),
    include_bytes!("streams/words.arrows"),
];

#[test]
fn streams_of_a_foreign_writer() {
    let mut world = World::of("codec = \"arrow_ipc\"\ntopic = \"rows\"\nclass = \"pump\"");
    let expected = [
        vec![
            "pump P-101 0 flow=7.5 count=1.0 on=1.0 state=open",
            "pump P-102 1 count=2.0 on=0.0",
        ],
        vec![
            "pump P-101 0 flow=1.0 mode=x v=a",
            "pump P-102 2 flow=2.0 mode=y v=long enough for a view, it is flow__quality=bad",
        ],
    ];
    for (stream, expected) in FOREIGN.into_iter().zip(expected) {
        assert_eq!(world.said("rows", stream), expected);
    }
}

/// The library would stumble over some of these; the check of the frames keeps them from it.
#[test]
fn no_mutation_makes_the_library_stumble() {
    static PANICS: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let told = std::panic::take_hook();
    let own = std::thread::current().id();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == own {
            PANICS.lock().unwrap().push(panic.to_string());
        } else {
            told(panic);
        }
    }));
    let mut world = World::of("codec = \"arrow_ipc\"\ntopic = \"rows\"\nclass = \"pump\"");
    let (mut accepted, rounds) = (0, 6_000);
    let mut stumbles = Vec::new();
    for _ in 0..rounds {
        let mut stream = FOREIGN[next(2)].to_vec();
        for _ in 0..=next(2) {
            let at = next(stream.len());
            match next(4) {
                0 => stream[at] ^= 1 << next(8),
                1 => stream[at] = next(256) as u8,
                2 => stream[at] = [0, 0xff, 0x7f, 0x80][next(4)],
                _ => stream.truncate(at.max(1)),
            }
        }
        accepted += usize::from(world.refusal("rows", &stream).is_none());
        stumbles.append(&mut PANICS.lock().unwrap());
    }
    drop(std::panic::take_hook());
    stumbles.sort();
    stumbles.dedup();
    assert!(stumbles.is_empty(), "{stumbles:#?}");
    assert!(
        accepted > rounds / 20 && accepted < rounds,
        "{accepted} of {rounds}"
    );
}
