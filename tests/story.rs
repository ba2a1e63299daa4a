//! One day at a small plant: from a growing fault to a balanced ledger, told by the binary itself.

use crate::service::{binary, run, sql, stderr, stdout};

const WORDS: [&str; 10] = [
    "reading",
    "alarm",
    "work_order",
    "booking",
    "travel",
    "work",
    "verified",
    "invoice",
    "receipt",
    "balanced",
];

#[test]
fn a_fault_becomes_a_paid_invoice() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().display().to_string();
    let output = binary()
        .args(["demo", "--until-paid", "--seed", "1", "--data", &data])
        .output()
        .unwrap();
    let story = stdout(&output);
    assert!(output.status.success(), "{story}\n{}", stderr(&output));
    let mut told: Vec<&str> = Vec::new();
    for line in story.lines() {
        let word = line.split_whitespace().next().unwrap();
        assert!(WORDS.contains(&word), "a line begins with `{word}`");
        if !told.contains(&word) {
            told.push(word);
        }
    }
    assert_eq!(told, WORDS, "{story}");
    let orders = sql(dir.path(), "SELECT status, verification FROM work_orders");
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert_eq!(orders[0]["status"], "posted");
    assert_eq!(orders[0]["verification"], "passed");
    let verified = run(&["verify", "--data", &data]);
    assert!(verified.status.success(), "{}", stdout(&verified));
}
