//! How results reach a person or a script, and how a failure becomes an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use fieldwright_workorders::problem::{Family, Problem as _};

use crate::app::AppError;
use crate::config::Mistakes;
use crate::data_dir::DataDirError;

/// Form of the results on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON object a line, and nothing else on stdout.
    Json,
}

impl Output {
    /// Prints one result: the text for people or the object for programs.
    ///
    /// A reader that has gone away (`| head`) is no failure.
    pub fn line(self, text: impl AsRef<str>, json: &serde_json::Value) {
        let mut out = std::io::stdout().lock();
        let written = match self {
            Self::Text => writeln!(out, "{}", text.as_ref()),
            Self::Json => writeln!(out, "{json}"),
        };
        if written.and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }
}

/// Why a command did not do what was asked, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It went wrong. Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// The command or the configuration is wrong. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A rule said no. Exit code 3.
    #[error("{0}")]
    Refused(String),
    /// There is no such thing. Exit code 4.
    #[error("{0}")]
    NotFound(String),
    /// Not now: taken port, locked folder, service away. Exit code 5.
    #[error("{0}")]
    Unavailable(String),
}

impl Failure {
    /// The exit code of the contract.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::NotFound(_) => 4,
            Self::Unavailable(_) => 5,
        })
    }

    /// Any error with its causes in one line, as a plain failure.
    pub fn failed(error: impl std::error::Error) -> Self {
        Self::Failed(with_causes(&error))
    }
}

/// An error and its causes in one line; `Display` never prints its source, so the rim does.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        Self::Usage(mistakes.to_string())
    }
}

impl From<DataDirError> for Failure {
    fn from(error: DataDirError) -> Self {
        let text = with_causes(&error);
        match error {
            DataDirError::InUse(_) => Self::Unavailable(text),
            DataDirError::Missing(_) => Self::NotFound(text),
            DataDirError::NoFolder(_) => Self::Usage(text),
            DataDirError::Open { .. } | DataDirError::Write { .. } => Self::Failed(text),
        }
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        let text = with_causes(&error);
        match error {
            AppError::DataDir(error) => error.into(),
            AppError::Clock(_)
            | AppError::NotLoopback { .. }
            | AppError::Token { .. }
            | AppError::Certificate { .. } => Self::Usage(text),
            AppError::Listen { .. } | AppError::Mqtt(_) | AppError::SqlDoor(_) => {
                Self::Unavailable(text)
            }
            AppError::Store(error) if error.family() == Family::Refused => Self::Refused(text),
            AppError::Store(_) => Self::Unavailable(text),
            _ => Self::Failed(text),
        }
    }
}
