//! The command line: every command teaches itself with `--help`.

mod bench;
mod client;
mod config;
mod demo;
mod detect;
mod import;
mod lake;
mod mqtt;
mod openapi;
mod output;
mod replay;
mod serve;
mod simulate;
mod sql;
mod target;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use client::Client;
pub use output::{Failure, Output, with_causes};
pub use target::read_secret;

/// IoT asset telemetry and predictive maintenance, from the reading to the receipt.
#[derive(Debug, Parser)]
#[command(
    name = "fieldwright",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(
    after_help = "Start here:\n  fieldwright demo            a living plant on your screen\n  \
                        fieldwright serve           the service, for your own devices\n\n\
                        Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 refused by a rule,\n\
                        4 not found, 5 unavailable"
)]
struct Cli {
    /// How results are printed on stdout; talk always goes to stderr.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A living plant on your screen: from a growing fault to a balanced ledger.
    Demo(demo::Demo),
    /// Run the service: MQTT in, SQL, detection, work orders, HTTP API.
    Serve(serve::Serve),
    /// Publish a recorded CSV file over MQTT as if an asset sent it now.
    Replay(replay::Replay),
    /// Import a historian's CSV or Parquet file into the service.
    Import(import::Import),
    /// Ask a question in SQL over readings, alarms, work orders and money.
    Sql(sql::Sql),
    /// Train a model by hand, or score recordings with a class's settings.
    Detect(detect::Detect),
    /// Drive a running service with a simulated world, from outside.
    Simulate(simulate::Simulate),
    /// Check every invariant, one line each.
    Verify(verify::Verify),
    /// Show or check the configuration.
    Config(config::Config),
    /// Make what the users of the MQTT endpoint need.
    Mqtt(mqtt::Mqtt),
    /// The files behind the tables: show them, compact them.
    Lake(lake::Lake),
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
    /// Measure throughput and latency on this machine.
    Bench(bench::Bench),
}

/// Parses the arguments, runs the command, prints a failure once, returns the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    start_logging();
    // The one TLS provider of the process; a second call would only say that it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::from(1);
        }
    };
    let output = cli.output;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Demo(command) => command.run(output).await,
            Command::Serve(command) => command.run().await,
            Command::Replay(command) => command.run(output).await,
            Command::Import(command) => command.run(output).await,
            Command::Sql(command) => command.run(output).await,
            Command::Detect(command) => command.run(output).await,
            Command::Simulate(command) => command.run(output).await,
            Command::Verify(command) => command.run(output).await,
            Command::Config(command) => command.run(output),
            Command::Mqtt(command) => command.run(output),
            Command::Lake(command) => command.run(output).await,
            Command::Openapi => openapi::run(output),
            Command::Bench(command) => command.run(output).await,
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}

/// Logs go to stderr; `RUST_LOG` chooses what, warnings by default. Colors are for a terminal
/// only, where nobody set `NO_COLOR`: in a file they are noise.
fn start_logging() {
    use std::io::IsTerminal as _;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(!is_plain && std::io::stderr().is_terminal())
        .try_init();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_declaration_is_sound() {
        super::Cli::command().debug_assert();
    }
}
