//! `fieldwright sql`.

use std::path::PathBuf;

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
    Tables: one per asset class, with CLASS_last, CLASS_1m and CLASS_1h; readings (one row per\n\
    reading) and last_values over all classes; assets, alarms, work_orders, bookings, invoices,\n\
    receipts, journal_lines and more. Functions over time: docs/recipes/time-series-sql.md.")]
pub struct Sql {
    #[command(flatten)]
    target: Target,
    /// The query; without it, --file or standard input.
    query: Option<String>,
    /// Read the query from a file; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "query")]
    file: Option<PathBuf>,
    /// The operational store, when the folder's service kept it elsewhere.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

impl Sql {
    /// Runs the query where the target points.
    pub async fn run(self, output: Output) -> Result<(), Failure> {
        let query = self.text()?;
        match self.target.find().await? {
            Found::Service { http, .. } => {
                let client = Client::new(&http, self.target.token()?)?;
                let answer = client
                    .post("/api/v1/sql", &json!({ "query": query }))
                    .await?;
                print_answer(output, &answer)
            }
            Found::Folder(folder) => {
                let engine = crate::app::offline_sql(folder.path(), self.store.as_deref()).await?;
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
        let place = self
            .file
            .as_deref()
            .map_or("standard input".into(), |file| file.display().to_string());
        read.map_err(|error| Failure::Usage(format!("cannot read the query from {place}: {error}")))
    }
}

/// The same shape as `POST /api/v1/sql` answers.
fn answer_json(answer: &fieldwright_analytics::sql::Answer) -> Value {
    let mut json = answer.to_json_rows();
    if answer.truncated {
        json["truncated"] = true.into();
    }
    json
}

fn sql_failure(error: fieldwright_analytics::sql::SqlError) -> Failure {
    use fieldwright_analytics::sql::SqlErrorFamily;
    let text = super::output::with_causes(&error);
    match error.family() {
        // The same as over HTTP: a write is refused by a rule, anything else is a wrong query.
        SqlErrorFamily::Refused if error.code() == "not_read_only" => Failure::Refused(text),
        SqlErrorFamily::Refused => Failure::Usage(text),
        SqlErrorFamily::Unavailable => Failure::Unavailable(text),
        SqlErrorFamily::Bug => Failure::Failed(text),
    }
}

/// A table for people, an object a row for programs.
fn print_answer(output: Output, answer: &Value) -> Result<(), Failure> {
    let columns: Vec<String> = answer["columns"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|column| column["name"].as_str().unwrap_or_default().to_owned())
        .collect();
    let no_rows = Vec::new();
    let rows = answer["rows"].as_array().unwrap_or(&no_rows);
    match output {
        Output::Json => {
            for row in rows {
                output.line("", &row_object(&columns, row));
            }
        }
        Output::Text => {
            output.line(table(&columns, rows), &Value::Null);
            eprintln!(
                "{} row{}",
                rows.len(),
                if rows.len() == 1 { "" } else { "s" }
            );
        }
    }
    if answer["truncated"] == true {
        return Err(Failure::Refused(format!(
            "the answer has more than the {} rows that one answer may carry; add LIMIT, or narrow the query",
            rows.len()
        )));
    }
    Ok(())
}

/// Columns of one name would overwrite each other in an object: later ones get a number.
fn row_object(columns: &[String], row: &Value) -> Value {
    let mut object = serde_json::Map::new();
    for (index, column) in columns.iter().enumerate() {
        let mut name = column.clone();
        let mut number = 2;
        while object.contains_key(&name) {
            name = format!("{column}_{number}");
            number += 1;
        }
        object.insert(name, row[index].clone());
    }
    Value::Object(object)
}

fn table(columns: &[String], rows: &[Value]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.as_array().into_iter().flatten().map(cell).collect())
        .collect();
    let is_number: Vec<bool> = (0..columns.len())
        .map(|index| {
            rows.iter()
                .all(|row| row[index].is_number() || row[index].is_null())
        })
        .collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let widest = cells
                .iter()
                .filter_map(|row| row.get(index))
                .map(|c| c.chars().count());
            widest.max().unwrap_or(0).max(name.chars().count())
        })
        .collect();
    let line = |row: &[String]| {
        let mut text = String::new();
        for (index, cell) in row.iter().enumerate() {
            let width = widths.get(index).copied().unwrap_or(0);
            if is_number.get(index).copied().unwrap_or(false) {
                text.push_str(&format!("{cell:>width$}  "));
            } else {
                text.push_str(&format!("{cell:<width$}  "));
            }
        }
        text.trim_end().to_owned()
    };
    let mut lines = vec![line(columns)];
    lines.push(
        widths
            .iter()
            .map(|width| "-".repeat(*width))
            .collect::<Vec<_>>()
            .join("  "),
    );
    lines.extend(cells.iter().map(|row| line(row)));
    lines.join("\n")
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        // A line break in a cell would break the table.
        Value::String(text) => text.replace(['\n', '\r'], " "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_a_table_and_objects() {
        let columns = vec!["a".to_owned(), "a".to_owned()];
        let rows = vec![json!(["x", 1.5]), json!([null, 20])];
        assert_eq!(table(&columns, &rows), "a    a\n-  ---\nx  1.5\n    20");
        assert_eq!(
            row_object(&columns, &rows[0]),
            json!({"a": "x", "a_2": 1.5})
        );
    }
}
