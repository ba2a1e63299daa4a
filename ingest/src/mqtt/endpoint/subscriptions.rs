//! Who subscribed to what: a tree of topic levels.

use std::collections::HashMap;
use std::sync::Arc;

use super::outbox::Outbox;

/// One subscription of one client.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    /// The connection's number.
    pub(crate) client: u64,
    pub(crate) outbox: Arc<Outbox>,
    /// 0 or 1.
    pub(crate) qos: u8,
}

/// All subscriptions, found by topic name without looking at each.
#[derive(Debug, Default)]
pub(crate) struct SubscriptionTree {
    root: Node,
    count: usize,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    here: Vec<Subscription>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.here.is_empty()
    }
}

impl SubscriptionTree {
    /// How many subscriptions there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds a subscription; the client's earlier one to the same filter is replaced.
    pub(crate) fn insert(&mut self, filter: &str, subscription: Subscription) {
        let mut node = &mut self.root;
        for level in filter.split('/') {
            node = node.children.entry(level.into()).or_default();
        }
        match node
            .here
            .iter_mut()
            .find(|known| known.client == subscription.client)
        {
            Some(known) => *known = subscription,
            None => {
                node.here.push(subscription);
                self.count += 1;
            }
        }
    }

    /// Removes a client's subscription to exactly this filter.
    pub(crate) fn remove(&mut self, filter: &str, client: u64) {
        let levels: Vec<&str> = filter.split('/').collect();
        if remove_below(&mut self.root, &levels, client) {
            self.count -= 1;
        }
    }

    /// The subscriptions that a message on `name` goes to: one per client, with its highest
    /// quality of service. The branches looked at and the subscriptions found are added to
    /// `work`.
    pub(crate) fn matching(&self, name: &str, work: &mut usize) -> Vec<Subscription> {
        let mut found = Vec::new();
        let levels: Vec<&str> = name.split('/').collect();
        let wildcards = !name.starts_with('$');
        *work += collect(&self.root, &levels, wildcards, &mut found) + found.len();
        found
            .sort_by_key(|subscription| (subscription.client, std::cmp::Reverse(subscription.qos)));
        found.dedup_by_key(|subscription| subscription.client);
        found
    }
}

fn remove_below(node: &mut Node, levels: &[&str], client: u64) -> bool {
    let Some((level, rest)) = levels.split_first() else {
        let before = node.here.len();
        node.here.retain(|known| known.client != client);
        return node.here.len() < before;
    };
    let Some(child) = node.children.get_mut(*level) else {
        return false;
    };
    let removed = remove_below(child, rest, client);
    if child.is_empty() {
        node.children.remove(*level);
    }
    removed
}

/// `wildcards` is false on the first level of a topic that begins with `$`. Returns how many
/// branches were looked at.
fn collect(node: &Node, levels: &[&str], wildcards: bool, found: &mut Vec<Subscription>) -> usize {
    if wildcards && let Some(all) = node.children.get("#") {
        found.extend(all.here.iter().cloned());
    }
    let Some((level, rest)) = levels.split_first() else {
        found.extend(node.here.iter().cloned());
        return 1;
    };
    let mut looked_at = 1;
    if let Some(child) = node.children.get(*level) {
        looked_at += collect(child, rest, true, found);
    }
    if wildcards && let Some(child) = node.children.get("+") {
        looked_at += collect(child, rest, true, found);
    }
    looked_at
}

#[cfg(test)]
mod tests {
    use super::super::outbox::tests::outbox;
    use super::*;
    use crate::mqtt::topic;

    const FILTERS: [&str; 13] = [
        "#", "+", "a/#", "a/+", "a/b", "a/+/c", "+/b/#", "/", "/+", "$SYS/#", "+/x", "a//c", "+/+",
    ];

    fn tree() -> SubscriptionTree {
        let mut tree = SubscriptionTree::default();
        for (client, filter) in FILTERS.iter().enumerate() {
            let subscription = Subscription {
                client: client as u64,
                outbox: outbox(),
                qos: 1,
            };
            tree.insert(filter, subscription);
        }
        tree
    }

    /// The tree and the plain definition agree.
    #[test]
    fn the_tree_finds_what_the_filters_select() {
        let tree = tree();
        for name in [
            "a", "a/b", "a/b/c", "a//c", "a/", "/", "/x", "$SYS", "$SYS/x", "q/x", "b/b/b", "a/x",
        ] {
            let found: Vec<&str> = tree
                .matching(name, &mut 0)
                .iter()
                .map(|subscription| FILTERS[subscription.client as usize])
                .collect();
            let expected: Vec<&str> = FILTERS
                .into_iter()
                .filter(|filter| topic::matches(filter, name))
                .collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_client_gets_one_copy_at_its_highest_quality() {
        let mut tree = SubscriptionTree::default();
        for (filter, client, qos) in [("#", 7, 0), ("a/+", 7, 1), ("a/b", 7, 0), ("a/b", 8, 0)] {
            let subscription = Subscription {
                client,
                outbox: outbox(),
                qos,
            };
            tree.insert(filter, subscription);
        }
        let found: Vec<(u64, u8)> = tree
            .matching("a/b", &mut 0)
            .iter()
            .map(|subscription| (subscription.client, subscription.qos))
            .collect();
        assert_eq!(found, [(7, 1), (8, 0)]);
    }

    #[test]
    fn nothing_is_left_after_removal() {
        let mut tree = tree();
        tree.remove("a/b", 999);
        tree.remove("not/there", 0);
        assert_eq!(tree.len(), FILTERS.len());
        for (client, filter) in FILTERS.iter().enumerate() {
            tree.remove(filter, client as u64);
        }
        assert_eq!(tree.len(), 0);
        assert!(tree.root.is_empty(), "no empty branch stays behind");
    }
}
