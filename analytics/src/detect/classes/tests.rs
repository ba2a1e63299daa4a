use std::sync::Arc;

use chrono::TimeDelta;
use fieldwright_condition::Fleet;
use fieldwright_condition::fleet::Learned;

use super::super::config::tests::settings;
use super::*;

/// **Units**: microseconds.
const STEP: i64 = 300_000_000;

/// A class of so many assets of two metrics, learned on 60 windows from `shift` on.
fn learned(assets: usize, shift: i64) -> (ClassModel, Vec<Member>, ClassSettings) {
    let settings = Arc::new(settings("sharing = 'class'\nmin_samples = 1"));
    let tags = (0..assets).map(|asset| format!("P {asset}/2").as_str().into());
    let metrics = ["a", "b"].map(str::to_owned).to_vec();
    let mut fleet = Fleet::new("rig", &settings, tags, metrics);
    for mut part in fleet.parts(1) {
        for asset in 0..assets {
            for window in 0..61_i64 {
                let value = |metric: usize| {
                    let mixed = (window * 7919 + 13 * asset as i64) % 101;
                    (asset + 1) as f64 * (mixed + metric as i64 * window % 7) as f64
                };
                part.take(asset, (window + shift) * STEP, 2, value);
            }
        }
    }
    match fleet.learn(1, |_| true).unwrap().unwrap() {
        Learned::Class { model, members, .. } => (*model, members, (*settings).clone()),
        Learned::Alone(_) => panic!("there are several"),
    }
}

fn record(model: &ClassModel, settings: &ClassSettings, at: DateTime<Utc>) -> ClassRecord {
    ClassRecord::new(model.clone(), settings, (3, &[]), ("ada", at))
}

#[test]
fn a_version_in_use_comes_back_with_its_assets_and_those_that_came_later() {
    let folder = tempfile::tempdir().unwrap();
    let models = ModelFolder::open(folder.path()).unwrap();
    assert_eq!(models.classes().unwrap(), []);
    let (model, mut members, settings) = learned(4, 0);
    let late = members.pop().unwrap();
    let record = record(&model, &settings, DateTime::UNIX_EPOCH);
    let record = models.keep_learned(record, &members).unwrap();
    assert_eq!(models.classes().unwrap(), [], "nobody has put it in use");

    models.use_class(&record, []).unwrap();
    models
        .add_members("rig", std::slice::from_ref(&late))
        .unwrap();
    let back = models.classes().unwrap();
    let [(found, all)] = &back[..] else {
        panic!("{back:?}")
    };
    assert_eq!(found.version, model.version);
    members.push(late);
    assert_eq!(all, &members);
    assert_eq!(models.load().unwrap(), [], "no asset has a file of its own");
    assert_eq!(models.class_in_use("rig").unwrap(), Some(model.version));
}

#[test]
fn a_line_that_a_crash_has_torn_costs_one_asset() {
    let folder = tempfile::tempdir().unwrap();
    let models = ModelFolder::open(folder.path()).unwrap();
    let (model, mut members, settings) = learned(4, 0);
    let record = record(&model, &settings, DateTime::UNIX_EPOCH);
    models.keep_learned(record, &members[..3]).unwrap();
    let path = models
        .class_file("rig", &model.version)
        .with_extension(MEMBERS);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"\n{\"asset\":\"P 9/2\",\"trai").unwrap();
    models.add_members("rig", &members[3..]).unwrap();
    // And one that comes again counts as it is now.
    members[0].windows = 999;
    models.add_members("rig", &members[..1]).unwrap();
    assert_eq!(models.members("rig", &model.version).unwrap(), members);
}

#[test]
fn what_an_asset_had_learned_by_itself_is_given_up_for_its_class() {
    let folder = tempfile::tempdir().unwrap();
    let models = ModelFolder::open(folder.path()).unwrap();
    let (model, members, settings) = learned(3, 0);
    let mut own = model.of(&members[0]);
    own.reference = None;
    models.save(&own).unwrap();
    own.asset = "another".to_owned();
    models.save(&own).unwrap();
    let record = record(&model, &settings, DateTime::UNIX_EPOCH);
    let record = models.keep_learned(record, &members).unwrap();
    let watched = members.iter().map(|member| &*member.asset);
    models.use_class(&record, watched).unwrap();
    let left: Vec<String> = models
        .load()
        .unwrap()
        .into_iter()
        .map(|m| m.asset)
        .collect();
    assert_eq!(left, ["another"]);
}

#[test]
fn versions_are_kept_bounded_and_the_one_in_use_stays() {
    let folder = tempfile::tempdir().unwrap();
    let models = ModelFolder::open(folder.path()).unwrap();
    let mut first = None;
    for number in 0..i64::try_from(KEPT_VERSIONS).unwrap() + 6 {
        let (model, members, settings) = learned(2, number * 60);
        let at = DateTime::UNIX_EPOCH + TimeDelta::days(number);
        let record = record(&model, &settings, at);
        let record = models.keep_learned(record, &members).unwrap();
        if first.is_none() {
            let record = record.promoted("bob", at);
            models.use_class(&record, []).unwrap();
            first = Some(record);
        }
    }
    let kept = models.class_versions("rig").unwrap();
    assert_eq!(kept.len(), KEPT_VERSIONS + 2);
    let first = first.unwrap();
    let found = kept
        .iter()
        .find(|one| one.model.version == first.model.version);
    assert_eq!(found.unwrap().promotions, first.promotions);
    assert_eq!(found.unwrap().parameters["sharing"], "class");
    let files = fs::read_dir(models.class_folder("rig")).unwrap().count();
    assert_eq!(files, 2 * kept.len() + 1, "assets go with their version");
}

#[test]
fn a_version_that_is_learned_again_keeps_its_story_and_who_came_later() {
    let folder = tempfile::tempdir().unwrap();
    let models = ModelFolder::open(folder.path()).unwrap();
    let (model, mut members, settings) = learned(4, 0);
    let made = record(&model, &settings, DateTime::UNIX_EPOCH);
    let late = members.pop().unwrap();
    let made = models.keep_learned(made, &members).unwrap();
    let made = made.promoted("bob", DateTime::UNIX_EPOCH);
    models.use_class(&made, []).unwrap();
    models
        .add_members("rig", std::slice::from_ref(&late))
        .unwrap();
    members[0].windows = 999;
    let again = record(&model, &settings, DateTime::UNIX_EPOCH + TimeDelta::days(1));
    let again = models.keep_learned(again, &members).unwrap();
    assert_eq!(again.promotions, made.promotions);
    members.push(late);
    assert_eq!(models.members("rig", &model.version).unwrap(), members);
}
