//! Who subscribed to what: a tree of topic levels.

mod group;
#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use super::session::{Grant, Session};
use crate::mqtt::packet::Options;

pub(crate) use group::Group;

/// One subscription of one client.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    pub(crate) session: Arc<Session>,
    pub(crate) options: Options,
    /// 0 is none.
    pub(crate) identifier: u32,
}

/// All subscriptions, found by topic name without looking at each.
#[derive(Debug, Default)]
pub(crate) struct SubscriptionTree {
    root: Node,
    count: usize,
}

/// Who gets the messages of one topic.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    /// Each client once.
    pub(crate) direct: Vec<Target>,
    /// One client of each.
    pub(crate) groups: Vec<Arc<Group>>,
}

/// One client that gets the messages of a topic.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) session: Arc<Session>,
    /// From all its subscriptions together.
    pub(crate) grant: Grant,
    /// The same for its own messages; `None` when it does not want them.
    pub(crate) own: Option<Grant>,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    here: Vec<Subscription>,
    groups: Vec<Arc<Group>>,
}

#[derive(Debug, Default)]
struct Found {
    direct: Vec<Subscription>,
    groups: Vec<Arc<Group>>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.here.is_empty() && self.groups.is_empty()
    }
}

impl Targets {
    /// Clients and groups together.
    pub(crate) fn len(&self) -> usize {
        self.direct.len() + self.groups.len()
    }
}

impl SubscriptionTree {
    /// How many subscriptions there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds a subscription, to the group `share` where it is a shared one; the client's earlier one
    /// to the same filter is replaced.
    pub(crate) fn insert(&mut self, filter: &str, share: Option<&str>, subscription: Subscription) {
        let mut node = &mut self.root;
        for level in filter.split('/') {
            node = node.children.entry(level.into()).or_default();
        }
        let added = match share {
            Some(name) => node.group(name).join(subscription),
            None => put(&mut node.here, subscription),
        };
        self.count += usize::from(added);
    }

    /// Removes a client's subscription to exactly this filter.
    pub(crate) fn remove(&mut self, filter: &str, share: Option<&str>, session: u64) {
        let levels: Vec<&str> = filter.split('/').collect();
        if remove_below(&mut self.root, &levels, share, session) {
            self.count -= 1;
        }
    }

    /// Who gets a message on `name`: each client once, with its highest quality of service, and
    /// one of each group. The branches looked at and the subscriptions found are added to `work`.
    pub(crate) fn matching(&self, name: &str, work: &mut usize) -> Targets {
        let mut found = Found::default();
        let levels: Vec<&str> = name.split('/').collect();
        let wildcards = !name.starts_with('$');
        *work += collect(&self.root, &levels, wildcards, &mut found);
        *work += found.direct.len() + found.groups.len();
        found
            .direct
            .sort_by_key(|subscription| subscription.session.number);
        let direct = found
            .direct
            .chunk_by(|one, other| one.session.number == other.session.number)
            .map(|of_one| Target {
                session: of_one[0].session.clone(),
                grant: merge(of_one.iter()).unwrap_or_default(),
                own: merge(of_one.iter().filter(|one| !one.options.no_local)),
            })
            .collect();
        Targets {
            direct,
            groups: found.groups,
        }
    }
}

impl Node {
    fn group(&mut self, name: &str) -> &Group {
        let known = self.groups.iter().position(|group| group.name() == name);
        let at = known.unwrap_or_else(|| {
            self.groups.push(Arc::new(Group::new(name)));
            self.groups.len() - 1
        });
        &self.groups[at]
    }
}

/// Adds a subscription or replaces the client's earlier one; true when it was added.
fn put(subscriptions: &mut Vec<Subscription>, subscription: Subscription) -> bool {
    let number = subscription.session.number;
    match subscriptions
        .iter_mut()
        .find(|known| known.session.number == number)
    {
        Some(known) => {
            *known = subscription;
            false
        }
        None => {
            subscriptions.push(subscription);
            true
        }
    }
}

/// What a client's subscriptions to one topic come to; `None` when there are none.
pub(super) fn merge<'a>(subscriptions: impl Iterator<Item = &'a Subscription>) -> Option<Grant> {
    let mut merged: Option<Grant> = None;
    let mut identifiers = Vec::new();
    for subscription in subscriptions {
        let grant = merged.get_or_insert_default();
        grant.qos = grant.qos.max(subscription.options.qos);
        grant.retain_as_published |= subscription.options.retain_as_published;
        if subscription.identifier != 0 && !identifiers.contains(&subscription.identifier) {
            identifiers.push(subscription.identifier);
        }
    }
    if let Some(grant) = &mut merged
        && !identifiers.is_empty()
    {
        grant.identifiers = Some(identifiers.into());
    }
    merged
}

fn remove_below(node: &mut Node, levels: &[&str], share: Option<&str>, session: u64) -> bool {
    let Some((level, rest)) = levels.split_first() else {
        let Some(name) = share else {
            let before = node.here.len();
            node.here.retain(|known| known.session.number != session);
            return node.here.len() < before;
        };
        let Some(at) = node.groups.iter().position(|group| group.name() == name) else {
            return false;
        };
        let (removed, is_empty) = node.groups[at].leave(session);
        if is_empty {
            node.groups.remove(at);
        }
        return removed;
    };
    let Some(child) = node.children.get_mut(*level) else {
        return false;
    };
    let removed = remove_below(child, rest, share, session);
    if child.is_empty() {
        node.children.remove(*level);
    }
    removed
}

/// `wildcards` is false on the first level of a topic that begins with `$`. Returns how many
/// branches were looked at.
fn collect(node: &Node, levels: &[&str], wildcards: bool, found: &mut Found) -> usize {
    if wildcards && let Some(all) = node.children.get("#") {
        found.add(all);
    }
    let Some((level, rest)) = levels.split_first() else {
        found.add(node);
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

impl Found {
    fn add(&mut self, node: &Node) {
        self.direct.extend(node.here.iter().cloned());
        self.groups.extend(node.groups.iter().cloned());
    }
}
