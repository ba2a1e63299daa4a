//! Other programs read the same tables while we write them.
//!
//! The judge is `tests/judges/read_delta.py`, run by the Python that `FIELDWRIGHT_PYTHON` names, or
//! `python3`; where the packages are not installed the test is skipped with a line.

use std::process::Command;

use super::compaction::{Numbers, commit_some, compact};
use super::*;
use crate::snapshot::SEQUENCE;

/// What the judge says of a table: physical rows and keys; none when it cannot run.
fn judge(table: &Path) -> Option<(u64, u64)> {
    let python = std::env::var("FIELDWRIGHT_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/judges/read_delta.py");
    let output = Command::new(python).arg(script).arg(table).output().ok()?;
    let (said, talk) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if output.status.code() == Some(77) {
        eprintln!("skipped: no reader is installed ({})", talk.trim());
        return None;
    }
    assert!(output.status.success(), "{said}{talk}");
    eprint!("{said}");
    let number = |name: &str| {
        let from = said.find(name)? + name.len();
        let digits = said[from..].split_whitespace().next()?;
        digits.parse::<u64>().ok()
    };
    Some((number("rows=")?, number("keys=")?))
}

#[test]
fn other_programs_read_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(folder.path());
    let mut world = World::new(&lake);
    let mut numbers = Numbers::new(11);
    let mut at = 3000;
    let table = folder.path().join("pump");
    let mut keys = BTreeMap::new();
    for round in 0..40 {
        commit_some(&mut world, &mut numbers, &mut at);
        if round == 5 {
            world.commit(&[
                (
                    "P1",
                    40_000,
                    "\"two words\":1.5,\"a.b\":2,\"Temp\":3,\"temp\":4",
                ),
                (
                    "P2",
                    40_000,
                    "\"comma,semi;{brace}(paren)=\":5,\"ü\":6,\"état\":\"text\"",
                ),
            ]);
        }
        world.flush(&lake);
        if round % 10 == 9 {
            compact(&world, &lake, round == 39);
        }
        if round % 13 != 12 && round != 39 {
            continue;
        }
        let filed = &lake.tables()[0];
        let files = || filed.files.iter().chain(&filed.late_files);
        let rows: u64 = files().map(|file| file.rows).sum();
        for file in files() {
            for batch in readings::read(&lake.root(), &snapshot_table(filed), file) {
                assert_eq!(batch.column_by_name(SEQUENCE).is_some(), file.late);
                let (assets, times) = sorting::keys(&batch).unwrap();
                for (asset, time) in assets.iter().zip(times.values()) {
                    keys.insert((asset.unwrap().to_owned(), *time), ());
                }
            }
        }
        if let Some(said) = judge(&table) {
            assert_eq!(said, (rows, keys.len() as u64), "round {round}");
        }
    }
    // The log's state was written down as a whole meanwhile, and a start reads it.
    assert!(table.join("_delta_log/_last_checkpoint").exists());
    let (again, readings) = reread(folder.path());
    assert_eq!(readings, world.readings());
    let (found, known) = (again.catalog().unwrap(), &world.catalog);
    assert_eq!(found.watermarks(), known.watermarks());
    for metric in ["Temp", "temp", "a.b", "état"] {
        let column = |catalog: &Catalog| catalog.class(0).metric(metric).unwrap();
        assert_eq!(column(&found), column(known));
    }
    assert_eq!(found.class(0).schema, known.class(0).schema);
}
