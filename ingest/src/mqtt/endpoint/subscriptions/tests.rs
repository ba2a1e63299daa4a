use super::super::session::tests::session;
use super::*;
use crate::mqtt::topic;

const FILTERS: [&str; 13] = [
    "#", "+", "a/#", "a/+", "a/b", "a/+/c", "+/b/#", "/", "/+", "$SYS/#", "+/x", "a//c", "+/+",
];

pub(crate) fn subscription(number: u64, qos: u8) -> Subscription {
    Subscription {
        session: session(number, 0),
        options: Options {
            qos,
            ..Options::default()
        },
        identifier: 0,
    }
}

fn tree() -> SubscriptionTree {
    let mut tree = SubscriptionTree::default();
    for (client, filter) in FILTERS.iter().enumerate() {
        tree.insert(filter, None, subscription(client as u64, 1));
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
        let targets = tree.matching(name, &mut 0);
        let found: Vec<&str> = targets
            .direct
            .iter()
            .map(|target| FILTERS[target.session.number as usize])
            .collect();
        let expected: Vec<&str> = FILTERS
            .into_iter()
            .filter(|filter| topic::matches(filter, name))
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_client_gets_one_copy_at_its_highest_quality_with_all_identifiers() {
    let mut tree = SubscriptionTree::default();
    for (filter, client, qos, identifier, no_local) in [
        ("#", 7, 0, 3, false),
        ("a/+", 7, 1, 4, true),
        ("a/b", 7, 0, 0, true),
        ("a/b", 8, 0, 0, true),
    ] {
        let mut one = subscription(client, qos);
        one.identifier = identifier;
        one.options.no_local = no_local;
        tree.insert(filter, None, one);
    }
    let targets = tree.matching("a/b", &mut 0);
    let ids = |grant: &Grant| grant.identifiers.as_deref().unwrap_or_default().to_vec();
    let found: Vec<_> = targets
        .direct
        .iter()
        .map(|target| {
            let mut all = ids(&target.grant);
            all.sort_unstable();
            let own = target.own.as_ref().map(|own| (own.qos, ids(own)));
            (target.session.number, target.grant.qos, all, own)
        })
        .collect();
    assert_eq!(
        found,
        [(7, 1, vec![3, 4], Some((0, vec![3]))), (8, 0, vec![], None)]
    );
}

#[test]
fn a_group_takes_turns_among_those_that_are_there() {
    let mut tree = SubscriptionTree::default();
    let members: Vec<Subscription> = (1..=3).map(|number| subscription(number, 1)).collect();
    for member in &members {
        tree.insert("a/+", Some("g"), member.clone());
    }
    tree.insert("a/b", Some("g"), subscription(9, 1));
    let targets = tree.matching("a/b", &mut 0);
    assert_eq!((targets.direct.len(), targets.groups.len()), (0, 2));
    let group = targets
        .groups
        .iter()
        .find(|group| group.members() == 3)
        .unwrap();
    assert!(group.pick().is_none(), "nobody is there or comes back");
    let outbox = super::super::outbox::tests::outbox();
    members[0].session.link(&outbox);
    members[2].session.link(&outbox);
    let mut turns = [0; 4];
    for _ in 0..6 {
        turns[group.pick().unwrap().session.number as usize] += 1;
    }
    assert!(turns[1] >= 2 && turns[3] >= 2 && turns[2] == 0, "{turns:?}");
    for member in &members {
        tree.remove("a/+", Some("g"), member.session.number);
    }
    tree.remove("a/b", Some("g"), 9);
    assert!(tree.root.is_empty() && tree.len() == 0);
}

#[test]
fn nothing_is_left_after_removal() {
    let mut tree = tree();
    tree.remove("a/b", None, 999);
    tree.remove("a/b", Some("g"), 4);
    tree.remove("not/there", None, 0);
    assert_eq!(tree.len(), FILTERS.len());
    for (client, filter) in FILTERS.iter().enumerate() {
        tree.remove(filter, None, client as u64);
    }
    assert_eq!(tree.len(), 0);
    assert!(tree.root.is_empty(), "no empty branch stays behind");
}
