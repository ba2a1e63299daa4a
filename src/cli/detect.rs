//! `fieldwright detect train | score | bench | proposals | jobs`.

mod bench;
mod jobs;
mod proposals;
mod score;
mod train;

use clap::{Args, Subcommand};

use super::{Failure, Output};

/// Train a model by hand, or score recordings with a class's settings.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    fieldwright detect train --asset pump-101 --from 2026-11-01T00:00:00Z --to 2026-11-03T00:00:00Z --data DIR\n  \
    fieldwright detect score SKAB/data/valve1 --class skab\n  \
    fieldwright detect score recording.csv --class pump --output json\n  \
    fieldwright detect jobs --data DIR\n  \
    fieldwright detect bench skab --data ../shared/data/skab --out /tmp/skab")]
pub struct Detect {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train an asset's model on a span of its own history that was normal.
    Train(train::Train),
    /// Learn from the beginning of recordings and score the rest, one configuration for all.
    Score(score::Score),
    /// Limits that would have cost less over what the field has labeled, for you to promote.
    Proposals(proposals::Proposals),
    /// Trainings and back-tests of the running service, and a way to stop one.
    Jobs(jobs::Jobs),
    /// Run a public data set and write predictions in its scorer's format.
    Bench(bench::Bench),
}

impl Detect {
    /// Runs the command.
    pub async fn run(self, output: Output) -> Result<(), Failure> {
        match self.command {
            Command::Train(command) => command.run(output).await,
            Command::Score(command) => command.run(output),
            Command::Proposals(command) => command.run(output).await,
            Command::Jobs(command) => command.run(output).await,
            Command::Bench(command) => command.run(output),
        }
    }
}
