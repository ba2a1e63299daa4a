//! Benches without the service around them: `bench SET --data DIR [--train DIR] --out DIR`.

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
    let done = run(set, &places, &Kinds::shipped(), &mut NoDesk)?;
    println!("{set}: {} files, {} rows", done.files, done.rows);
    Ok(())
}
