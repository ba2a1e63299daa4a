//! `fieldwright openapi`.

use std::io::Write as _;

use super::Failure;

/// Prints the document that the code declares.
pub fn run() -> Result<(), Failure> {
    let document = crate::api::openapi()
        .to_pretty_json()
        .map_err(|error| Failure::Failed(format!("cannot write the document: {error}")))?;
    // A reader that has gone away is no failure.
    let _ = writeln!(std::io::stdout().lock(), "{document}");
    Ok(())
}
