//! Classes that learn as a whole: the job that learns them from what is stored, and their versions.

mod rows;

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use fieldwright_condition::fleet::Learned;
use fieldwright_condition::{ClassModel, Fleet, Member, Model, Sharing};
use tokio::sync::oneshot;

use self::rows::Reader;
use super::Detection;
use super::follower::Trained;
use super::shared::Shared;
use super::studies::{Done, VersionError, canceled, keep};
use crate::detect::classes::ClassRecord;
use crate::detect::jobs::{JobCell, JobResult, Then};
use crate::detect::models::ModelFolderError;
use crate::detect::registry::ModelRecord;

/// Share of a job that is over when the detectors are fitted.
const FITTED: f64 = 0.8;

/// A class's model on its way into use, with its assets.
#[derive(Debug)]
pub(super) struct ClassInUse {
    pub(super) model: Arc<ClassModel>,
    pub(super) members: Vec<Member>,
}

impl Detection {
    /// All versions of a class's model, the latest one first, and the one in use.
    ///
    /// **Errors** when they cannot be read.
    pub fn class_versions(
        &self,
        class: &str,
    ) -> Result<(Vec<ClassRecord>, Option<String>), VersionError> {
        let in_use = self.shared.engine().class_model(class);
        let versions = self.shared.folder.class_versions(class)?;
        Ok((versions, in_use.map(|model| model.version.clone())))
    }

    /// Puts a version of a class's model in use for all of its assets: a candidate, or a former one
    /// again. What an asset of it had learned by itself is given up; assets that the version does not
    /// know collect a reference.
    ///
    /// **Errors**: see [`VersionError`].
    pub async fn promote_class(
        &self,
        class: &str,
        version: &str,
        by: &str,
    ) -> Result<ClassRecord, VersionError> {
        let shared = Arc::clone(&self.shared);
        let (class, name, by) = (class.to_owned(), version.to_owned(), by.to_owned());
        let work = tokio::task::spawn_blocking(move || {
            let (record, members) = find_class(&shared, &class, &name)?;
            let now = shared.clock.now();
            let in_use = put_class_in_use(&shared, &record, members, (&by, now))?;
            Ok::<_, VersionError>((record.promoted(&by, now), in_use))
        });
        let (record, in_use) = work.await.map_err(|_| VersionError::ShuttingDown)??;
        let (installed, done) = oneshot::channel();
        let sent = self
            .trained
            .send(Trained::Class { in_use, installed })
            .await;
        sent.map_err(|_| VersionError::ShuttingDown)?;
        done.await.map_err(|_| VersionError::ShuttingDown)?;
        Ok(record)
    }
}

/// A version that fits what its class is today, with its assets.
fn find_class(
    shared: &Shared,
    class: &str,
    version: &str,
) -> Result<(ClassRecord, Vec<Member>), VersionError> {
    let all = shared.folder.class_versions(class)?;
    let found = all.into_iter().find(|one| one.model.version == version);
    let (of, version) = (format!("of class {class}"), version.to_owned());
    let Some(record) = found else {
        return Err(VersionError::NotFound { of, version });
    };
    if !record.model.fits(shared.config.class(class)) {
        return Err(VersionError::OtherSettings { of, version });
    }
    let members = shared.folder.members(class, &record.model.version)?;
    Ok((record, members))
}

/// The model that a version of its class gives an asset.
pub(super) fn of_class(
    shared: &Shared,
    asset: &str,
    version: &str,
) -> Result<Option<Model>, VersionError> {
    let class = shared.engine().newest(asset).map(|(class, _)| class);
    let Some(class) = class else { return Ok(None) };
    match find_class(shared, &class, version) {
        Ok((record, members)) => {
            let member = members.iter().find(|member| member.asset == asset);
            Ok(member.map(|member| record.model.of(member)))
        }
        Err(VersionError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn put_class_in_use(
    shared: &Shared,
    record: &ClassRecord,
    members: Vec<Member>,
    (by, now): (&str, DateTime<Utc>),
) -> Result<Box<ClassInUse>, ModelFolderError> {
    let record = record.clone().promoted(by, now);
    // An asset may have gone to another class since; what it has learned there is no affair of ours.
    let watched = shared.engine().assets_of(&record.model.class).0;
    let watched: HashSet<&str> = watched.iter().map(|tag| &**tag).collect();
    let given_up = members.iter().map(|member| &*member.asset);
    let given_up = given_up.filter(|asset| watched.contains(asset));
    shared.folder.use_class(&record, given_up)?;
    let model = Arc::new(record.model);
    Ok(Box::new(ClassInUse { model, members }))
}

/// Learns a class from the stored rows of a span.
///
/// It takes all cores but one, so that the stream has one at any time.
pub(super) fn run_class(
    shared: &Shared,
    cell: &JobCell,
    class: &str,
    then: Then,
) -> Result<Done, String> {
    let settings = shared.engine().class_settings(class);
    if settings.sharing != Sharing::Class {
        return Err(format!(
            "the assets of class {class} learn by themselves; set sharing = \"class\" for it"
        ));
    }
    let request = cell.report().request.clone();
    let (tags, metrics) = shared.engine().assets_of(class);
    if tags.is_empty() {
        return Err(format!(
            "class {class} has no assets that have sent readings"
        ));
    }
    cell.note_assets(0, tags.len());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let span = (
        request.from.timestamp_micros(),
        request.to.timestamp_micros(),
    );
    let fleet = Fleet::new(class, &settings, tags, metrics);
    let mut reader = Reader::new(fleet, span, (cores - 1).max(1));
    reader.read(shared, cell, class)?;
    let assets = reader.fleet.len();
    let learned = reader.fleet.learn(reader.threads, |done| {
        cell.note_assets(done, assets);
        cell.goes_on(FITTED)
    });
    let learned = learned.map_err(|error| format!("class {class}: {error}"))?;
    let now = shared.clock.now();
    let by = (request.by.as_str(), now);
    match learned.ok_or_else(canceled)? {
        Learned::Alone(model) => {
            let record = ModelRecord::new(*model, &settings, by.0, now);
            keep(shared, record, then, by.0, now)
        }
        Learned::Class {
            model,
            members,
            left_out,
        } => {
            cell.note_assets(members.len(), assets);
            let told = (members.len(), left_out.as_slice());
            let record = ClassRecord::new(*model, &settings, told, by);
            let kept = shared.folder.keep_learned(record, &members);
            let record = kept.map_err(|error| error.to_string())?;
            let result = JobResult::TrainedClass {
                version: record.model.version.clone(),
                assets: members.len(),
                left_out: left_out.len(),
            };
            finish(shared, &record, members, (then, by)).map(|class_promoted| Done {
                result,
                promoted: None,
                class_promoted,
            })
        }
    }
}

/// What becomes of a version of a class that was learned.
fn finish(
    shared: &Shared,
    record: &ClassRecord,
    members: Vec<Member>,
    (then, by): (Then, (&str, DateTime<Utc>)),
) -> Result<Option<Box<ClassInUse>>, String> {
    match then {
        Then::Keep => Ok(None),
        Then::Promote => {
            let in_use = put_class_in_use(shared, record, members, by);
            in_use.map(Some).map_err(|error| error.to_string())
        }
        Then::Shadow => {
            let mut engine = shared.engine();
            let mut begun = false;
            for member in &members {
                let candidate = Arc::new(record.model.of(member));
                begun |= engine.begin_shadow(&member.asset, candidate);
            }
            match begun {
                true => Ok(None),
                false => {
                    let of = format!("of class {}", record.model.class);
                    Err(VersionError::NothingInUse(of).to_string())
                }
            }
        }
    }
}
