use super::*;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recorded.csv");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// Rows as `time name=value …`, one a line.
fn show(text: &str) -> String {
    let (_folder, path) = file(text);
    let recording = Recording::open(&path).unwrap();
    let mut lines = Vec::new();
    for row in recording.rows().unwrap() {
        let row = row.unwrap();
        let time = row
            .time
            .map_or("-".into(), |time| time.format("%FT%T%.f").to_string());
        let values = row
            .values
            .iter()
            .map(|(name, value)| format!(" {name}={value}"));
        lines.push(format!("{time}{}", values.collect::<String>()));
    }
    lines.join("\n")
}

#[test]
fn both_delimiters_quotes_labels_and_holes() {
    let check = |text: &str, expected: &str| assert_eq!(show(text), expected, "{text}");
    check(
        "datetime;Current;Volume Flow RateRMS;anomaly;changepoint\n\
         2020-03-09 10:14:33;1.3302;32.0;0.0;0.0\n",
        "2020-03-09T10:14:33 Current=1.3302 Volume Flow RateRMS=32",
    );
    check(
        "\u{feff}\"a;b\",\"Time\",\"Anomaly\"\n1,2020-03-09T10:14:33.5Z,1\n",
        "2020-03-09T10:14:33.500 a;b=1",
    );
    check(
        "time,a,b,c\n0,,nan,3\n60,x,inf,4\nsoon,1,2,3\n",
        "1970-01-01T00:00:00 c=3\n1970-01-01T00:01:00 c=4\n- a=1 b=2 c=3",
    );
    // Rows keep the order of the file; a short row has holes.
    check(
        "time,a,b\n120,1,2\n60,3\n",
        "1970-01-01T00:02:00 a=1 b=2\n1970-01-01T00:01:00 a=3",
    );
    // Without a name, the first column that shows a time.
    check("n,when,a\n1,2020-03-09,7\n", "2020-03-09T00:00:00 n=1 a=7");
}

#[test]
fn times_in_many_forms() {
    let check = |cell: &str, expected: Option<&str>| {
        let found = instant(cell).map(|time| time.format("%FT%T%.fZ").to_string());
        assert_eq!(found.as_deref(), expected, "{cell}");
    };
    check("2020-03-09 10:14:33", Some("2020-03-09T10:14:33Z"));
    check("2020-03-09 10:14:33.25", Some("2020-03-09T10:14:33.250Z"));
    check("2020-03-09T10:14:33+02:00", Some("2020-03-09T08:14:33Z"));
    check("2020-03-09 10:14:33+02:00", Some("2020-03-09T08:14:33Z"));
    check("2020-03-09 10:14:33Z", Some("2020-03-09T10:14:33Z"));
    check("2020/03/09 10:14:33", Some("2020-03-09T10:14:33Z"));
    check("09.03.2020 10:14", Some("2020-03-09T10:14:00Z"));
    check("1583748873", Some("2020-03-09T10:14:33Z"));
    check("1583748873.5", Some("2020-03-09T10:14:33.500Z"));
    check("1583748873000", Some("2020-03-09T10:14:33Z"));
    check("1583748873000000", Some("2020-03-09T10:14:33Z"));
    check("tomorrow", None);
    check("", None);
}

#[test]
fn a_summary_counts_and_finds_the_ends() {
    let (_folder, path) = file("time,a,anomaly\n60,1,0\n300,x,0\n240,2,1\nnever,3,0\n120,4,0\n");
    let summary = Recording::open(&path).unwrap().summarize().unwrap();
    let second = |second| DateTime::from_timestamp(second, 0).unwrap();
    assert_eq!(
        summary,
        Summary {
            rows: 5,
            timed: 3,
            skipped_cells: 1,
            first: second(60),
            newest: second(240)
        }
    );
}

#[test]
fn what_cannot_be_replayed_says_why() {
    let check = |text: &str, part: &str| {
        let (_folder, path) = file(text);
        let error = Recording::open(&path)
            .and_then(|recording| recording.summarize())
            .unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    };
    check(
        "a,b\n1,2\n",
        "no time column; name one datetime, timestamp or time (found: a, b)",
    );
    check("", "no time column");
    check("time,a\n", "no row with a time in column `time`");
    check("time,a\nsoon,1\n", "no row with a time");
    check("time,anomaly\n60,1\n", "no row with a time");
    let missing = Recording::open(Path::new("/nowhere/x.csv")).unwrap_err();
    assert!(
        missing.to_string().contains("cannot read /nowhere/x.csv"),
        "{missing}"
    );
}
