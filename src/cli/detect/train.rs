//! `fieldwright detect train`.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::client::Client;
use crate::cli::serve::Serve;
use crate::cli::target::{Found, Target};
use crate::cli::{Failure, Output};

/// Train an asset's model on a span of its own history that was normal.
#[derive(Debug, Args)]
pub struct Train {
    /// Tag of the asset.
    #[arg(long, value_name = "ID")]
    asset: String,
    /// Beginning of the span, RFC 3339, such as 2026-11-01T00:00:00Z.
    #[arg(long, value_name = "T")]
    from: DateTime<Utc>,
    /// End of the span, RFC 3339.
    #[arg(long, value_name = "T")]
    to: DateTime<Utc>,
    #[command(flatten)]
    target: Target,
    /// Configuration of a folder that nobody serves.
    #[arg(long, value_name = "FILE", env = "FIELDWRIGHT_CONFIG")]
    config: Option<PathBuf>,
}

impl Train {
    /// Asks the running service; a folder that nobody serves is served for as long as it takes.
    pub async fn run(self, output: Output) -> Result<(), Failure> {
        let model = match self.target.find().await? {
            Found::Service { http, .. } => {
                let client = Client::new(&http, self.target.token()?)?;
                self.ask(&client).await?
            }
            Found::Folder(folder) => {
                let data = folder.path().to_owned();
                drop(folder);
                let free = Some("127.0.0.1:0".to_owned());
                let serve = Serve {
                    config: self.config.clone(),
                    data: data.clone(),
                    store: None,
                    http: free.clone(),
                    mqtt: free,
                    postgres: Some(String::new()),
                    flight: Some(String::new()),
                    broker: None,
                    clock: None,
                    token_file: None,
                };
                let app = App::start(serve.settings()?, &data).await?;
                let client = Client::new(&app.endpoints().http, None)?;
                let model = self.ask(&client).await;
                app.shutdown().await?;
                model?
            }
        };
        output.line(
            format!(
                "{}: model {} trained on {} windows from {} to {}",
                self.asset,
                model["version"].as_str().unwrap_or_default(),
                model["windows"],
                model["trained_from"].as_str().unwrap_or_default(),
                model["trained_through"].as_str().unwrap_or_default(),
            ),
            &model,
        );
        Ok(())
    }

    async fn ask(&self, client: &Client) -> Result<Value, Failure> {
        let body = json!({ "asset": self.asset, "from": self.from, "to": self.to });
        client.post("/api/v1/detect/train", &body).await
    }
}
