//! `fieldwright lake`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::target::{Found, Target};
use super::{Failure, Output};

/// The files behind the tables of a running service.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  fieldwright lake status --data DIR\n  \
    fieldwright lake compact --api http://127.0.0.1:8080")]
pub struct Lake {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the files, one line a table.
    Status(Which),
    /// Bring everything into files and compact all tables, then show them.
    Compact(Which),
}

#[derive(Debug, Args)]
struct Which {
    #[command(flatten)]
    target: Target,
}

impl Lake {
    /// Asks the running service.
    pub async fn run(self, output: Output) -> Result<(), Failure> {
        let (which, compact) = match self.verb {
            Verb::Status(which) => (which, false),
            Verb::Compact(which) => (which, true),
        };
        let Found::Service { http, .. } = which.target.find().await? else {
            return Err(Failure::Unavailable(
                "no service runs on this folder; start one with `fieldwright serve`".into(),
            ));
        };
        let client = Client::new(&http, which.target.token()?)?;
        let answer = match compact {
            true => client.post("/api/v1/lake/compact", &json!({})).await?,
            false => client.get("/api/v1/lake").await?,
        };
        for table in answer["items"].as_array().into_iter().flatten() {
            output.line(line(table), table);
        }
        Ok(())
    }
}

fn line(table: &Value) -> String {
    let number = |name: &str| table[name].as_u64().unwrap_or_default();
    let text = |name: &str| table[name].as_str().unwrap_or("-").to_owned();
    format!(
        "{:<20} {:>5} files, {} late, {} bytes, {} rows, {} in memory, {} to {}",
        text("class"),
        number("files"),
        number("late_files"),
        number("bytes"),
        number("rows"),
        number("hot_rows"),
        text("oldest"),
        text("newest"),
    )
}
