//! `fieldwright mqtt`.

use std::io::Read as _;

use clap::{Args, Subcommand};
use fieldwright_ingest::mqtt::hash_password;
use serde_json::json;

use super::{Failure, Output};

/// Longest password that is read.
const MOST_BYTES: u64 = 4096;

/// Help with the users of the MQTT endpoint.
#[derive(Debug, Args)]
pub struct Mqtt {
    #[command(subcommand)]
    command: MqttCommand,
}

#[derive(Debug, Subcommand)]
enum MqttCommand {
    /// Read a password from stdin and print its hash for `password_hash` in [mqtt] users.
    #[command(after_help = "Examples:\n  \
        printf '%s' \"$PASSWORD\" | fieldwright mqtt hash-password\n  \
        systemd-ask-password | fieldwright mqtt hash-password\n\n\
        The hash is argon2id in PHC form. One line break at the end of the input is left out.")]
    HashPassword,
}

impl Mqtt {
    /// Runs the command.
    pub fn run(self, output: Output) -> Result<(), Failure> {
        match self.command {
            MqttCommand::HashPassword => print_hash(output),
        }
    }
}

fn print_hash(output: Output) -> Result<(), Failure> {
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(MOST_BYTES + 1);
    input
        .read_to_string(&mut text)
        .map_err(|error| Failure::Usage(format!("cannot read a password from stdin: {error}")))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Failure::Usage(format!(
            "the password is longer than {MOST_BYTES} bytes"
        )));
    }
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    let hash = hash_password(password).map_err(|error| {
        Failure::Usage(format!("{error}; write it to stdin, such as with printf"))
    })?;
    output.line(&hash, &json!({ "password_hash": hash }));
    Ok(())
}
