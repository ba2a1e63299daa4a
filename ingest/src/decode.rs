//! From an envelope to its rows, or to the reason why not.
//!
//! All checks come before any change: a message is taken whole or refused whole.

mod binding;
mod draft;
mod rows;
mod series;
mod sink;
mod topics;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use self::binding::Bindings;
use self::draft::{Draft, NEW};
pub(crate) use self::rows::{Accepted, AcceptedRow, Order};
use self::series::{Known, SeriesCache};
use self::sink::{OpenRow, RuleParts, TopicSays};
pub(crate) use self::sink::{Quality, Series, Sink, Value};
use self::topics::{KnownTopic, Names, Says, TopicCache};
use crate::catalog::Catalog;
use crate::codec::sparkplug::rebirth::NodeId;
use crate::codec::sparkplug::sessions::Sessions;
use crate::codec::sparkplug::{SharedSparkplug, Sparkplug};
use crate::codec::{Codec, Message, codec};
use crate::config::{CodecName, DecodeRules, MappingRule, TimeUnit};
use crate::rows::TagSet;
use crate::source::Envelope;
use crate::topic::{Mapping, PatternError};
use crate::validate::Rejection;

/// Series that one rule remembers, for each topic that may be remembered.
const SERIES_PER_TOPIC: usize = 2;

/// Decodes messages under one set of rules.
#[derive(Debug)]
pub(crate) struct Decoder {
    rules: DecodeRules,
    mapping: Mapping,
    topics: TopicCache,
    of_rules: Vec<OfRule>,
    bindings: Bindings,
    draft: Draft,
    /// Stored metrics whose unit is to be set with the next accepted message.
    units: Vec<(u32, String)>,
    /// Units that the message says: class, stored metric, unit.
    said_units: Vec<(u32, String, String)>,
    sparkplug: SharedSparkplug,
    /// The series that the last accepted message brought, by their place in the draft.
    settled: Vec<Known>,
    /// The rule that they belong to.
    settled_rule: u32,
}

/// What is kept for one rule.
#[derive(Debug)]
struct OfRule {
    codec: Box<dyn Codec>,
    parts: RuleParts,
    series: SeriesCache,
}

/// What a topic means: seen before, or not.
#[derive(Debug)]
struct Target {
    rule: u32,
    unit: Option<TimeUnit>,
    says: TopicSays,
    is_new: bool,
}

impl Decoder {
    /// **Errors**: a mapping rule's topic is not a pattern.
    pub(crate) fn new(rules: DecodeRules) -> Result<Self, PatternError> {
        let most_series = rules.topic_cache.saturating_mul(SERIES_PER_TOPIC);
        let sparkplug = Arc::new(Mutex::new(Sparkplug::of(&rules)));
        let of_rules = rules.rules.iter().map(|rule| OfRule {
            codec: match rules.sparkplug_classes {
                true => codec(rule, &sparkplug),
                false => codec(&without_classes(rule), &sparkplug),
            },
            parts: RuleParts::of(rule),
            series: SeriesCache::new(most_series),
        });
        Ok(Self {
            mapping: Mapping::compile(&rules.rules)?,
            topics: TopicCache::new(rules.topic_cache),
            of_rules: of_rules.collect(),
            bindings: Bindings::default(),
            draft: Draft::default(),
            units: Vec::new(),
            said_units: Vec::new(),
            sparkplug,
            settled: Vec::new(),
            settled_rule: 0,
            rules,
        })
    }

    pub(crate) fn rules(&self) -> &DecodeRules {
        &self.rules
    }

    /// The Sparkplug sessions after the last message.
    pub(crate) fn sessions(&self) -> Sessions {
        self.sparkplug().sessions().clone()
    }

    /// Goes on from sessions that were kept.
    pub(crate) fn restore(&mut self, sessions: Sessions) {
        self.sparkplug().restore(sessions);
    }

    /// The Sparkplug nodes to ask for a rebirth since the last call.
    pub(crate) fn take_rebirths(&mut self) -> BTreeSet<NodeId> {
        self.sparkplug().take_rebirths()
    }

    /// Whether what a message means hangs on those before it.
    pub(crate) fn needs_session(&self, topic: &[u8]) -> bool {
        let meaning = self.mapping.resolve(topic);
        meaning.is_ok_and(|meaning| meaning.codec == CodecName::SparkplugB)
    }

    fn sparkplug(&self) -> MutexGuard<'_, Sparkplug> {
        self.sparkplug.lock().expect("no holder panics")
    }

    /// Decodes one message and, when it is accepted, brings the catalog up to it.
    pub(crate) fn decode(
        &mut self,
        catalog: &mut Catalog,
        envelope: &Envelope,
    ) -> Result<Accepted<'_>, Rejection> {
        self.remember_series();
        let target = self.target(envelope)?;
        let received_at = envelope.received_at.timestamp_micros();
        self.read(catalog, &target, envelope, received_at)?;
        // From here on the message is accepted.
        let topic = self.settle(catalog, &target);
        if target.is_new {
            let known = KnownTopic {
                rule: target.rule,
                unit: target.unit,
                says: topic,
            };
            self.topics.insert(&envelope.topic, known);
        }
        let parts = rows::Parts {
            topic: match &target.says {
                TopicSays::Known {
                    class,
                    asset,
                    binding,
                } => Some((*class, *asset, *binding)),
                TopicSays::Names(_) => None,
            },
            cache: &self.of_rules[target.rule as usize].series,
            settled: &self.settled,
            received_at,
        };
        Ok(rows::classify(catalog, &mut self.draft, parts))
    }

    fn target(&mut self, envelope: &Envelope) -> Result<Target, Rejection> {
        let (bytes, most) = (
            envelope.payload.size() as usize,
            self.rules.max_payload_bytes,
        );
        // What a source has cut cannot be read, whatever its size was.
        let too_large = (bytes > most || envelope.payload.is_cut())
            .then_some(Rejection::PayloadTooLarge { bytes, most });
        let target = match self.topics.get(&envelope.topic) {
            Some(known) => Ok(known.into()),
            None => self.mapping.resolve(&envelope.topic).map(Target::from),
        };
        match (too_large, target) {
            (None, target) => target,
            (Some(size), Err(refusal)) if refusal.rank() < size.rank() => Err(refusal),
            (Some(size), _) => Err(size),
        }
    }

    /// Reads the payload into the draft and checks everything.
    fn read(
        &mut self,
        catalog: &Catalog,
        target: &Target,
        envelope: &Envelope,
        received_at: i64,
    ) -> Result<(), Rejection> {
        self.draft.begin();
        // A class of a message that was refused is none.
        self.units.retain(|(class, _)| class & NEW == 0);
        self.said_units.clear();
        let of_rule = &mut self.of_rules[target.rule as usize];
        let rule = &self.rules.rules[target.rule as usize];
        let mut sink = Sink {
            draft: &mut self.draft,
            catalog,
            bindings: &mut self.bindings,
            cache: &mut of_rule.series,
            rule,
            parts: &of_rule.parts,
            number: target.rule,
            limits: &self.rules,
            units: &mut self.units,
            topic: target.says.clone(),
            received_at,
            row: OpenRow::default(),
            samples: 0,
            gravest: None,
            said_units: &mut self.said_units,
            silent: false,
        };
        let message = Message {
            topic: &envelope.topic,
            payload: &envelope.payload,
            unit: target.unit,
        };
        match of_rule.codec.decode(&message, &mut sink) {
            Err(refusal) => sink.refuse(refusal),
            Ok(()) if sink.samples == 0 && !sink.silent => sink.refuse(Rejection::NoMetrics),
            Ok(()) => {}
        }
        if let Some(gravest) = sink.gravest {
            return Err(gravest);
        }
        let rules = &self.rules;
        let (tables, assets) = (rules.max_tables, rules.max_assets);
        self.draft
            .room(catalog, tables, assets, rules.max_metrics_per_table)
    }

    /// Takes up the new classes, assets, columns and series of an accepted message; says what its
    /// topic means from now on.
    fn settle(&mut self, catalog: &mut Catalog, target: &Target) -> Says {
        let classes: Vec<u32> = self
            .draft
            .classes
            .iter()
            .map(|name| catalog.add_class(name) as u32)
            .collect();
        let class_of = |class: u32| match class & NEW {
            0 => class,
            _ => classes[(class & !NEW) as usize],
        };
        let columns: Vec<u32> = self
            .draft
            .columns
            .iter()
            .map(|new| catalog.add_published(class_of(new.class) as usize, &new.stored, new.slot))
            .collect();
        let column_of = |column: u32| match column & NEW {
            0 => column,
            _ => columns[(column & !NEW) as usize],
        };
        if !columns.is_empty() {
            let numbers = self.draft.numbers.iter_mut().map(|(column, _)| column);
            let texts = self.draft.texts.iter_mut().map(|(column, _)| column);
            numbers
                .chain(texts)
                .for_each(|column| *column = column_of(*column));
        }
        for (class, stored) in self.units.drain(..) {
            let class = catalog.class_mut(class_of(class) as usize);
            let unit = self.rules.rules[target.rule as usize].units.get(&stored);
            if let (Some(metric), Some(unit)) = (class.metric(&stored), unit) {
                class.set_unit(metric, unit.stored());
            }
        }
        for (class, stored, unit) in self.said_units.drain(..) {
            let class = catalog.class_mut(class_of(class) as usize);
            if let Some(metric) = class.metric(&stored) {
                class.set_unit(metric, &unit);
            }
        }
        self.settled_rule = target.rule;
        for new in &self.draft.series {
            let class = class_of(new.class);
            let id = class as usize;
            let asset = match catalog.class(id).asset_id(&new.asset) {
                Some(asset) => asset,
                None => catalog.add_asset(id, &new.asset),
            };
            let tags = new.tags.iter();
            let tags = tags.map(|(column, text)| (column_of(*column), Arc::from(text.as_str())));
            let tags: Vec<(u32, Arc<str>)> = tags.collect();
            self.settled.push(Known {
                class,
                asset,
                binding: self.bindings.id(target.rule, class),
                tags: (!tags.is_empty()).then(|| Arc::new(TagSet::new(tags))),
            });
        }
        self.says(target)
    }

    fn says(&self, target: &Target) -> Says {
        match &target.says {
            TopicSays::Known {
                class,
                asset,
                binding,
            } => Says::Series {
                class: *class,
                asset: *asset,
                binding: *binding,
            },
            TopicSays::Names(names) => {
                let mut series = self.draft.series.iter().zip(&self.settled);
                match series.find(|(new, _)| new.key.is_none()) {
                    Some((_, known)) => Says::Series {
                        class: known.class,
                        asset: known.asset,
                        binding: known.binding,
                    },
                    None => Says::Names(names.clone()),
                }
            }
        }
    }

    /// The rows of the message that brought them are out, so the cache may begin anew.
    fn remember_series(&mut self) {
        if self.settled.is_empty() {
            return;
        }
        let cache = &mut self.of_rules[self.settled_rule as usize].series;
        for (new, known) in self.draft.series.iter().zip(self.settled.drain(..)) {
            if let Some(key) = &new.key {
                cache.insert(key, known);
            }
        }
    }
}

impl From<KnownTopic> for Target {
    fn from(known: KnownTopic) -> Self {
        Self {
            rule: known.rule,
            unit: known.unit,
            says: match known.says {
                Says::Series {
                    class,
                    asset,
                    binding,
                } => TopicSays::Known {
                    class,
                    asset,
                    binding,
                },
                Says::Names(names) => TopicSays::Names(names),
            },
            is_new: false,
        }
    }
}

/// A rule as versions read it in which its class stood above `sparkplug.classes`.
fn without_classes(rule: &MappingRule) -> MappingRule {
    let mut rule = rule.clone();
    if rule.class.is_some()
        && let Some(names) = &mut rule.sparkplug
    {
        names.classes.clear();
    }
    rule
}

impl From<crate::topic::Meaning> for Target {
    fn from(meaning: crate::topic::Meaning) -> Self {
        Self {
            rule: meaning.rule as u32,
            unit: meaning.unit,
            says: TopicSays::Names(Arc::new(Names {
                class: meaning.class,
                asset: meaning.asset,
            })),
            is_new: true,
        }
    }
}
