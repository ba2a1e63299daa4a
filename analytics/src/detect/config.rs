//! Settings of detection: one set of defaults, what a class says differently, and the rules.

mod rule;

use std::collections::{BTreeMap, BTreeSet};

use fieldwright_condition::{ClassSettings, Kinds, Span};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use rule::RuleSettings;

use crate::alarms::AlarmPolicy;

/// The defaults of this crate with their reasons, a fragment of the service's `default.toml`. How
/// assets are watched stands in another one, [`fieldwright_condition::DEFAULT_TOML`].
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
    /// The kinds that a class may name, complete.
    pub kinds: BTreeMap<String, ClassSettings>,
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
    defaults: Map<String, Value>,
    #[serde(default)]
    kinds: BTreeMap<String, Map<String, Value>>,
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

    /// Whether the alarms of a class that have this cause come from a detector, whose limit can be
    /// multiplied. Thresholds and SQL rules are what somebody wrote: people change them by hand.
    pub fn is_detector(&self, class: &str, cause: &str) -> bool {
        self.class(class).detectors.contains_key(cause)
    }

    /// Multiplies the limit of a class's detector; `false` when there is none of that name.
    pub(super) fn set_limit_factor(&mut self, class: &str, cause: &str, factor: f64) -> bool {
        if !self.is_detector(class, cause) {
            return false;
        }
        let own = self.classes.entry(class.to_owned());
        let own = own.or_insert_with(|| self.defaults.clone());
        if let Some(watching) = own.detectors.get_mut(cause) {
            watching.promoted = factor;
        }
        true
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
        // A mistake in the defaults is not repeated for every class that inherits it.
        let inherited = self.defaults.mistakes();
        let mut check = |what: String, settings: &ClassSettings, inherited: &[String]| {
            let own = settings.mistakes().into_iter();
            let own = own.filter(|mistake| !inherited.contains(mistake));
            found.extend(own.map(|mistake| format!("{what}: {mistake}")));
        };
        for (name, kind) in &self.kinds {
            check(format!("kinds.{name}"), kind, &inherited);
        }
        for (name, class) in &self.classes {
            check(format!("classes.{name}"), class, &inherited);
        }
        for name in self.classes.keys().filter(|name| !is_class_name(name)) {
            found.push(format!(
                "classes.{name}: a class is written in lower case: a letter, then letters, \
                 digits, `_` or `-`, 63 at most"
            ));
        }
        let all = self.classes.values().chain([&self.defaults]);
        let detectors: BTreeSet<&str> = all
            .flat_map(|class| class.detectors.keys().chain(class.thresholds.keys()))
            .map(String::as_str)
            .collect();
        for name in detectors.iter().filter(|name| !is_class_name(name)) {
            found.push(format!(
                "detectors.{name}: a detector or a threshold is named in lower case: a letter, \
                 then letters, digits, `_` or `-`, 63 at most"
            ));
        }
        for (name, rule) in &self.rules {
            if !is_class_name(name) || detectors.contains(name.as_str()) {
                found.push(format!(
                    "rules.{name}: a rule is named in lower case: a letter, then letters, \
                     digits, `_` or `-`, 63 at most, and not as a detector"
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
        let Written {
            rule_floor,
            alarms,
            defaults,
            kinds,
            classes,
            rules,
        } = written;
        let known = Kinds::new(defaults, kinds);
        let mut mistakes = Vec::new();
        let mut note = |what: String, error: String| {
            mistakes.push(format!("{what}: {error}"));
        };
        let defaults = known.complete(Map::new());
        let defaults = defaults.map_err(|error| format!("defaults: {error}"))?;
        let mut complete = BTreeMap::new();
        for name in known.names() {
            match known.kind(name) {
                Ok(settings) => drop(complete.insert(name.to_owned(), settings)),
                Err(error) => note(format!("kinds.{name}"), error),
            }
        }
        let kinds = std::mem::take(&mut complete);
        for (name, own) in classes {
            match known.complete(own) {
                Ok(settings) => drop(complete.insert(name.to_lowercase(), settings)),
                Err(error) => note(format!("classes.{name}"), error),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes.join("; "));
        }
        Ok(Self {
            rule_floor,
            alarms,
            defaults,
            kinds,
            classes: complete,
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
