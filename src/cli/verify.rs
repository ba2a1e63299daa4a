//! `fieldwright verify`.

use clap::Args;
use serde_json::{Value, json};

use super::client::Client;
use super::target::{Found, Target};
use super::{Failure, Output};

/// Check every invariant, one line each; exit code 1 when one is violated.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  fieldwright verify --data DIR\n  \
    fieldwright verify --api http://127.0.0.1:8080 --output json")]
pub struct Verify {
    #[command(flatten)]
    target: Target,
    /// The operational store, when the folder's service kept it elsewhere.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

impl Verify {
    /// Asks the running service, or checks the folder itself.
    pub async fn run(self, output: Output) -> Result<(), Failure> {
        let results: Vec<Value> = match self.target.find().await? {
            Found::Service { http, .. } => {
                let client = Client::new(&http, self.target.token()?)?;
                let answer = client.post("/api/v1/verify", &json!({})).await?;
                answer["items"].as_array().cloned().unwrap_or_default()
            }
            Found::Folder(folder) => {
                crate::app::offline_verify(folder.path(), self.store.as_deref()).await?
            }
        };
        let mut violated = 0;
        for result in &results {
            let holds = result["ok"] == true;
            violated += usize::from(!holds);
            let detail = result["detail"].as_str().unwrap_or_default();
            let text = format!(
                "{}  {:>2}  {}{}",
                if holds { "ok      " } else { "VIOLATED" },
                result["number"],
                result["name"].as_str().unwrap_or_default(),
                if detail.is_empty() {
                    String::new()
                } else {
                    format!(": {detail}")
                },
            );
            output.line(text, result);
        }
        match (results.len(), violated) {
            (0, _) => Err(Failure::Failed("no invariant was checked".into())),
            (checked, 0) => {
                eprintln!("{checked} invariants hold");
                Ok(())
            }
            (checked, _) => Err(Failure::Failed(format!(
                "{violated} of {checked} invariants are violated"
            ))),
        }
    }
}
