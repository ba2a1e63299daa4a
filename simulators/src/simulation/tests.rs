use super::*;
use crate::scenario::scenario;
use crate::world::minutes;

fn config(folder: &std::path::Path, seed: u64) -> SimulationConfig {
    SimulationConfig {
        scenario: scenario("small_plant").unwrap(),
        seed,
        api: Endpoint::callback(|| None),
        token: None,
        broker: Endpoint::callback(|| None),
        truth_path: folder.join("truth.json"),
        fault: true,
        talk: Talk::silent(),
    }
}

fn live() -> DateTime<Utc> {
    "2026-10-05T08:00:00Z".parse().unwrap()
}

#[test]
fn the_truth_is_kept_and_a_resumed_world_goes_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), 4);
    let plant = Arc::new(Plant::new(4, [("P-1", "pump")], live()));
    let book = TruthBook::open(&config).unwrap();
    let sensors = config.scenario.plant.as_ref().unwrap().sensors();
    assert_eq!(
        book.shorten(sensors.clone(), live()).history,
        TimeDelta::hours(48)
    );
    let plan = FaultPlan::draw(4, plant.machines()).unwrap();
    book.go_live(&plant, Some(plan.clone()), live(), &Talk::silent());
    let onset = plant.wear().unwrap().onset;
    assert_eq!(onset, live() + plan.onset_after);
    on_repair(plant.clone(), book.clone())("P-1", onset + minutes(200.0));
    assert_eq!(Truth::load(&config.truth_path).unwrap().wear, plant.wear());
    assert_eq!(plant.wear().unwrap().repairs.len(), 1);

    let again = TruthBook::open(&config).unwrap();
    let later = live() + TimeDelta::hours(5);
    assert_eq!(again.shorten(sensors, later).history, RESUMED_GAP);
    let plant = Plant::new(4, [("P-1", "pump")], later);
    again.go_live(&plant, Some(plan), later, &Talk::silent());
    assert_eq!(plant.wear().unwrap().onset, onset, "the fault that it had");
    assert_eq!(again.truth().live_since, Some(live()));
}

#[test]
fn another_seed_is_another_world() {
    let folder = tempfile::tempdir().unwrap();
    let plant = Plant::new(4, [("P-1", "pump")], live());
    let book = TruthBook::open(&config(folder.path(), 4)).unwrap();
    book.go_live(
        &plant,
        FaultPlan::draw(4, plant.machines()),
        live(),
        &Talk::silent(),
    );
    let other = TruthBook::open(&config(folder.path(), 5)).unwrap();
    assert_eq!(other.truth(), Truth::new(5, "small_plant"));
    std::fs::write(folder.path().join("truth.json"), "somebody's notes").unwrap();
    assert!(
        TruthBook::open(&config(folder.path(), 5)).is_err(),
        "not ours to overwrite"
    );
}

#[tokio::test]
async fn a_stop_before_the_service_is_met_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let handle = Simulation::start(config(folder.path(), 1));
    assert_eq!(*handle.stage().borrow(), Stage::Meeting);
    handle.cancel();
    let error = handle.finish().await.unwrap_err();
    assert!(
        matches!(error, SimulationError::Meet(ApiError::Canceled { .. })),
        "{error}"
    );
}
