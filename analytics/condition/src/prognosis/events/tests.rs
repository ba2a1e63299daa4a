use super::*;

const HOUR: i64 = 3_600_000_000;

/// A machine whose component 0 fails a day after every error of kind 0 that comes at six in the
/// morning; all other errors mean nothing.
fn machine(seed: i64) -> History {
    let mut history = History {
        traits: vec![1.0],
        ..History::default()
    };
    for turn in 0..40 {
        let day = 10 * turn + seed % 7;
        history.errors.push((HOUR * (24 * day + 6), 0));
        history.failed.push((HOUR * (24 * day + 30), 0));
        history.replaced.push((HOUR * (24 * day + 30), 0));
        history
            .errors
            .push((HOUR * (24 * (day + 4) + 7 + (turn * 5 + seed) % 15), 0));
        history.errors.push((HOUR * (24 * (day + 6) + 6), 1));
    }
    history
}

fn fitted(machines: &[History]) -> EventModel {
    let all: Vec<&History> = machines.iter().collect();
    let end = HOUR * 24 * 1000;
    EventSettings::shipped().fit(&all, (2, 2), end).unwrap()
}

#[test]
fn what_announces_a_failure_is_told_from_what_does_not() {
    let machines: Vec<History> = (0..12).map(machine).collect();
    let model = fitted(&machines);
    let new = machine(100);
    let orders = model.orders(&new);
    let right = |order: &&Warning| new.fails(order.at, order.component, Span::seconds(48 * 3600));
    assert_eq!(orders.iter().filter(right).count(), 40);
    assert!(orders.len() <= 42, "{}", orders.len());
}

#[test]
fn nothing_later_changes_what_is_said() {
    let machines: Vec<History> = (0..12).map(machine).collect();
    let model = fitted(&machines);
    let whole = machine(100);
    let cut = whole.errors[60].0;
    let mut first = whole.clone();
    first.errors.retain(|(at, _)| *at <= cut);
    first.replaced.retain(|(at, _)| *at <= cut);
    first.failed.clear();
    let said = model.outlook(&first);
    assert_eq!(said[..], model.outlook(&whole)[..said.len()]);
}

#[test]
fn an_order_covers_what_comes_within_the_horizon() {
    let warning = |hours: i64, component, probability| Warning {
        at: HOUR * hours,
        component,
        probability,
    };
    let outlook = [
        warning(0, 0, 0.9),
        warning(1, 1, 0.4),
        warning(30, 0, 0.9),
        warning(30, 1, 0.6),
        warning(48, 0, 0.8),
    ];
    let orders = orders(&outlook, 0.5, Span::seconds(48 * 3600));
    let told: Vec<(i64, usize)> = orders.iter().map(|o| (o.at / HOUR, o.component)).collect();
    assert_eq!(told, [(0, 0), (30, 1), (48, 0)]);
}

#[test]
fn too_few_machines_or_no_failures_are_an_error() {
    let settings = EventSettings::shipped();
    let one = machine(1);
    let few = settings.fit(&[&one], (2, 2), i64::MAX);
    assert!(matches!(few, Err(EventError::Machines(1))));
    let mut calm = machine(1);
    calm.failed.clear();
    let calm = settings.fit(&[&calm; 12], (2, 2), HOUR * 24 * 1000);
    assert!(matches!(calm, Err(EventError::OneSided)));
}
