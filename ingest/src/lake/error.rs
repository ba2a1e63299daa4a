//! Why the lake cannot be read or written.

use std::fmt;
use std::io;
use std::path::PathBuf;

use arrow::error::ArrowError;
use object_store::path::Path;
use parquet::errors::ParquetError;
use thiserror::Error;

/// Why the lake cannot be read or written.
#[derive(Debug, Error)]
pub enum LakeError {
    /// The system refused.
    #[error("cannot {operation} the lake's folder {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store refused.
    #[error("cannot {operation} {path} in the lake")]
    Store {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: Path,
        /// What the store said.
        source: object_store::Error,
    },
    /// A Parquet file could not be encoded.
    #[error("cannot encode {path}")]
    Encode {
        /// The file.
        path: Path,
        /// What the encoder said.
        source: ParquetError,
    },
    /// Rows could not be brought into the form of a file, or out of it.
    #[error("the rows of {path} cannot be read or converted")]
    Rows {
        /// The file.
        path: Path,
        /// What was wrong.
        source: ArrowError,
    },
    /// A file of the lake cannot be opened.
    #[error("cannot open {path} in the lake")]
    Open {
        /// The file.
        path: Path,
        /// What the system said.
        source: io::Error,
    },
    /// A table's log cannot be read or written.
    #[error("cannot {operation} the log of table {table}")]
    Log {
        /// What was tried.
        operation: LogError,
        /// The table.
        table: String,
        /// What the library said.
        source: Box<deltalake_core::DeltaTableError>,
    },
    /// An action could not be made.
    #[error("an entry of a table's log cannot be made")]
    Action(#[source] serde_json::Error),
    /// A table's log has a schema of another kind.
    #[error(
        "the log of table {table} has a schema that Fieldwright did not write; restore the \
         table's folder from a backup, or move it away to begin anew"
    )]
    Schema {
        /// The table.
        table: String,
    },
    /// A table's log names a file that we did not write.
    #[error(
        "the log of table {table} names the file {file}, which another program added; restore \
         the table as it was: readers are welcome, Fieldwright is its only writer"
    )]
    Foreign {
        /// The table.
        table: String,
        /// The file.
        file: String,
    },
    /// Somebody else wrote the entry that was to be ours, or we did and do not know.
    #[error(
        "entry {version} of the log of table {table} is there already; if another service writes \
         to this lake, stop it: one lake has one writer"
    )]
    Taken {
        /// The table.
        table: String,
        /// The entry.
        version: u64,
    },
    /// A file of the name that was to be ours is there.
    #[error(
        "{path} is there already in the lake; if another service writes to this lake, stop it: \
         one lake has one writer"
    )]
    Exists {
        /// The file.
        path: Path,
    },
    /// The folder is of an earlier version.
    #[error(
        "the lake {path} is of an earlier version (it has a manifest.json and no Delta logs); \
         replay its messages into a new data folder, or keep using the program that wrote it"
    )]
    EarlierVersion {
        /// The lake.
        path: String,
    },
    /// Files that a log names are missing or have another size.
    #[error(
        "the lake lacks files that its logs name, or their size differs: {}; restore them from a \
         backup", .0.join(", ")
    )]
    Missing(Vec<String>),
    /// The configuration names another place than the one where the files are.
    #[error(
        "the files of this data folder are at \"{recorded}\" and ingest.lake_url is \"{wanted}\" \
         (empty means the folder itself): set it back, or move the files and remove lake/url"
    )]
    Elsewhere {
        /// Where they are.
        recorded: String,
        /// What the configuration says.
        wanted: String,
    },
    /// The URL of the lake cannot be used.
    #[error("ingest.lake_url {url} cannot be used: {detail}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A thread cannot be started.
    #[error("the system refuses a thread for the lake")]
    Thread(#[source] io::Error),
}

/// What was tried with a table's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogError {
    /// Reading it.
    Read,
    /// Making an entry.
    Encode,
    /// Writing its state down as a whole.
    Checkpoint,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Encode => "make an entry for",
            Self::Checkpoint => "write a checkpoint of",
        })
    }
}

impl LakeError {
    pub(super) fn rows(path: &Path) -> impl Fn(ArrowError) -> Self + use<> {
        let path = path.clone();
        move |source| Self::Rows {
            path: path.clone(),
            source,
        }
    }

    pub(super) fn encode(path: &Path) -> impl Fn(ParquetError) -> Self + use<> {
        let path = path.clone();
        move |source| Self::Encode {
            path: path.clone(),
            source,
        }
    }

    pub(super) fn open(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.clone();
        move |source| Self::Open {
            path: path.clone(),
            source,
        }
    }
}
