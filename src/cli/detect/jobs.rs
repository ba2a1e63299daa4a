//! `fieldwright detect jobs`.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::target::{Found, Target};
use crate::cli::{Failure, Output};

/// Where the jobs are.
const PATH: &str = "/api/v1/detect/jobs";

/// Trainings and back-tests of the running service since its start, and a way to stop one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    fieldwright detect jobs --data DIR\n  \
    fieldwright detect jobs --output json --data DIR\n  \
    fieldwright detect jobs --cancel 3 --data DIR")]
pub struct Jobs {
    /// Tell this job to stop, and show it.
    #[arg(long, value_name = "NUMBER")]
    cancel: Option<u64>,
    #[command(flatten)]
    target: Target,
}

impl Jobs {
    /// Asks the running service.
    pub async fn run(self, output: Output) -> Result<(), Failure> {
        let Found::Service { http, .. } = self.target.find().await? else {
            return Err(Failure::Unavailable(
                "no service runs on this folder, so there are no jobs; start one with fieldwright \
                 serve"
                    .to_owned(),
            ));
        };
        let client = Client::new(&http, self.target.token()?)?;
        if let Some(number) = self.cancel {
            let job = client
                .post(&format!("{PATH}/{number}/cancel"), &json!({}))
                .await?;
            output.line(line(&job), &job);
            return Ok(());
        }
        let mut path = format!("{PATH}?limit=500");
        loop {
            let page = client.get(&path).await?;
            for job in page["items"].as_array().into_iter().flatten() {
                output.line(line(job), job);
            }
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("{PATH}?limit=500&cursor={cursor}"),
                None => return Ok(()),
            }
        }
    }
}

/// A job in one line.
fn line(job: &Value) -> String {
    let text = |name: &str| job[name].as_str().unwrap_or_default();
    let done = job["progress"].as_f64().unwrap_or_default() * 100.0;
    let of = match job["class"].as_str() {
        Some(class) => format!("class {class}"),
        None => text("asset").to_owned(),
    };
    let mut line = format!(
        "{} {} of {} from {} to {}: {}, {done:.0} %",
        job["number"],
        text("kind"),
        of,
        text("from"),
        text("to"),
        text("state"),
    );
    for (name, before) in [("version", ", version "), ("failure", ", because ")] {
        if let Some(more) = job[name].as_str() {
            line.push_str(before);
            line.push_str(more);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_one_line() {
        let job = json!({
            "number": 3, "kind": "train", "asset": "pump-101", "from": "2026-03-01T00:00:00Z",
            "to": "2026-03-02T00:00:00Z", "state": "failed", "progress": 0.5, "version": null,
            "failure": "nothing moved",
        });
        assert_eq!(
            line(&job),
            "3 train of pump-101 from 2026-03-01T00:00:00Z to 2026-03-02T00:00:00Z: failed, 50 %, \
             because nothing moved"
        );
    }
}
