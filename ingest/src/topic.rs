//! Topics: the pattern of a mapping rule, and what one topic means under all of them.

use thiserror::Error;

use crate::config::{CodecName, MappingRule, TimeUnit};
use crate::validate::{self, Rejection};

/// A mapping rule's topic, ready to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    levels: Vec<Level>,
    open: bool,
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// `#` elsewhere than at the end.
    #[error("`#` may only be the last level")]
    HashInside,
    /// A wildcard or a brace mixed with text.
    #[error("the level \"{0}\" mixes text with a wildcard; a level is one or the other")]
    MixedLevel(String),
    /// Neither `{class}` nor `{asset}` nor `{precision}`.
    #[error("the level \"{0}\" is unknown; use {{class}}, {{asset}} or {{precision}}")]
    UnknownName(String),
}

/// All rules, compiled.
#[derive(Debug, Clone)]
pub struct Mapping {
    rules: Vec<Compiled>,
}

/// What a topic means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// Number of the rule, from 0.
    pub rule: usize,
    /// The class, lower case; none where the payload says it.
    pub class: Option<String>,
    /// The asset's tag; none where the payload says it.
    pub asset: Option<String>,
    /// What the times of the payload count, where the topic says it.
    pub unit: Option<TimeUnit>,
    /// How the payload is written.
    pub codec: CodecName,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Text(String),
    Any,
    Class,
    Asset,
    Precision,
}

/// What a topic says in the levels of a pattern.
#[derive(Debug, Default)]
struct Found<'t> {
    class: Option<&'t str>,
    asset: Option<&'t str>,
    unit: Option<TimeUnit>,
}

#[derive(Debug, Clone)]
struct Compiled {
    pattern: Pattern,
    class: Option<String>,
    asset: Option<String>,
    codec: CodecName,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// **Errors**: see [`PatternError`].
    pub fn compile(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let mut levels = Vec::new();
        let mut open = false;
        for level in text.split('/') {
            if open {
                return Err(PatternError::HashInside);
            }
            match level {
                "+" => levels.push(Level::Any),
                "#" => open = true,
                "{class}" => levels.push(Level::Class),
                "{asset}" => levels.push(Level::Asset),
                "{precision}" => levels.push(Level::Precision),
                _ if level.starts_with('{') && level.ends_with('}') => {
                    return Err(PatternError::UnknownName(level.to_owned()));
                }
                _ if level.contains(['+', '#', '{', '}']) => {
                    return Err(PatternError::MixedLevel(level.to_owned()));
                }
                _ => levels.push(Level::Text(level.to_owned())),
            }
        }
        Ok(Self { levels, open })
    }

    /// How often `{class}` stands in it.
    pub fn classes(&self) -> usize {
        self.levels
            .iter()
            .filter(|level| **level == Level::Class)
            .count()
    }

    /// How often `{asset}` stands in it.
    pub fn assets(&self) -> usize {
        self.levels
            .iter()
            .filter(|level| **level == Level::Asset)
            .count()
    }

    /// What a topic that matches says.
    fn matches<'t>(&self, topic: &'t str) -> Option<Found<'t>> {
        let mut found = Found::default();
        let mut parts = topic.split('/');
        for level in &self.levels {
            let part = parts.next()?;
            match level {
                Level::Text(text) if text != part => return None,
                Level::Text(_) | Level::Any => {}
                Level::Class => found.class = Some(part),
                Level::Asset => found.asset = Some(part),
                Level::Precision => found.unit = Some(TimeUnit::named(part)?),
            }
        }
        (self.open || parts.next().is_none()).then_some(found)
    }
}

impl Mapping {
    /// Compiles rules that [`crate::IngestConfig::validate`] found right.
    ///
    /// **Errors**: a topic that is not a pattern.
    pub fn compile(rules: &[MappingRule]) -> Result<Self, PatternError> {
        let rules = rules
            .iter()
            .map(|rule| {
                Ok(Compiled {
                    pattern: Pattern::compile(&rule.topic)?,
                    // The codec knows classes that stand above the rule's: sparkplug.classes.
                    class: rule
                        .class
                        .clone()
                        .filter(|_| rule.codec != CodecName::SparkplugB),
                    asset: rule.asset.clone(),
                    codec: rule.codec,
                })
            })
            .collect::<Result<_, PatternError>>()?;
        Ok(Self { rules })
    }

    /// What a topic means under the first rule that matches it.
    ///
    /// **Errors**: no rule matches, or the class or asset in it is no legal name.
    pub fn resolve(&self, topic: &[u8]) -> Result<Meaning, Rejection> {
        let topic = std::str::from_utf8(topic).map_err(|_| Rejection::UnknownTopic)?;
        for (rule, compiled) in self.rules.iter().enumerate() {
            let Some(found) = compiled.pattern.matches(topic) else {
                continue;
            };
            let class = found.class.or(compiled.class.as_deref());
            let asset = found.asset.or(compiled.asset.as_deref());
            let tag = |tag| validate::asset_tag(tag).map(str::to_owned);
            return Ok(Meaning {
                rule,
                class: class.map(validate::class_name).transpose()?,
                asset: asset.map(tag).transpose()?,
                unit: found.unit,
                codec: compiled.codec,
            });
        }
        Err(Rejection::UnknownTopic)
    }
}

/// The MQTT filter that covers a pattern.
pub(crate) fn filter_of(pattern: &str) -> String {
    let levels: Vec<&str> = pattern
        .split('/')
        .map(|level| if level.starts_with('{') { "+" } else { level })
        .collect();
    levels.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, topic: &str, expected: Option<(&str, &str)>) {
        let rule = MappingRule {
            topic: pattern.to_owned(),
            class: (!pattern.contains("{class}")).then(|| "fixed".to_owned()),
            asset: (!pattern.contains("{asset}")).then(|| "one".to_owned()),
            ..MappingRule::default()
        };
        let found = Mapping::compile(&[rule]).unwrap().resolve(topic.as_bytes());
        let found = found.ok().map(|meaning| (meaning.class, meaning.asset));
        let expected =
            expected.map(|(class, asset)| (Some(class.to_owned()), Some(asset.to_owned())));
        assert_eq!(found, expected, "{pattern} on {topic}");
    }

    #[test]
    fn patterns() {
        check(
            "fieldwright/{class}/{asset}",
            "fieldwright/Pump/P-1",
            Some(("pump", "P-1")),
        );
        check("fieldwright/{class}/{asset}", "fieldwright/pump", None);
        check("fieldwright/{class}/{asset}", "fieldwright/pump/p/1", None);
        check("fieldwright/{class}/{asset}", "other/pump/p", None);
        check("fieldwright/{class}/{asset}", "fieldwright/pump/", None);
        check("fieldwright/{class}/{asset}", "fieldwright/9pump/p", None);
        check(
            "fieldwright/{class}/{asset}",
            "fieldwright/invoices/p",
            None,
        );
        check(
            "site/+/{asset}/#",
            "site/berlin/p1/a/b",
            Some(("fixed", "p1")),
        );
        check("site/+/{asset}/#", "site/berlin/p1", Some(("fixed", "p1")));
        check("site/+/{asset}/#", "site/berlin", None);
        check("line", "line", Some(("fixed", "one")));
        check("{asset}/{class}", "p1/fan", Some(("fan", "p1")));
    }

    #[test]
    fn mistakes() {
        let cases = [
            ("", PatternError::Empty),
            ("a/#/b", PatternError::HashInside),
            ("a/b+", PatternError::MixedLevel("b+".into())),
            ("a/x{asset}", PatternError::MixedLevel("x{asset}".into())),
            ("a/{site}", PatternError::UnknownName("{site}".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(Pattern::compile(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn filters() {
        assert_eq!(filter_of("a/{class}/+/{asset}/#"), "a/+/+/+/#");
    }
}
