//! `fieldwright detect proposals`.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::target::{Found, Target};
use crate::cli::{Failure, Output};

/// Where the proposals are.
const PATH: &str = "/api/v1/detect/proposals";

/// Alarm limits that would have cost less over what the field has labeled, for you to promote.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    fieldwright detect proposals --data DIR\n  \
    fieldwright detect proposals --weigh --actor Ada --data DIR\n  \
    fieldwright detect proposals --promote lpr_… --actor Ada --data DIR\n  \
    fieldwright detect proposals --take-back lpr_… --actor Ada --data DIR")]
pub struct Proposals {
    /// Weigh the labels anew before listing.
    #[arg(long, requires = "actor")]
    weigh: bool,
    /// Put this proposal in force.
    #[arg(
        long,
        value_name = "ID",
        requires = "actor",
        conflicts_with = "decline"
    )]
    promote: Option<String>,
    /// Say no to this proposal.
    #[arg(long, value_name = "ID", requires = "actor")]
    decline: Option<String>,
    /// Take this promoted limit back.
    #[arg(long, value_name = "ID", requires = "actor")]
    take_back: Option<String>,
    /// Your name; it stands in the audit trail.
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Proposals {
    /// Asks the running service.
    pub async fn run(self, output: Output) -> Result<(), Failure> {
        let Found::Service { http, .. } = self.target.find().await? else {
            return Err(Failure::Unavailable(
                "no service runs on this folder; start one with fieldwright serve".to_owned(),
            ));
        };
        let client = Client::new(&http, self.target.token()?)?;
        let body = json!({ "actor": self.actor });
        if self.weigh {
            client.post(PATH, &body).await?;
        }
        let words = [
            (&self.promote, "promote"),
            (&self.decline, "decline"),
            (&self.take_back, "take-back"),
        ];
        for (id, verb) in words {
            if let Some(id) = id {
                self.decide(&client, id, verb, &body).await?;
            }
        }
        for proposal in all(&client).await? {
            let text = |name: &str| proposal[name].as_str().unwrap_or_default();
            let mut state = text("status").to_owned();
            if proposal["taken_back_at"].is_string() {
                state.push_str(", taken back");
            } else if text("applied_by") == "hand" {
                state.push_str(", to be changed by hand");
            }
            let line = format!("{} {state}: {}", text("id"), text("reason"));
            output.line(line, &proposal);
        }
        Ok(())
    }

    async fn decide(
        &self,
        client: &Client,
        id: &str,
        verb: &str,
        body: &Value,
    ) -> Result<(), Failure> {
        let known = all(client).await?;
        let proposal = known.iter().find(|one| one["id"] == *id);
        let Some(version) = proposal.and_then(|one| one["version"].as_i64()) else {
            return Err(Failure::NotFound(format!("no proposal has the id {id}")));
        };
        let path = format!("{PATH}/{id}/{verb}");
        client.post_version(&path, version, body).await?;
        Ok(())
    }
}

/// Every proposal, oldest first.
async fn all(client: &Client) -> Result<Vec<Value>, Failure> {
    let mut items = Vec::new();
    let mut path = format!("{PATH}?limit=500");
    loop {
        let page = client.get(&path).await?;
        items.extend(page["items"].as_array().into_iter().flatten().cloned());
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("{PATH}?limit=500&cursor={cursor}"),
            None => return Ok(items),
        }
    }
}
