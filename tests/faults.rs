//! What a machine may do to a running service, seen from outside.
//!
//! Quick by default; `docs/development.md` says how to run the full versions.

mod kills;
mod sql_counts;

/// How often a test repeats: by the environment, or a few times.
fn times(variable: &str, quick: u64) -> u64 {
    std::env::var(variable).map_or(quick, |text| text.parse().expect(variable))
}
