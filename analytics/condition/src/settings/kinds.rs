//! Kinds of assets: defaults that classes are laid over.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{ClassSettings, DEFAULT_TOML};

/// The kinds of assets: what holds for a class that says `kind = …`, and for the data sets of the
/// benches. A kind is the defaults with its own values over them.
#[derive(Debug, Clone, PartialEq)]
pub struct Kinds {
    defaults: Map<String, Value>,
    kinds: BTreeMap<String, Map<String, Value>>,
}

impl Kinds {
    /// Kinds over defaults, as they stand in the configuration.
    pub fn new(defaults: Map<String, Value>, kinds: BTreeMap<String, Map<String, Value>>) -> Self {
        Self { defaults, kinds }
    }

    /// Those that are compiled in.
    pub fn shipped() -> Self {
        Self::read(DEFAULT_TOML).expect("the shipped defaults are TOML")
    }

    /// Those of a text like the one that is compiled in.
    ///
    /// **Errors** with a sentence when it is no TOML.
    pub fn read(text: &str) -> Result<Self, String> {
        let text: Result<Value, _> = toml::from_str(text);
        let mut detect = text.map_err(|error| error.to_string())?["detect"].take();
        let table = |value: Value| match value {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let defaults = table(detect["defaults"].take());
        let kinds = table(detect["kinds"].take());
        let kinds = kinds.into_iter().map(|(name, own)| (name, table(own)));
        Ok(Self::new(defaults, kinds.collect()))
    }

    /// The names of the kinds.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// The settings of a kind.
    ///
    /// **Errors** with a sentence when there is no such kind or it has a mistake.
    pub fn kind(&self, name: &str) -> Result<ClassSettings, String> {
        let mut own = Map::new();
        own.insert("kind".to_owned(), name.into());
        self.complete(own)
    }

    /// The settings of a class that says only what is different from its kind, or from the
    /// defaults when it names none.
    ///
    /// Tables are laid over tables; a kind that names detectors has those and no others.
    ///
    /// **Errors** with a sentence when something is wrong.
    pub fn complete(&self, mut own: Map<String, Value>) -> Result<ClassSettings, String> {
        let mut all = self.defaults.clone();
        match own.remove("kind") {
            None => {}
            Some(Value::String(kind)) => {
                let known = self.kinds.get(&kind);
                let known = known.ok_or_else(|| format!("there is no kind `{kind}`"))?;
                if known.contains_key("detectors") {
                    all.remove("detectors");
                }
                lay_over(&mut all, known.clone());
            }
            Some(_) => return Err("kind must be the name of a kind".to_owned()),
        }
        lay_over(&mut all, own);
        serde_json::from_value(Value::Object(all)).map_err(|error| error.to_string())
    }
}

fn lay_over(all: &mut Map<String, Value>, own: Map<String, Value>) {
    for (key, value) in own {
        match (all.get_mut(&key), value) {
            (Some(Value::Object(known)), Value::Object(own)) => lay_over(known, own),
            (_, value) => drop(all.insert(key, value)),
        }
    }
}
