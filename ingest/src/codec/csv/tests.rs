//! CSV lines: what they decode to, as text.

use crate::codec::said::World;

#[track_caller]
fn check(rule: &str, topic: &str, lines: &str, expected: &[&str]) {
    let mut world = World::of(&format!("codec = \"csv\"\n{rule}"));
    for _ in 0..2 {
        let said = world.said(topic, lines.as_bytes());
        assert_eq!(said, expected, "{lines} under {rule}");
    }
}

const PUMP: &str = "topic = \"{class}/{asset}\"";

#[test]
fn a_header_names_the_columns() {
    let check = |lines: &str, expected: &[&str]| check(PUMP, "pump/P1", lines, expected);
    check(
        "time,a,b\n1772434800000,1,x\n2026-03-02T07:00:00.001Z,2.5e1,\n1772434800002,,\" y, z \"\n",
        &[
            "pump P1 0 a=1.0 b=x",
            "pump P1 1000 a=25.0",
            "pump P1 2000 b=y, z",
        ],
    );
    check(
        "\u{feff}a,time\r\n1,1772434800000\r\n",
        &["pump P1 0 a=1.0"],
    );
    check(
        "time,a\n1772434800000,1\n\n1772434800001,\n",
        &["pump P1 0 a=1.0"],
    );
    check("time,a\n", &["no_metrics"]);
    check("", &["no_metrics"]);
    check("time,a\n1772434800000,\n", &["no_metrics"]);
    check("time,a\n1772434800000,1,2\n", &["malformed"]);
    check("time,a\n1772434800000,\"1\n", &["malformed"]);
    check("time,a,a\n1772434800000,1,2\n", &["malformed"]);
    check("time,a,time\n1772434800000,1,2\n", &["malformed"]);
    check("time,a\n,1\n", &["no_time"]);
    check("time,a\nsoon,1\n", &["bad_time"]);
    check("a\n1\n", &["no_time"]);
    check("time,a\n1772434800000,NaN\n", &["not_finite"]);
    check("time,asset\n1772434800000,1\n", &["no_metrics"]);
    check("time,received_at\n1772434800000,1\n", &["reserved_metric"]);
}

#[test]
fn class_and_asset_may_be_columns() {
    check(
        "topic = \"lines\"\ncolumns = { class = \"kind\", asset = \"tag\", time = \"t\", delimiter = \";\" }\n\
         time_unit = \"s\"",
        "lines",
        "kind;tag;t;a\nPump;P1;1772434800;1\nFan;F1;1772434801;2\nPump;P1;1772434800;3",
        &["pump P1 0 a=3.0", "fan F1 1000000 a=2.0"],
    );
    let rule = "topic = \"lines/{class}\"";
    check(
        rule,
        "lines/pump",
        "time,asset,a\n1772434800000,P1,1\n",
        &["pump P1 0 a=1.0"],
    );
    check(
        rule,
        "lines/pump",
        "time,a\n1772434800000,1\n",
        &["no_asset"],
    );
}

#[test]
fn declared_columns_long_lines_and_quality() {
    check(
        "topic = \"{class}/{asset}\"\n\
         columns = { names = [\"time\", \"tag\", \"value\", \"q\"], metric = \"tag\", quality = \"q\" }",
        "pump/P1",
        "1772434800000,a,1,GOOD\n1772434800000,b,on,64\n1772434800001,a,,bad\n1772434800002,a,,good\n",
        &[
            "pump P1 0 a=1.0 b=on b__quality=uncertain",
            "pump P1 1000 a__quality=bad",
        ],
    );
}
