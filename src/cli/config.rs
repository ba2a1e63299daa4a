//! `fieldwright config show | check`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Output};
use crate::config::{Layers, Mistakes, Settings};

/// Show or check the configuration.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  fieldwright config show\n  \
                        fieldwright config show --defaults > fieldwright.toml\n  \
                        fieldwright config check --config fieldwright.toml")]
pub struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every value in force and where it came from; secrets as ***.
    Show {
        #[command(flatten)]
        layers: LayerArgs,
        /// Print the commented file of all defaults instead.
        #[arg(long)]
        defaults: bool,
    },
    /// Every mistake at once; exit code 2 when there is one.
    Check {
        #[command(flatten)]
        layers: LayerArgs,
    },
}

/// The file layer.
#[derive(Debug, Args)]
struct LayerArgs {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "FIELDWRIGHT_CONFIG")]
    config: Option<PathBuf>,
}

impl Config {
    /// Runs the command.
    pub fn run(self, output: Output) -> Result<(), Failure> {
        match self.command {
            Command::Show { defaults: true, .. } => {
                let text = crate::config::default_toml();
                output.line(text.trim_end(), &json!({ "default_toml": text }));
                Ok(())
            }
            Command::Show { layers, .. } => {
                for shown in layers.read()?.shown() {
                    output.line(
                        format!("{} = {}  # {}", shown.path, shown.value, shown.origin),
                        &json!({
                            "path": shown.path,
                            "value": shown.json,
                            "origin": shown.origin.to_string(),
                        }),
                    );
                }
                Ok(())
            }
            Command::Check { layers } => {
                let checked = layers
                    .read()
                    .and_then(|layers| Settings::from_layers(&layers).map(drop));
                let mistakes = checked
                    .as_ref()
                    .err()
                    .map_or(&[][..], |mistakes| &mistakes.0);
                match (output, &checked) {
                    (Output::Text, Err(_)) => {}
                    _ => output.line(
                        "the configuration is sound",
                        &json!({ "mistakes": mistakes }),
                    ),
                }
                Ok(checked?)
            }
        }
    }
}

impl LayerArgs {
    fn read(&self) -> Result<Layers, Mistakes> {
        Layers::read(self.config.as_deref(), std::env::vars(), &[])
    }
}
