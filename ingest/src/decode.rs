//! From an envelope to one row, or to the reason why not.
//!
//! All checks come before any change: a message is taken whole or refused whole.

mod binding;
mod topics;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use self::binding::Row;
use self::binding::{Binding, Scratch};
use self::topics::{Known, TopicCache};
use crate::catalog::{Catalog, Class};
use crate::codec::codec;
use crate::config::DecodeRules;
use crate::source::Envelope;
use crate::topic::{Mapping, Meaning, PatternError};
use crate::validate::{self, Rejection};

/// Decodes messages under one set of rules.
#[derive(Debug)]
pub(crate) struct Decoder {
    rules: DecodeRules,
    mapping: Mapping,
    topics: TopicCache,
    bindings: Vec<Binding>,
    binding_ids: HashMap<(usize, usize), u32>,
    scratch: Scratch,
}

/// A row that was accepted.
#[derive(Debug)]
pub(crate) struct Accepted<'a> {
    /// Number of the class in the catalog.
    pub class: usize,
    /// The asset's tag.
    pub asset: Arc<str>,
    /// Event time, microseconds since 1970.
    pub time: i64,
    /// Receipt, microseconds since 1970.
    pub received_at: i64,
    /// Where its time stands against the asset's newest.
    pub order: Order,
    /// Column and value of each metric.
    pub values: &'a [(u32, f64)],
}

/// What a topic means: seen before, or not.
#[derive(Debug)]
enum Target {
    Known(Known),
    New(Meaning),
}

/// A time against the newest one of its asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// After it.
    Newer,
    /// The same.
    Same,
    /// Before it.
    Older,
}

impl Decoder {
    /// **Errors**: a mapping rule's topic is not a pattern.
    pub(crate) fn new(rules: DecodeRules) -> Result<Self, PatternError> {
        Ok(Self {
            mapping: Mapping::compile(&rules.rules)?,
            topics: TopicCache::new(rules.topic_cache),
            bindings: Vec::new(),
            binding_ids: HashMap::new(),
            scratch: Scratch::default(),
            rules,
        })
    }

    pub(crate) fn rules(&self) -> &DecodeRules {
        &self.rules
    }

    /// Decodes one message and, when it is accepted, brings the catalog up to it.
    pub(crate) fn decode(
        &mut self,
        catalog: &mut Catalog,
        envelope: &Envelope,
    ) -> Result<Accepted<'_>, Rejection> {
        let target = self.target(envelope)?;
        let received_at = envelope.received_at.timestamp_micros();
        let time = self.read(catalog, &target, envelope, received_at)?;
        // From here on the message is accepted.
        let known = match target {
            Target::Known(known) => known,
            Target::New(meaning) => self.admit(catalog, &envelope.topic, &meaning),
        };
        self.scratch.settle(
            catalog.class_mut(known.class as usize),
            &mut self.bindings[known.binding as usize],
            &self.rules.rules[known.rule as usize],
        );
        let asset = catalog
            .class_mut(known.class as usize)
            .asset_mut(known.asset);
        let order = match time.cmp(&asset.newest) {
            std::cmp::Ordering::Greater => Order::Newer,
            std::cmp::Ordering::Equal => Order::Same,
            std::cmp::Ordering::Less => Order::Older,
        };
        asset.newest = asset.newest.max(time);
        Ok(Accepted {
            class: known.class as usize,
            asset: asset.tag.clone(),
            time,
            received_at,
            order,
            values: self.scratch.values(),
        })
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
            Some(known) => Ok(Target::Known(known)),
            None => self.mapping.resolve(&envelope.topic).map(Target::New),
        };
        match (too_large, target) {
            (None, target) => target,
            (Some(size), Err(refusal)) if refusal.rank() < size.rank() => Err(refusal),
            (Some(size), _) => Err(size),
        }
    }

    /// Reads the payload into the scratch row and checks all that needs no new thing.
    fn read(
        &mut self,
        catalog: &Catalog,
        target: &Target,
        envelope: &Envelope,
        received_at: i64,
    ) -> Result<i64, Rejection> {
        let (rule, class, binding) = match target {
            Target::Known(known) => (
                known.rule as usize,
                Some(known.class as usize),
                Some(known.binding),
            ),
            Target::New(meaning) => {
                let class = catalog.class_id(&meaning.class);
                let key = class.map(|class| (meaning.rule, class));
                let binding = key.and_then(|key| self.binding_ids.get(&key).copied());
                (meaning.rule, class, binding)
            }
        };
        let binding = binding.map(|id| &mut self.bindings[id as usize]);
        let rule = &self.rules.rules[rule];
        let mut row = Row::begin(
            &mut self.scratch,
            binding,
            rule,
            self.rules.max_metrics_per_message,
        );
        let time = codec(rule.codec).decode(&envelope.payload, &mut row)?;
        row.end()?;
        let class = class.map(|id| catalog.class(id));
        self.scratch.resolve(class)?;
        validate::event_time(time, received_at, self.rules.lead_seconds)?;
        self.room(catalog, target, class)?;
        Ok(time)
    }

    /// Whether the new things that the message brings have room.
    fn room(
        &self,
        catalog: &Catalog,
        target: &Target,
        class: Option<&Class>,
    ) -> Result<(), Rejection> {
        let new_asset = match target {
            Target::Known(_) => None,
            Target::New(meaning) => {
                let known = class.and_then(|class| class.asset_id(&meaning.asset));
                known.is_none().then_some(meaning)
            }
        };
        if let Some(meaning) = new_asset {
            self.only_class(catalog, meaning)?;
        }
        if class.is_none() && catalog.tables() >= self.rules.max_tables {
            return Err(Rejection::TooManyTables {
                most: self.rules.max_tables,
            });
        }
        if new_asset.is_some() && catalog.assets() >= self.rules.max_assets {
            return Err(Rejection::TooManyAssets {
                most: self.rules.max_assets,
            });
        }
        let (grown, most) = (self.scratch.new_columns(), self.rules.max_metrics_per_table);
        if grown > 0 && class.map_or(0, Class::metrics) + grown > most {
            return Err(Rejection::TooManyColumns { most });
        }
        Ok(())
    }

    /// Whether a tag that its class does not know yet is unknown to every other class, too.
    ///
    /// Asked only where a tag would be new: data of a version that stored one tag under two
    /// classes goes on as it is, and a replay gives the same answers as the live write.
    fn only_class(&self, catalog: &Catalog, meaning: &Meaning) -> Result<(), Rejection> {
        match catalog.class_of_asset(&meaning.asset) {
            Some(known) if self.rules.one_class_per_asset => Err(Rejection::AssetOfAnotherClass {
                asset: meaning.asset.clone(),
                class: meaning.class.clone(),
                known: catalog.class(known).name.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Takes up the class, the asset and the topic of a message that is accepted.
    fn admit(&mut self, catalog: &mut Catalog, topic: &[u8], meaning: &Meaning) -> Known {
        let class = match catalog.class_id(&meaning.class) {
            Some(class) => class,
            None => catalog.add_class(&meaning.class),
        };
        let asset = match catalog.class(class).asset_id(&meaning.asset) {
            Some(asset) => asset,
            None => catalog.add_asset(class, &meaning.asset),
        };
        let next = self.bindings.len() as u32;
        let binding = *self
            .binding_ids
            .entry((meaning.rule, class))
            .or_insert(next);
        if binding == next {
            self.bindings.push(Binding::default());
        }
        let known = Known {
            rule: meaning.rule as u32,
            class: class as u32,
            asset,
            binding,
        };
        self.topics.insert(topic, known);
        known
    }
}
