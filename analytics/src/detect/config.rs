//! Settings of detection: one set of defaults, what a class says differently, and the rules.

mod class;
mod rule;
mod span;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

pub use class::{ClassSettings, FeatureKind, ModelKind};
pub use rule::RuleSettings;
pub use span::{BadSpan, Span};

use crate::alarms::AlarmPolicy;

/// The defaults of this crate with their reasons, a fragment of the service's `default.toml`.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

/// `[detect]`: everything that detection can be told.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct DetectConfig {
    /// Shortest time between two evaluations of one rule. **Units**: process clock.
    pub rule_floor: Span,
    /// What counts as chattering, first-out and flood.
    pub alarms: AlarmPolicy,
    /// What holds for a class that is not declared.
    pub defaults: ClassSettings,
    /// The declared classes, by their lower-case names, complete.
    pub classes: BTreeMap<String, ClassSettings>,
    /// The SQL rules by name; the name is the cause of their alarms.
    pub rules: BTreeMap<String, RuleSettings>,
}

/// As it stands in the file: a class says only what is different.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rule_floor: Span,
    #[serde(default)]
    alarms: AlarmPolicy,
    defaults: ClassSettings,
    #[serde(default)]
    classes: BTreeMap<String, Map<String, Value>>,
    #[serde(default)]
    rules: BTreeMap<String, RuleSettings>,
}

impl DetectConfig {
    /// The settings of a class, declared or not.
    pub fn class(&self, class: &str) -> &ClassSettings {
        self.classes.get(class).unwrap_or(&self.defaults)
    }

    /// Everything that is wrong, a sentence each; empty when nothing is.
    pub fn validate(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.rule_floor.micros() < 10_000 {
            found.push(format!(
                "rule_floor is {}, but must be at least 10ms",
                self.rule_floor
            ));
        }
        let alarms = self.alarms.mistakes();
        found.extend(alarms.into_iter().map(|m| format!("alarms: {m}")));
        found.extend(
            self.defaults
                .mistakes()
                .into_iter()
                .map(|m| format!("defaults: {m}")),
        );
        for (name, class) in &self.classes {
            if !is_class_name(name) {
                found.push(format!(
                    "classes.{name}: a class is written in lower case: a letter, then letters, \
                     digits, `_` or `-`, 63 at most"
                ));
            }
            // A mistake in the defaults is not repeated for every class that inherits it.
            let own = class.mistakes();
            let inherited = self.defaults.mistakes();
            let own = own
                .into_iter()
                .filter(|mistake| !inherited.contains(mistake));
            found.extend(own.map(|m| format!("classes.{name}: {m}")));
        }
        for (name, rule) in &self.rules {
            if !is_class_name(name) || name == super::DETECTOR {
                found.push(format!(
                    "rules.{name}: a rule is named in lower case: a letter, then letters, \
                     digits, `_` or `-`, 63 at most, and not `{}`",
                    super::DETECTOR
                ));
            }
            found.extend(
                rule.mistakes()
                    .into_iter()
                    .map(|m| format!("rules.{name}: {m}")),
            );
        }
        found
    }
}

impl TryFrom<Written> for DetectConfig {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let defaults = match serde_json::to_value(&written.defaults) {
            Ok(Value::Object(map)) => map,
            other => return Err(format!("the defaults of detection are no table: {other:?}")),
        };
        let mut classes = BTreeMap::new();
        let mut mistakes = Vec::new();
        for (name, own) in written.classes {
            let mut all = defaults.clone();
            all.extend(own);
            match serde_json::from_value(Value::Object(all)) {
                Ok(settings) => drop(classes.insert(name.to_lowercase(), settings)),
                Err(error) => mistakes.push(format!("classes.{name}: {error}")),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes.join("; "));
        }
        let Written {
            rule_floor,
            alarms,
            defaults,
            rules,
            ..
        } = written;
        Ok(Self {
            rule_floor,
            alarms,
            defaults,
            classes,
            rules,
        })
    }
}

fn is_class_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 63
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

#[cfg(test)]
pub(super) mod tests;
