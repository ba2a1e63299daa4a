//! The lake in stores other than the data folder: the same things happen there.

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use url::Url;

use super::compaction::{Numbers, commit_some, compact};
use super::*;

/// What every store has to do; `place` gives a handle of the same store again and again.
fn check(place: impl Fn() -> Place) {
    let lake = Lake::at(place()).unwrap();
    let mut world = World::new(&lake);
    let mut numbers = Numbers::new(5);
    let mut at = 3000;
    for round in 0..8 {
        commit_some(&mut world, &mut numbers, &mut at);
        world.flush(&lake);
        if round % 4 == 3 {
            assert!(compact(&world, &lake, true).is_some());
        }
    }
    let before = world.readings();
    let again = Lake::at(place()).unwrap();
    assert_eq!(again.remove_leftovers().unwrap(), 0);
    let tables = Tables::new(0, Arc::new(again.root()), again.tables());
    assert_eq!(readings::of(&tables.snapshots().load()), before);
    assert_eq!(
        again.catalog().unwrap().watermarks(),
        world.catalog.watermarks()
    );
    // What was replaced goes, and nothing else.
    assert!(again.clear(i64::MAX).unwrap() > 0);
    assert_eq!(readings::of(&tables.snapshots().load()), before);
    // Two writers do not overwrite each other: the second is told.
    commit_some(&mut world, &mut numbers, &mut at);
    world.flush(&lake);
    world.sequence += 1;
    let mut frozen = vec![Frozen {
        class: "pump".into(),
        schema: tables.snapshots().load().tables["pump"].schema.clone(),
        in_order: world.tables.snapshots().load().tables["pump"].hot.clone(),
        late: Vec::new(),
    }];
    frozen[0].in_order.extend(world.commit_hot());
    let refused = again.flush(&mut frozen, world.sequence, &Watermarks::new(), &tables);
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("one lake has one writer"), "{said}");
}

impl World {
    /// A batch that is in no table.
    fn commit_hot(&mut self) -> Vec<Arc<HotBatch>> {
        let batch = self.commit(&[("P9", 1, "\"a\":1")]);
        batch.parts.into_iter().map(|part| part.rows).collect()
    }
}

#[test]
fn a_store_in_memory() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let url = Url::parse("memory:///plants/lake/").unwrap();
    let base = ObjectPath::from("plants/lake");
    check(|| Place::of(url.clone(), store.clone(), base.clone()).unwrap());
}

#[test]
fn a_folder_by_url() {
    let folder = tempfile::tempdir().unwrap();
    let url = Url::from_directory_path(folder.path().join("lake here")).unwrap();
    let none = || std::iter::empty();
    check(|| Place::by_url(LocalDisk::shared(), url.as_str(), none()).unwrap());
    assert!(folder.path().join("lake here/pump/_delta_log").is_dir());
}

/// An object store that a person started: `FIELDWRIGHT_LAKE_URL=s3://bucket/folder`, with
/// `AWS_ENDPOINT`, `AWS_ALLOW_HTTP=true` and keys in the environment.
#[test]
fn an_object_store_by_url() {
    let Ok(url) = std::env::var("FIELDWRIGHT_LAKE_URL") else {
        eprintln!("skipped: FIELDWRIGHT_LAKE_URL names no object store");
        return;
    };
    let stamp = wall_now().timestamp_micros();
    let url = format!("{url}/{stamp}");
    check(|| Place::by_url(LocalDisk::shared(), &url, std::env::vars()).unwrap());
}

#[test]
fn a_url_that_cannot_be_used_is_refused_without_its_secrets() {
    let environment = || {
        let secret = ("AWS_SECRET_ACCESS_KEY".to_owned(), "hush".to_owned());
        let wrong = ("AWS_ALLOW_HTTP".to_owned(), "hush".to_owned());
        [secret, wrong].into_iter()
    };
    for (url, said) in [
        ("s3://user:hush@bucket/lake", "use the environment"),
        ("s3://bucket/lake", "no store can be made"),
        ("gopher://hole/lake", "no store can be made"),
        ("lake", "cannot be used"),
    ] {
        let refused = Place::by_url(LocalDisk::shared(), url, environment());
        let error = refused.unwrap_err();
        let talk = format!("{error} {error:?}");
        assert!(talk.contains(said), "{talk}");
        let shown = talk.replace(url, "");
        assert!(!shown.contains("hush"), "{talk}");
    }
}

#[test]
fn a_folder_remembers_where_its_lake_is() {
    let data = tempfile::tempdir().unwrap();
    let far = tempfile::tempdir().unwrap();
    let url = Url::from_directory_path(far.path()).unwrap().to_string();
    let at = |url: &str| {
        let config = IngestConfig {
            lake_url: url.to_owned(),
            ..IngestConfig::default()
        };
        Lake::open(LocalDisk::shared(), data.path(), &config)
    };
    let lake = at(&url).unwrap();
    let mut world = World::new(&lake);
    world.commit(&[("P1", 1, "\"a\":1")]);
    world.flush(&lake);
    assert_eq!(reread(data.path()).1, world.readings());
    assert_eq!(at(&url).unwrap().flushed_through()["pump"], 1);
    for other in ["", "memory:///elsewhere"] {
        let said = at(other).unwrap_err().to_string();
        assert!(
            said.contains(&url) && said.contains("set it back"),
            "{said}"
        );
    }
    // The other way round: files in the folder are not forgotten either.
    fs::remove_file(data.path().join("url")).unwrap();
    fs::create_dir_all(data.path().join("pump/_delta_log")).unwrap();
    assert!(at(&url).is_err());
}
