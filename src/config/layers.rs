//! The four layers and where each value came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fieldwright_workorders::store::without_password;
use toml::{Table, Value};

use super::Mistakes;

/// Prefix of settings in the environment.
const ENVIRONMENT_PREFIX: &str = "FIELDWRIGHT__";

/// Which layer a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The compiled-in defaults.
    Default,
    /// The file of `--config`.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

/// The merged layers.
#[derive(Debug, Clone)]
pub struct Layers {
    defaults: Table,
    merged: Table,
    origins: BTreeMap<String, Origin>,
}

/// One value for people: `config show`.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Dotted path.
    pub path: String,
    /// The value as TOML; secrets as `***`.
    pub value: String,
    /// The value as JSON; secrets as `***`.
    pub json: serde_json::Value,
    /// Where it came from.
    pub origin: Origin,
}

impl Layers {
    /// Reads all layers. Flags are `(dotted path, value, flag name)`.
    ///
    /// **Errors**: a file that cannot be read or is not TOML.
    pub fn read(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(&str, Option<String>, &str)],
    ) -> Result<Self, Mistakes> {
        let defaults: Table = super::default_toml()
            .parse()
            .expect("the compiled-in defaults are TOML: a test reads them");
        let mut layers = Self {
            merged: Table::new(),
            origins: BTreeMap::new(),
            defaults: defaults.clone(),
        };
        layers.merge(defaults, &Origin::Default);
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Mistakes(vec![format!("cannot read {}: {error}", path.display())])
            })?;
            let table = text.parse::<Table>().map_err(|error| {
                let text = error.to_string();
                Mistakes(vec![format!(
                    "{} is not TOML: {}",
                    path.display(),
                    text.trim()
                )])
            })?;
            layers.merge(table, &Origin::File(path.to_owned()));
        }
        for (name, text) in environment {
            if let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                let path = rest.to_ascii_lowercase().replace("__", ".");
                layers.set(&path, &text, &Origin::Environment(name.clone()));
            }
        }
        for (path, value, flag) in flags {
            if let Some(text) = value {
                layers.set(path, text, &Origin::Flag((*flag).to_owned()));
            }
        }
        Ok(layers)
    }

    /// The merged table of one section.
    pub fn section(&self, name: &str) -> Option<Value> {
        self.merged.get(name).cloned()
    }

    /// A string value by dotted path.
    pub fn text(&self, path: &str) -> Option<String> {
        lookup(&self.merged, path)?.as_str().map(str::to_owned)
    }

    /// Where the value at a dotted path came from.
    pub fn origin(&self, path: &str) -> Origin {
        self.origins.get(path).cloned().unwrap_or(Origin::Default)
    }

    /// The defaults alone: the shape that every layer is held against.
    pub fn defaults(&self) -> &Table {
        &self.defaults
    }

    /// All merged values.
    pub fn merged(&self) -> &Table {
        &self.merged
    }

    /// Every value in force, secrets hidden.
    pub fn shown(&self) -> Vec<Shown> {
        let mut leaves = Vec::new();
        collect_leaves("", &self.merged, &mut leaves);
        leaves
            .into_iter()
            .map(|(path, value)| Shown {
                origin: self.origin(&path),
                value: hide_secret(&path, value).to_string(),
                json: serde_json::json!(hide_secret(&path, value)),
                path,
            })
            .collect()
    }

    fn merge(&mut self, table: Table, origin: &Origin) {
        let mut leaves = Vec::new();
        collect_leaves("", &table, &mut leaves);
        for (path, value) in leaves {
            self.put(&path, value.clone(), origin);
        }
    }

    /// Text from outside becomes the type that the default has; an unknown path is kept as text
    /// and reported later by its name.
    fn set(&mut self, path: &str, text: &str, origin: &Origin) {
        let is_text = lookup(&self.defaults, path).is_some_and(Value::is_str);
        let parsed = format!("v = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| table.remove("v"));
        let value = match parsed {
            Some(value) if !is_text => value,
            _ => Value::String(text.to_owned()),
        };
        self.put(path, value, origin);
    }

    fn put(&mut self, path: &str, value: Value, origin: &Origin) {
        let mut table = &mut self.merged;
        let mut parts: Vec<&str> = path.split('.').collect();
        let last = parts.pop().expect("split gives at least one part");
        for part in parts {
            let next = table
                .entry(part)
                .or_insert_with(|| Value::Table(Table::new()));
            if !next.is_table() {
                *next = Value::Table(Table::new());
            }
            table = next.as_table_mut().expect("made a table just above");
        }
        table.insert(last.to_owned(), value);
        self.origins.insert(path.to_owned(), origin.clone());
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

pub(super) fn lookup<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let first = table.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.as_table()?.get(part))
}

pub(super) fn collect_leaves<'a>(
    prefix: &str,
    table: &'a Table,
    leaves: &mut Vec<(String, &'a Value)>,
) {
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            // An empty table is a value: without it its section would lack the key.
            Value::Table(inner) if !inner.is_empty() => collect_leaves(&path, inner, leaves),
            _ => leaves.push((path, value)),
        }
    }
}

/// Passwords in values and in the user part of URLs never reach a screen.
fn hide_secret(path: &str, value: &Value) -> Value {
    let last = path.rsplit('.').next().unwrap_or(path);
    if matches!(last, "password" | "password_hash" | "token" | "secret") {
        return Value::String("***".to_owned());
    }
    if let Value::Array(items) = value {
        return Value::Array(items.iter().map(|item| hide_secret(path, item)).collect());
    }
    if let Value::Table(table) = value {
        let hide = |(key, value): (&String, &Value)| (key.clone(), hide_secret(key, value));
        return Value::Table(table.iter().map(hide).collect());
    }
    match value.as_str() {
        Some(text) => Value::String(without_password(text)),
        None => value.clone(),
    }
}
