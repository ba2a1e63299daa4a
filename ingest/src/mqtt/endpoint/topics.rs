//! What one connection may do with a topic: asked of every message, so the answers are remembered.

use std::collections::HashMap;
use std::sync::Arc;

use super::EndpointLimits;
use super::access::Rights;
use crate::mqtt::topic::{self, TopicError};
use crate::topic::Mapping;
use crate::validate::Rejection;

/// **Units** bytes of topics that one connection remembers.
const REMEMBERED_BYTES: usize = 32 * 1024;

/// What is to be done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A mapping rule matches: it becomes readings, or goes to the quarantine.
    Mapped,
    /// It goes to subscribers only.
    Unmapped,
    /// The client must not publish it.
    Denied,
}

/// The topics of one connection.
#[derive(Debug)]
pub(super) struct Topics {
    last: Vec<u8>,
    last_verdict: Verdict,
    known: HashMap<Box<[u8]>, Verdict>,
    known_bytes: usize,
    mapping: Option<Arc<Mapping>>,
    rights: Arc<Rights>,
    limits: Arc<EndpointLimits>,
}

impl Topics {
    /// Without a mapping every message becomes a reading.
    pub(super) fn new(
        mapping: Option<Arc<Mapping>>,
        rights: Arc<Rights>,
        limits: Arc<EndpointLimits>,
    ) -> Self {
        Self {
            last: Vec::new(),
            last_verdict: Verdict::Denied,
            known: HashMap::new(),
            known_bytes: 0,
            mapping,
            rights,
            limits,
        }
    }

    /// Checks a topic name and says what it may be used for.
    #[inline]
    pub(super) fn judge(&mut self, name: &[u8]) -> Result<Verdict, TopicError> {
        // A name that was checked is never empty.
        if name == self.last && !name.is_empty() {
            return Ok(self.last_verdict);
        }
        let verdict = match self.known.get(name) {
            Some(known) => *known,
            None => self.learn(name)?,
        };
        self.last.clear();
        self.last.extend_from_slice(name);
        self.last_verdict = verdict;
        Ok(verdict)
    }

    fn learn(&mut self, name: &[u8]) -> Result<Verdict, TopicError> {
        let limits = &self.limits;
        topic::check_name(name, limits.topic_bytes, limits.topic_levels)?;
        let text = std::str::from_utf8(name).map_err(|_| TopicError::NotUtf8)?;
        let verdict = if !self.rights.may_publish(text) {
            Verdict::Denied
        } else if is_mapped(self.mapping.as_deref(), name) {
            Verdict::Mapped
        } else {
            Verdict::Unmapped
        };
        let bytes = name.len() + 64;
        if self.known_bytes + bytes > REMEMBERED_BYTES {
            self.known.clear();
            self.known_bytes = 0;
        }
        self.known_bytes += bytes;
        self.known.insert(name.into(), verdict);
        Ok(verdict)
    }
}

/// Whether a message on this topic goes to the pipeline. A class or an asset without a legal name
/// does, too: the quarantine shows it to whoever wrote the rule.
pub(super) fn is_mapped(mapping: Option<&Mapping>, name: &[u8]) -> bool {
    mapping.is_none_or(|mapping| mapping.resolve(name) != Err(Rejection::UnknownTopic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::IngestConfig;

    #[test]
    fn a_topic_is_judged_once() {
        let mapping = Mapping::compile(&IngestConfig::default().rules).unwrap();
        let rights = Rights::of(&["fieldwright/#".into(), "chat/+".into()], &[]);
        let mut topics = Topics::new(
            Some(Arc::new(mapping)),
            Arc::new(rights),
            Arc::new(EndpointLimits::default()),
        );
        for _ in 0..2 {
            for (name, expected) in [
                ("fieldwright/pump/p1", Ok(Verdict::Mapped)),
                ("fieldwright/9pump/p1", Ok(Verdict::Mapped)),
                ("fieldwright/pump", Ok(Verdict::Unmapped)),
                ("chat/a", Ok(Verdict::Unmapped)),
                ("chat/a", Ok(Verdict::Unmapped)),
                ("other", Ok(Verdict::Denied)),
                ("", Err(TopicError::Empty)),
                ("a/+", Err(TopicError::Wildcard)),
            ] {
                assert_eq!(topics.judge(name.as_bytes()), expected, "{name}");
            }
        }
        for number in 0..100_000u32 {
            let name = format!("fieldwright/pump/{number}");
            assert_eq!(topics.judge(name.as_bytes()), Ok(Verdict::Mapped));
            assert!(topics.known_bytes <= REMEMBERED_BYTES);
        }
    }
}
