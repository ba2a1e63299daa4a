//! `fieldwright import`: a file of a historian, through the public write path.
//!
//! The file is read twice: once to the end before anything is stored, so that a bad row is known
//! with its line before the first good one is sent, and once to send it. What the service has
//! acknowledged is noted beside the file, so that the same command goes on after a stop; rows that
//! are sent twice count once.

mod cells;
mod map;
mod reading;
mod sending;
mod state;
mod summary;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use self::cells::Rows;
use self::map::ImportMap;
use self::reading::Reader;
use self::sending::{Sender, Sent};
use self::state::{Identity, State};
use self::summary::Summary;
use super::serve::stop_signal;
use super::target::Target;
use super::{Failure, Output};

/// Import a historian's CSV or Parquet file into the service.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    fieldwright import log.csv --class pump --map log.toml --dry-run\n  \
    fieldwright import log.csv --class pump --map log.toml --data DIR\n  \
    fieldwright import log.parquet --class pump --map log.toml --api http://127.0.0.1:8080\n\n\
    The map says where time, asset and metrics stand; docs/recipes/import.md explains it.\n\
    A bad row refuses the file whole, with its line; --skip-bad N leaves up to N of them out.\n\
    Ctrl-C stops; the same command goes on where the service had acknowledged. What it remembers\n\
    is in FILE.import.json.")]
pub struct Import {
    /// The file: .csv (also .tsv, .txt) or .parquet.
    file: PathBuf,
    /// Class of the assets: the table that the readings go to.
    #[arg(long)]
    class: String,
    /// What the columns mean, TOML.
    #[arg(long, value_name = "FILE")]
    map: PathBuf,
    #[command(flatten)]
    target: Target,
    /// Say what would be stored, and store nothing.
    #[arg(long)]
    dry_run: bool,
    /// Leave out up to so many bad rows instead of refusing the file.
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip_bad: u64,
}

impl Import {
    /// Reads the file, sends it, and waits until all of it is acknowledged.
    pub async fn run(self, output: Output) -> Result<(), Failure> {
        if !self.file.is_file() {
            return Err(Failure::NotFound(format!(
                "there is no file {}; name a CSV or Parquet file",
                self.file.display()
            )));
        }
        let text = std::fs::read_to_string(&self.map).map_err(|error| {
            Failure::Usage(format!(
                "cannot read the map {}: {error}",
                self.map.display()
            ))
        })?;
        let map = ImportMap::read(&text)
            .map_err(|problem| Failure::Usage(format!("{}: {problem}", self.map.display())))?;
        let class = fieldwright_ingest::validate::class_name(&self.class)
            .map_err(|refusal| Failure::Usage(format!("--class: {refusal}")))?;
        let summary = self.check(&map)?;
        report(output, &self.file, &class, &summary, self.dry_run);
        if summary.bad > self.skip_bad {
            return Err(Failure::Refused(format!(
                "{} of {} rows are bad, the first on line {}; nothing was stored: correct the \
                 file or the map, or leave them out with --skip-bad {}",
                summary.bad,
                summary.rows,
                summary.bad_rows.first().map_or(0, |bad| bad.line),
                summary.bad
            )));
        }
        if self.dry_run {
            return Ok(());
        }
        self.send(output, &map, &class, &text, summary.rows).await
    }

    /// The whole file without sending anything.
    fn check(&self, map: &ImportMap) -> Result<Summary, Failure> {
        let mut reader = self.reader(map)?;
        let mut summary = Summary::default();
        while let Some(row) = reader
            .next_row()
            .map_err(|error| unreadable(&self.file, &error))?
        {
            summary.add(&row);
        }
        Ok(summary)
    }

    fn reader<'m>(&self, map: &'m ImportMap) -> Result<Reader<'m>, Failure> {
        let rows = Rows::open(&self.file, map.delimiter())
            .map_err(|error| unreadable(&self.file, &error))?;
        Reader::new(rows, map)
            .map_err(|problem| Failure::Usage(format!("{}: {problem}", self.map.display())))
    }

    async fn send(
        &self,
        output: Output,
        map: &ImportMap,
        class: &str,
        text: &str,
        rows: u64,
    ) -> Result<(), Failure> {
        let (http, _) = self.target.endpoints().await?;
        let sender = Sender::new(http, self.target.token()?, class, rows);
        let service = sender.service().await?;
        let identity = Identity::of(&self.file, text, class, &service)
            .map_err(|error| unreadable(&self.file, &error))?;
        let state = State::open(&self.file, identity)?;
        let mut reader = self.reader(map)?;
        if let Some(told) = state.told(rows) {
            eprintln!("import: {told}");
        }
        let sent = tokio::select! {
            sent = sender.run(&mut reader, state) => sent?,
            () = stop_signal() => {
                return Err(Failure::Failed(
                    "stopped; run the same command again to go on where the service had \
                     acknowledged"
                        .into(),
                ));
            }
        };
        let Sent {
            acknowledged,
            skipped,
        } = sent;
        output.line(
            format!("{acknowledged} of {rows} rows acknowledged, {skipped} left out"),
            &json!({"rows": rows, "acknowledged": acknowledged, "skipped": skipped}),
        );
        Ok(())
    }
}

/// What was found, on stdout for a dry run and on stderr before a real one.
fn report(output: Output, file: &Path, class: &str, summary: &Summary, dry_run: bool) {
    let text = summary.text(&file.display().to_string(), class);
    if dry_run {
        output.line(text, &summary.json(class));
    } else {
        eprintln!("{text}");
    }
}

fn unreadable(file: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::Usage(format!(
        "cannot read {}: {}",
        file.display(),
        super::with_causes(error)
    ))
}
