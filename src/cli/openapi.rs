//! `fieldwright openapi`.

use super::{Failure, Output};

/// Prints the document that the code declares.
pub fn run(output: Output) -> Result<(), Failure> {
    let document = crate::api::openapi();
    let failed = |error| Failure::Failed(format!("cannot write the document: {error}"));
    let pretty = document.to_pretty_json().map_err(failed)?;
    let value = serde_json::from_str(&pretty).map_err(failed)?;
    output.line(pretty, &value);
    Ok(())
}
