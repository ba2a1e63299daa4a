//! Benches without the service around them:
//! `bench SET --data DIR [--train DIR] --out DIR [--kinds FILE]`; the file is laid out as the
//! crate's `default.toml` and takes its place, for trials.

use std::path::PathBuf;

use fieldwright_condition::bench::orders::NoDesk;
use fieldwright_condition::bench::{Places, run};
use fieldwright_condition::settings::Kinds;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).map(PathBuf::from)
    };
    let usage = "usage: bench SET --data DIR [--train DIR] --out DIR";
    let places = Places {
        data: after("--data").ok_or(usage)?,
        train: after("--train"),
        out: after("--out").ok_or(usage)?,
    };
    let set = arguments.first().ok_or(usage)?;
    let kinds = match after("--kinds") {
        Some(path) => Kinds::read(&std::fs::read_to_string(path)?)?,
        None => Kinds::shipped(),
    };
    let done = run(set, &places, &kinds, &mut NoDesk)?;
    println!("{set}: {} files, {} rows", done.files, done.rows);
    Ok(())
}
