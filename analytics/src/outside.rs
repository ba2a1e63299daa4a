//! What tests need from outside. Where it is missing, a test says aloud that it is skipped.

use std::io::Write as _;

/// Names, separated by commas, of what must be there: without it a test fails.
const REQUIRED: &str = "FIELDWRIGHT_REQUIRE";

/// A PostgreSQL database that tests may fill.
pub(crate) fn postgres() -> Option<String> {
    given("postgres", "FIELDWRIGHT_TEST_POSTGRES")
}

/// The folder with the recordings of the SKAB rig.
pub(crate) fn skab() -> Option<String> {
    given("skab", "FIELDWRIGHT_TEST_SKAB")
}

fn given(name: &str, variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    let required = std::env::var(REQUIRED).unwrap_or_default();
    let told = told(name, variable, value, &required);
    told.unwrap_or_else(|missing| panic!("{missing}"))
}

/// **Errors** when something is missing that must be there.
fn told(
    name: &str,
    variable: &str,
    value: Option<String>,
    required: &str,
) -> Result<Option<String>, String> {
    let value = value.filter(|value| !value.is_empty());
    if value.is_none() {
        if required.split(',').any(|word| word.trim() == name) {
            return Err(format!(
                "{REQUIRED} names {name}, but {variable} is not set"
            ));
        }
        // The macros would be captured, and nobody would read of a skip in a test that passes.
        let line = format!("SKIPPED: set {variable} to test with {name}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    Ok(value)
}

#[test]
fn a_skip_is_a_failure_where_it_is_required() {
    let check = |value: &str, required: &str, expected: Result<Option<&str>, &str>| {
        let told = told("rig", "TEST_RIG", Some(value.to_owned()), required);
        let told = told.as_ref().map(Option::as_deref);
        assert_eq!(told.map_err(String::as_str), expected, "{value} {required}");
    };
    let missing = "FIELDWRIGHT_REQUIRE names rig, but TEST_RIG is not set";
    check("/rig", "", Ok(Some("/rig")));
    check("/rig", "rig", Ok(Some("/rig")));
    check("", "", Ok(None));
    check("", "rigs,other", Ok(None));
    check("", "other, rig", Err(missing));
}
