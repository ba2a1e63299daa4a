//! Invoicing: prices and taxes as decision tables, documents on every store.

mod catalogs;
mod documents;
mod prices;

/// Runs `check` on every line of `table`, cells split at `|`, and names the line that failed.
pub(crate) fn check_table(table: &str, check: impl Fn(&[&str]) -> String) {
    let mut cases = 0;
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (given, expected) = line.rsplit_once("=>").expect("a case has an arrow");
        let cells: Vec<&str> = given.split('|').map(str::trim).collect();
        assert_eq!(check(&cells), expected.trim(), "in the case: {line}");
        cases += 1;
    }
    assert!(cases > 0, "the table is empty");
}
