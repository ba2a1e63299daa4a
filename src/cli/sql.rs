//! `fieldwright sql`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::client::Client;
use super::target::{Found, Target};
use super::{Failure, Output};

/// Ask a question in SQL. Read-only: nothing that you type here can change anything.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    fieldwright sql \"SELECT asset, count(*) FROM readings GROUP BY asset\"\n  \
    fieldwright sql \"SELECT date_bin(interval '1 hour', time) AS hour, avg(vibration_mm_s) \
FROM pump WHERE asset = 'pump-101' GROUP BY 1 ORDER BY 1\"\n  \
    fieldwright sql \"SELECT w.number, w.status, i.number, i.total FROM work_orders w \
LEFT JOIN invoices i ON i.work_order_id = w.id\"\n  \
    fieldwright sql --data DIR \"SHOW TABLES\"\n\n\
    Tables: one per asset class, the view readings(asset, time, metric, value, received_at), and\n\
    assets, alarms, work_orders, bookings, invoices, receipts, journal_lines.")]
pub struct Sql {
    #[command(flatten)]
    target: Target,
    /// The query; without it, --file or standard input.
    query: Option<String>,
    /// Read the query from a file; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "query")]
    file: Option<PathBuf>,
}

impl Sql {
    /// Runs the query where the target points.
    pub async fn run(self, output: Output) -> Result<(), Failure> {
        let query = self.text()?;
        match self.target.find().await? {
            Found::Service { http, .. } => {
                let client = Client::new(&http, self.target.token()?)?;
                let answer = client.post("/api/v1/sql", &json!({ "query": query })).await?;
                print_answer(output, &answer)
            }
            Found::Folder(folder) => {
                let engine = crate::app::offline_sql(folder.path()).await?;
                let answer = engine.query(&query).await.map_err(sql_failure)?;
                print_answer(output, &answer_json(&answer))
            }
        }
    }

    fn text(&self) -> Result<String, Failure> {
        if let Some(query) = &self.query {
            return Ok(query.clone());
        }
        let read = match self.file.as_deref() {
            Some(path) if path.as_os_str() != "-" => std::fs::read_to_string(path),
            _ => std::io::read_to_string(std::io::stdin()),
        };
        read.map_err(|error| Failure::Usage(format!("cannot read the query: {error}")))
    }
}
