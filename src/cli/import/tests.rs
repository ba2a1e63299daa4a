//! Maps, cells and rows: what a file says.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use fieldwright_ingest::validate;

use super::cells::Rows;
use super::map::ImportMap;
use super::reading::{Reader, Row, Trust, Value};
use super::summary::{Summary, shown};

/// The rows of a CSV text under a map, a line each: asset, time, metrics; or the problem.
fn said(map: &str, csv: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.csv");
    std::fs::write(&file, csv).unwrap();
    rows(map, &file).iter().map(line).collect()
}

fn rows(map: &str, file: &std::path::Path) -> Vec<Row> {
    let map = ImportMap::read(map).unwrap();
    let rows = Rows::open(file, map.delimiter()).unwrap();
    let mut reader = Reader::new(rows, &map).unwrap();
    std::iter::from_fn(|| reader.next_row().unwrap()).collect()
}

fn line(row: &Row) -> String {
    let sample = match &row.said {
        Ok(Some(sample)) => sample,
        Ok(None) => return format!("{} empty", row.line),
        Err(problem) => return format!("{} bad: {problem}", row.line),
    };
    let metrics = sample.metrics.iter().map(|(name, value)| match value {
        Value::Number(number) => format!("{name}={number}"),
        Value::Text(text) => format!("{name}={text:?}"),
    });
    let trust = match sample.trust {
        Trust::Good => "",
        Trust::Uncertain => " uncertain",
        Trust::Bad => " bad",
    };
    format!(
        "{} {} {} {}{trust}",
        row.line,
        sample.asset,
        shown(sample.time),
        metrics.collect::<Vec<_>>().join(" ")
    )
}

fn check(map: &str, csv: &str, expected: &[&str]) {
    assert_eq!(said(map, csv), expected, "{map}\n{csv}");
}

#[test]
fn wide_files() {
    check(
        "asset = 'P1'\ntime = { column = 't' }\n",
        "t,a,note\n2026-03-02T07:00:00Z,1.5,\n2026-03-02T08:00:00+01:00,,\n",
        &["2 P1 2026-03-02T07:00:00Z a=1.5", "3 empty"],
    );
    check(
        "asset_column = 'tag'\ntime = { column = 't', format = 'ms' }\nignore = ['x']\n\
         [metrics]\n'Temp (F)' = 'temperature'\n[units]\ntemperature = { from = '°F', to = '°C' }\n",
        "tag;t;Temp (F);x\nP1;1772434800000;212;7\nP2;1772434800000.5;off;7\n/;1772434800000;1;7\n",
        &[
            "2 P1 2026-03-02T07:00:00Z temperature=100",
            "3 P2 2026-03-02T07:00:00.000500Z temperature=\"off\"",
            "4 bad: the asset tag must have 1 to 128 characters, none of them a control character, / + #",
        ],
    );
}

#[test]
fn long_files_with_quality_and_commas() {
    check(
        "asset_column = 'tag'\ndecimal_comma = true\ndelimiter = ';'\n\
         time = { column = 't', format = '%d.%m.%Y %H:%M:%S', zone = 'Europe/Berlin' }\n\
         [long]\nmetric = 'name'\nvalue = 'value'\n[quality]\ncolumn = 'q'\n",
        "tag;t;name;value;q\n\
         P1;02.03.2026 08:00:00;flow;1.234,5;192\n\
         P1;02.03.2026 08:00:00;state;läuft;64\n\
         P1;02.03.2026 08:00:01;flow;7;0\n\
         P1;29.03.2026 02:30:00;flow;7;192\n\
         P1;25.10.2026 02:30:00;flow;7;192\n\
         P1;morgen;flow;7;192\n\
         P1;02.03.2026 08:00:02;time;7;192\n\
         P1;01.01.1980 00:00:00;flow;7;192\n",
        &[
            "2 P1 2026-03-02T07:00:00Z flow=1234.5",
            "3 P1 2026-03-02T07:00:00Z state=\"läuft\" uncertain",
            "4 P1 2026-03-02T07:00:01Z flow=7 bad",
            "5 bad: the clock never showed 2026-03-29 02:30:00",
            "6 bad: the clock showed 2026-10-25 02:30:00 twice; say with time.ambiguous which is \
             meant, \"earliest\" or \"latest\"",
            "7 bad: the time \"morgen\" is not written as %d.%m.%Y %H:%M:%S",
            &format!("8 bad: {}", validate::metric_name("time").unwrap_err()),
            "9 bad: the time 1979-12-31T23:00:00Z is before 1990: the device has no clock",
        ],
    );
    check(
        "asset = 'P1'\ntime = { column = 't', zone = '+02:00', ambiguous = 'latest' }\n",
        "t,a\n2026-03-02 07:00:00.5,1\n2026-03-02 07:00,1,2\n",
        &[
            "2 P1 2026-03-02T05:00:00.500Z a=1",
            "3 bad: it has 3 cells, the file has 2 columns",
        ],
    );
}

#[test]
fn maps_that_cannot_be_are_told() {
    let check = |map: &str, said: &str| {
        let problem = ImportMap::read(map).unwrap_err();
        assert!(problem.contains(said), "{map}: {problem}");
    };
    check("asset = 'a'", "time");
    check("time = { column = 't' }", "asset");
    check(
        "asset = 'a'\nasset_column = 'b'\ntime = { column = 't' }",
        "one of the two",
    );
    check("asset = 'a/b'\ntime = { column = 't' }", "asset tag");
    check(
        "asset = 'a'\ntime = { column = 't', zone = 'Nowhere' }",
        "Europe/Berlin",
    );
    check("asset = 'a'\ntme = { column = 't' }", "tme");
    check(
        "asset = 'a'\ntime = { column = 't' }\n[units]\na = { from = 'bar', to = '°C' }",
        "units.a",
    );
}

/// The rows of a Parquet file of these columns under a map.
fn said_of_parquet(map: &str, columns: Vec<(&str, ArrayRef)>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.PARQUET");
    let rows_of = RecordBatch::try_from_iter(columns).unwrap();
    let out = std::fs::File::create(&file).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(out, rows_of.schema(), None).unwrap();
    writer.write(&rows_of).unwrap();
    writer.close().unwrap();
    rows(map, &file).iter().map(line).collect()
}

/// A double has 53 bits: two serial numbers beyond them would be one asset, two instants one.
#[test]
fn whole_numbers_are_read_to_the_last_digit() {
    let found = said_of_parquet(
        "asset_column = 'serial'\ntime = { column = 't', format = 'ns' }\n",
        vec![
            (
                "t",
                Arc::new(Int64Array::from(vec![
                    1_772_434_800_000_001_999,
                    1_772_434_800_000_000_999,
                ])),
            ),
            (
                "serial",
                Arc::new(Int64Array::from(vec![
                    9_007_199_254_740_992,
                    9_007_199_254_740_993,
                ])),
            ),
            ("a", Arc::new(Int32Array::from(vec![7, -7]))),
        ],
    );
    assert_eq!(
        found,
        [
            "1 9007199254740992 2026-03-02T07:00:00.000001Z a=7",
            "2 9007199254740993 2026-03-02T07:00:00Z a=-7",
        ]
    );
    check(
        "asset = 'P1'\ntime = { column = 't', format = 'ns' }\n",
        "t,a\n1772434800000001999,7\n",
        &["2 P1 2026-03-02T07:00:00.000001Z a=7"],
    );
}

/// What is no number with a decimal comma is a text, not a number without its points.
#[test]
fn points_in_commas_part_thousands_only() {
    check(
        "asset = 'P1'\ndecimal_comma = true\ndelimiter = ';'\ntime = { column = 't' }\n",
        "t;a;b;c;d\n2026-03-02T07:00:00Z;-1.234.567,5;12.05.2026;1.2.3;1.5\n",
        &["2 P1 2026-03-02T07:00:00Z a=-1234567.5 b=\"12.05.2026\" c=\"1.2.3\" d=\"1.5\""],
    );
}

#[test]
fn parquet_files_are_read_like_csv() {
    let time = TimestampMillisecondArray::from(vec![1_772_434_800_000, 1_772_434_801_000]);
    let found = said_of_parquet(
        "asset_column = 'tag'\ntime = { column = 't' }\n",
        vec![
            ("t", Arc::new(time.with_timezone("UTC"))),
            ("tag", Arc::new(StringArray::from(vec!["P1", "P2"]))),
            ("a", Arc::new(Float32Array::from(vec![Some(1.5), None]))),
            ("s", Arc::new(StringArray::from(vec![None, Some("on")]))),
        ],
    );
    assert_eq!(
        found,
        [
            "1 P1 2026-03-02T07:00:00Z a=1.5",
            "2 P2 2026-03-02T07:00:01Z s=\"on\""
        ]
    );
}

#[test]
fn a_summary_says_what_would_be_stored() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.csv");
    let text = "t,a\n2026-03-02T07:00:00Z,1\n2026-03-02T06:00:00Z,2\n2026-03-02T06:00:00Z,\nx,1\n";
    std::fs::write(&file, text).unwrap();
    let mut summary = Summary::default();
    for row in rows("asset = 'P1'\ntime = { column = 't' }\n", &file) {
        summary.add(&row);
    }
    let json = summary.json("pump");
    assert_eq!(
        (&json["rows"], &json["stored"], &json["empty"], &json["bad"]),
        (&4.into(), &2.into(), &1.into(), &1.into())
    );
    assert_eq!(json["first"], "2026-03-02T06:00:00Z");
    assert_eq!(json["bad_rows"][0]["line"], 5);
    assert_eq!(json["metrics"]["a"], 2);
    assert!(summary.text("log.csv", "pump").contains("line 5"));
}
