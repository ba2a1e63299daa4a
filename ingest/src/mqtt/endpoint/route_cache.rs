//! Who gets the messages of a topic, remembered until a subscription changes.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::subscriptions::Targets;

/// Topics and their subscribers together that are remembered.
const ENTRIES: usize = 64 * 1024;

/// The subscribers of topics that were published to. Whoever changes the tree clears it.
#[derive(Debug, Default)]
pub(crate) struct RouteCache {
    routes: HashMap<Bytes, Arc<Targets>>,
    entries: usize,
}

impl RouteCache {
    pub(crate) fn get(&self, topic: &[u8]) -> Option<Arc<Targets>> {
        self.routes.get(topic).cloned()
    }

    /// Remembers a topic; all others are forgotten when there is no room.
    pub(crate) fn put(&mut self, topic: &[u8], subscribers: &Arc<Targets>) {
        let entries = 1 + subscribers.len();
        if entries > ENTRIES {
            return;
        }
        if self.entries + entries > ENTRIES {
            self.clear();
        }
        // A copy: a slice would keep the whole receive buffer alive.
        let topic = Bytes::copy_from_slice(topic);
        if self.routes.insert(topic, subscribers.clone()).is_none() {
            self.entries += entries;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.routes.clear();
        self.entries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::Grant;
    use super::super::session::tests::session;
    use super::super::subscriptions::Target;
    use super::*;

    fn subscribers(count: u64) -> Arc<Targets> {
        let target = Target {
            session: session(1, 0),
            grant: Grant::default(),
            own: None,
        };
        Arc::new(Targets {
            direct: vec![target; count as usize],
            groups: Vec::new(),
        })
    }

    #[test]
    fn it_is_bounded_in_topics_and_subscribers_together() {
        let mut cache = RouteCache::default();
        let many = subscribers(ENTRIES as u64 / 2);
        cache.put(b"a", &many);
        cache.put(b"a", &many);
        assert!(cache.get(b"a").is_some());
        cache.put(b"b", &many);
        assert!(cache.get(b"a").is_none() && cache.get(b"b").is_some());
        cache.put(b"c", &subscribers(ENTRIES as u64));
        assert!(cache.get(b"c").is_none() && cache.get(b"b").is_some());
        let none = subscribers(0);
        for topic in 0..2 * ENTRIES as u64 {
            cache.put(&topic.to_be_bytes(), &none);
            assert!(cache.entries <= ENTRIES && cache.routes.len() <= ENTRIES);
        }
    }
}
