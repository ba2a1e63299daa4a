//! Data of a former release: one tag under two classes.

use super::super::engine::{Engine, Found};
use super::*;

struct Two {
    engine: Engine,
    second: i64,
}

impl Two {
    /// Some minutes of rows under each of the classes, in turns.
    fn send(&mut self, minutes: i64, classes: &[&str]) {
        for _ in 0..minutes {
            let seconds: Vec<i64> = (0..10).map(|n| self.second + 6 * n).collect();
            self.second += 60;
            for class in classes {
                let mut findings = Vec::new();
                let rows = batch("R-1", &seconds, 0.0);
                self.engine.ingest(&(*class).into(), &rows, &mut findings);
                while let Some(finding) = findings.pop() {
                    let Found::Train(job) = finding.found else {
                        panic!("{finding:?}")
                    };
                    assert_eq!(&*job.class, *classes.last().unwrap());
                    self.engine.install(job.run().unwrap(), &mut findings);
                }
            }
        }
    }

    fn saved(&mut self) -> Vec<crate::alarms::Progress> {
        self.engine.take_progress(100).progress
    }

    /// The class that the tag is watched under, whoever asks.
    #[track_caller]
    fn check(&mut self, class: &str) {
        assert_eq!(&*self.engine.newest("R-1").unwrap().0, class);
        let saved: Vec<String> = self.saved().into_iter().map(|one| one.class).collect();
        assert!(saved.iter().all(|saved| saved == class), "{saved:?}");
        let models = self.engine.models();
        assert!(models.iter().all(|model| model.class == class));
        assert_eq!(self.engine.assets(), (1 - models.len(), models.len()));
    }
}

fn both() -> Arc<DetectConfig> {
    let mill = CLASS.replace("rig", "mill");
    Arc::new(config(&format!("{CLASS}\n{mill}")).unwrap())
}

#[test]
fn one_tag_under_two_classes_is_watched_under_one() {
    let mut two = Two {
        engine: Engine::new(both()),
        second: 0,
    };
    // Both go on: the first keeps it.
    for _ in 0..50 {
        two.send(1, &["mill", "rig"][1..]);
        let elsewhere = two.engine.counts().elsewhere;
        let mut none = Vec::new();
        let rows = batch("R-1", &[two.second - 1], 0.0);
        two.engine.ingest(&"mill".into(), &rows, &mut none);
        assert_eq!(two.engine.counts().elsewhere, elsewhere + 1);
        two.check("rig");
    }
    assert_eq!(two.engine.assets(), (0, 1), "it has its model");
    let model = Model::clone(&two.engine.models()[0]);

    // The first falls silent: it moves, once, and learns again.
    two.second += 601;
    two.send(50, &["mill"]);
    two.check("mill");
    let of_mill = Model::clone(&two.engine.models()[0]);
    let saved = {
        two.send(1, &["mill"]);
        two.saved()
    };
    two.second += 6000;
    two.send(5, &["rig"]);
    two.check("mill");
    // What came of a training that began before it moved is left aside.
    two.engine.install(model.clone(), &mut Vec::new());
    two.check("mill");

    // A restart takes the class of the progress, also when the model is the other's.
    let mut two = Two {
        engine: Engine::new(both()),
        second: two.second,
    };
    two.engine.restore(saved.clone(), vec![model.clone()]);
    two.check("mill");
    assert_eq!(two.engine.assets(), (1, 0), "it learns again");
    let mut two = Two {
        engine: Engine::new(both()),
        second: two.second,
    };
    // Its former class may know it still.
    two.engine.restore(saved, vec![of_mill, model]);
    two.check("mill");
    assert_eq!(two.engine.assets(), (0, 1));
    two.send(2, &["rig"]);
    two.send(2, &["mill"]);
    assert_eq!(two.engine.assets().0 + two.engine.assets().1, 1);
}
