//! What a rule remembers, in the store: its delays go on after a restart.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Named;
use crate::alarms::{
    AlarmBook, AlarmFilter, AlarmStoreError, RuleMemory, RuleWrite, SuppressedFilter,
};
use crate::detect::config::RuleSettings;

/// Name space of definitions; any fixed value would do.
const DEFINITION: Uuid = Uuid::from_u128(0x91c7_0d52_6ab3_4f18_9e04_57d1_3c8a_b26f);

/// A rule's memory as the store has it.
#[derive(Debug)]
pub(super) struct Kept {
    rule: String,
    definition: String,
    known: BTreeMap<String, Named>,
}

impl Kept {
    /// Of a rule that asks this; nothing is read yet.
    pub(super) fn of(rule: &str, settings: &RuleSettings) -> Self {
        let asked = format!("{}\n{}", settings.class, settings.sql.trim());
        let definition = Uuid::new_v5(&DEFINITION, asked.as_bytes());
        Self {
            rule: rule.to_owned(),
            definition: definition.simple().to_string(),
            known: BTreeMap::new(),
        }
    }

    /// Reads it. What is up or suppressed is active whatever was remembered: that was saved first.
    pub(super) async fn recall(
        &mut self,
        alarms: &AlarmBook,
    ) -> Result<BTreeMap<String, Named>, AlarmStoreError> {
        let saved = alarms.store().rule_memory(&self.rule, &self.definition);
        self.known = saved.await?.into_iter().map(named).collect();
        let mut memory = self.known.clone();
        let mut up = |asset: String, since| {
            let named = memory.entry(asset).or_insert(Named {
                since,
                active: true,
                back_since: None,
            });
            named.active = true;
        };
        let mut filter = AlarmFilter {
            cause: Some(self.rule.clone()),
            open: Some(true),
            active: Some(true),
            limit: usize::MAX,
            ..AlarmFilter::default()
        };
        loop {
            let page = alarms.list(&filter).await?;
            let Some(last) = page.last() else { break };
            filter.before = Some(last.id.clone());
            for alarm in page {
                up(alarm.asset, alarm.began_at);
            }
        }
        let mut filter = SuppressedFilter {
            cause: Some(self.rule.clone()),
            standing: Some(true),
            limit: usize::MAX,
            ..SuppressedFilter::default()
        };
        loop {
            let page = alarms.suppressed(&filter).await?;
            let Some(last) = page.last() else { break };
            filter.before = Some(last.id.clone());
            for one in page {
                up(one.occurrence.asset, one.occurrence.began_at);
            }
        }
        Ok(memory)
    }

    /// Saves what is different.
    pub(super) async fn save(
        &mut self,
        alarms: &AlarmBook,
        memory: &BTreeMap<String, Named>,
    ) -> Result<(), AlarmStoreError> {
        if self.known == *memory {
            return Ok(());
        }
        let put = memory
            .iter()
            .filter(|(asset, named)| self.known.get(*asset) != Some(named));
        let gone = self
            .known
            .keys()
            .filter(|asset| !memory.contains_key(*asset));
        let write = RuleWrite {
            rule: self.rule.clone(),
            definition: self.definition.clone(),
            put: put.map(|(asset, named)| row(asset, named)).collect(),
            gone: gone.cloned().collect(),
        };
        alarms.store().save_rule_memory(&write).await?;
        self.known.clone_from(memory);
        Ok(())
    }
}

fn named(row: RuleMemory) -> (String, Named) {
    let named = Named {
        since: row.since,
        active: row.active,
        back_since: row.back_since,
    };
    (row.asset, named)
}

fn row(asset: &str, named: &Named) -> RuleMemory {
    RuleMemory {
        asset: asset.to_owned(),
        since: named.since,
        active: named.active,
        back_since: named.back_since,
    }
}
