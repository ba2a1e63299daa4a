//! `/models/…` and `/detect/jobs`: versions of models, and the work that makes and judges them.

use axum::Json;
use axum::extract::{Path, State};
use fieldwright_analytics::detect::{
    JobReport, JobRequest, JobResult, ModelRecord, ShadowReport, Then, Work,
};
use fieldwright_workorders::registry::assets;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::back_tests::BackTest;
use super::command::Command;
use super::idempotency::KeyOptional;
use super::page::{Page, Parameters, Part, Window};
use super::problem::{self, Problem};
use super::state::ApiState;
use super::wire::Instant;

/// A version of an asset's model.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelVersion {
    /// Its name.
    version: String,
    /// Tag of the asset.
    asset: String,
    /// Class of the asset.
    class: String,
    /// Whether it is the one in use.
    in_use: bool,
    /// Who asked for it; `learning` at the end of a learning period.
    made_by: String,
    /// When.
    made_at: Instant,
    /// Event time of the first window that it learned from.
    trained_from: Instant,
    /// Event time of the end of the last one.
    trained_through: Instant,
    /// How many windows it learned from.
    windows: usize,
    /// What it looks at.
    features: Vec<String>,
    /// By detector: what it says of the windows that it was learned from.
    #[schema(value_type = Object)]
    evaluation: Value,
    /// The settings of the class that it was learned with.
    #[schema(value_type = Object)]
    parameters: Value,
    /// When it was put in use, the latest last.
    promotions: Vec<Promotion>,
}

/// Somebody put a version in use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ModelPromotion)]
pub struct Promotion {
    /// Who.
    pub(super) by: String,
    /// When.
    pub(super) at: Instant,
}

/// A version of an asset's model.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ModelVersionRequest)]
pub struct Named {
    /// Id or tag of the asset.
    asset: String,
    /// The version.
    version: String,
}

/// An asset.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ModelAssetRequest)]
pub struct OfAsset {
    /// Id or tag of the asset.
    asset: String,
}

/// What a candidate would have done beside the model in use.
#[derive(Debug, Serialize, ToSchema)]
pub struct Shadow {
    /// Tag of the asset.
    asset: String,
    /// The candidate.
    version: String,
    /// The model in use.
    in_use: String,
    /// Event time of the first window that both judged.
    since: Option<Instant>,
    /// Windows that both judged.
    windows: u64,
    /// Windows out of band for the candidate.
    out_of_band: u64,
    /// Windows out of band for the model in use.
    in_use_out_of_band: u64,
    /// Alarms that the candidate would have raised.
    alarms: u64,
    /// Alarms that the model in use raised.
    in_use_alarms: u64,
}

/// What a job does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DetectJobKind)]
pub enum Kind {
    /// Learn a version.
    Train,
    /// Learn a version for all assets of a class.
    TrainClass,
    /// Learn how long the assets of a class last, from those whose lives ended in the span.
    TrainLife,
    /// Judge the past.
    BackTest,
}

/// What becomes of a version that a job has learned.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DetectJobThen)]
pub enum Afterward {
    /// It is kept.
    #[default]
    Keep,
    /// It judges beside the one in use and raises nothing.
    Shadow,
    /// It takes the place of the one in use.
    Promote,
}

/// A job to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DetectJobRequest)]
pub struct NewJob {
    /// What it does.
    kind: Kind,
    /// Id or tag of the asset; not with `train_class` and `train_life`.
    asset: Option<String>,
    /// The class; only with `train_class` and `train_life`.
    class: Option<String>,
    /// Event time of the first reading; with `train_life` of the first failure.
    from: Instant,
    /// Event time before which the last one lies.
    to: Instant,
    /// The version to judge the past with, only with `back_test`; the one in use when it is missing.
    version: Option<String>,
    /// What becomes of a version that is learned.
    #[serde(default)]
    then: Afterward,
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
pub struct DetectJob {
    /// Its number since the start of the service.
    number: u64,
    /// What it does.
    kind: Kind,
    /// Tag of the asset; null for a whole class.
    asset: Option<String>,
    /// The class that is learned as a whole.
    class: Option<String>,
    /// Event time of the first reading.
    from: Instant,
    /// Event time before which the last one lies.
    to: Instant,
    /// `queued`, `running`, `done`, `failed` or `canceled`.
    state: &'static str,
    /// How much is done, 0 to 1.
    progress: f64,
    /// Of a class: assets that are done.
    assets_done: Option<usize>,
    /// Of a class: its assets.
    assets: Option<usize>,
    /// When it was asked for.
    asked_at: Instant,
    /// When it ended.
    ended_at: Option<Instant>,
    /// Why it failed.
    failure: Option<String>,
    /// The version that was learned, or that judged the past.
    version: Option<String>,
    /// What the back-test has found.
    back_test: Option<BackTest>,
}

/// Of which asset.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Id or tag of the asset.
    asset: String,
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the versions of an asset's model: candidates, the one in use, and former ones.
#[utoipa::path(get, path = "/models/versions", operation_id = "list_model_versions",
    tag = "telemetry", params(Which), responses((status = 200, body = Page<ModelVersion>)))]
pub async fn versions(
    State(state): State<ApiState>,
    Parameters(which): Parameters<Which>,
) -> Result<Page<ModelVersion>, Problem> {
    let window = Window::read("model_versions", which.limit, which.cursor.as_deref())?;
    let tag = tag(&state, which.asset).await?;
    let mut all = state
        .detection
        .versions(&tag)
        .map_err(problem::of_version)?;
    let key = |record: &ModelRecord| record.model.version.clone();
    all.sort_by_cached_key(key);
    let live = state.detection.health(&tag).model;
    let page = window.page_of_all(all, key);
    Ok(page.map(|record| ModelVersion::of(record, live.as_deref())))
}

/// Puts a version of an asset's model in use: a candidate, or a former one again.
#[utoipa::path(post, path = "/models/promote", operation_id = "promote_model", tag = "telemetry",
    params(KeyOptional), request_body = Named, responses((status = 200, body = ModelVersion)))]
pub async fn promote(
    State(state): State<ApiState>,
    command: Command<Named>,
) -> Result<Json<ModelVersion>, Problem> {
    let Named { asset, version } = command.body;
    let tag = tag(&state, asset).await?;
    let promoted = state.detection.promote(&tag, &version, "api").await;
    let record = promoted.map_err(problem::of_version)?;
    Ok(Json(ModelVersion::of(record, Some(&version))))
}

/// Lets a version judge beside the one in use; it raises nothing.
#[utoipa::path(post, path = "/models/shadow", operation_id = "begin_shadow", tag = "telemetry",
    params(KeyOptional), request_body = Named, responses((status = 200, body = Shadow)))]
pub async fn begin_shadow(
    State(state): State<ApiState>,
    command: Command<Named>,
) -> Result<Json<Shadow>, Problem> {
    let Named { asset, version } = command.body;
    let tag = tag(&state, asset).await?;
    let begun = state.detection.begin_shadow(&tag, &version);
    Ok(Json(begun.map_err(problem::of_version)?.into()))
}

/// Ends it; gives what the candidate would have done, or null when there was none.
#[utoipa::path(post, path = "/models/shadow/end", operation_id = "end_shadow", tag = "telemetry",
    params(KeyOptional), request_body = OfAsset,
    responses((status = 200, body = Option<Shadow>)))]
pub async fn end_shadow(
    State(state): State<ApiState>,
    command: Command<OfAsset>,
) -> Result<Json<Option<Shadow>>, Problem> {
    let tag = tag(&state, command.body.asset).await?;
    Ok(Json(state.detection.end_shadow(&tag).map(Shadow::from)))
}

/// Lists the versions that judge beside those in use.
#[utoipa::path(get, path = "/models/shadow", operation_id = "list_shadows", tag = "telemetry",
    params(Part), responses((status = 200, body = Page<Shadow>)))]
pub async fn shadows(
    State(state): State<ApiState>,
    Parameters(part): Parameters<Part>,
) -> Result<Page<Shadow>, Problem> {
    let window = part.window("shadows")?;
    let key = |shadow: &ShadowReport| shadow.asset.clone();
    Ok(window
        .page_of_all(state.detection.shadows(), key)
        .map(Shadow::from))
}

/// Begins a job: learns a version, or judges the past. The same `Idempotency-Key` is the same job.
#[utoipa::path(post, path = "/detect/jobs", operation_id = "begin_detect_job", tag = "telemetry",
    params(KeyOptional), request_body = NewJob, responses((status = 200, body = DetectJob)))]
pub async fn begin(
    State(state): State<ApiState>,
    command: Command<NewJob>,
) -> Result<Json<DetectJob>, Problem> {
    let key = command.key().map(|key| key.key.clone());
    let job = command.body;
    let version = job.version;
    if version.is_some() && !matches!(job.kind, Kind::BackTest) {
        let text = "only a back-test judges with a version that is there: leave `version` out, \
                    what is learned gets one of its own";
        return Err(Problem::new(problem::INVALID, text).field("/version", text));
    }
    let raises = !matches!(job.kind, Kind::TrainLife);
    let then = match job.then {
        Afterward::Shadow if !raises => {
            let text = "a model of remaining life raises nothing that a shadow would withhold; \
                        keep it, read its evaluation and promote it";
            return Err(Problem::new(problem::INVALID, text).field("/then", text));
        }
        Afterward::Keep => Then::Keep,
        Afterward::Shadow => Then::Shadow,
        Afterward::Promote => Then::Promote,
    };
    let (work, asset) = match (job.kind, job.asset, job.class) {
        (Kind::Train, Some(asset), None) => (Work::Train { then }, asset),
        (Kind::BackTest, Some(asset), None) => (Work::BackTest { version }, asset),
        (Kind::TrainClass, None, Some(class)) => {
            let class = class.to_lowercase();
            (Work::TrainClass { class, then }, String::new())
        }
        (Kind::TrainLife, None, Some(class)) => {
            let class = class.to_lowercase();
            let promote = then == Then::Promote;
            (Work::TrainLife { class, promote }, String::new())
        }
        (Kind::TrainClass | Kind::TrainLife, ..) => {
            let text = "a class is learned by its name alone: say `class` and no `asset`";
            return Err(Problem::new(problem::INVALID, text).field("/class", text));
        }
        (Kind::Train | Kind::BackTest, ..) => {
            let text = "the job is about one asset: say `asset` and no `class`";
            return Err(Problem::new(problem::INVALID, text).field("/asset", text));
        }
    };
    let request = JobRequest {
        work,
        asset: match asset.is_empty() {
            true => asset,
            false => tag(&state, asset).await?,
        },
        from: job.from.0,
        to: job.to.0,
        by: "api".to_owned(),
        key,
    };
    let begun = state.detection.begin_job(request);
    Ok(Json(begun.map_err(problem::of_job)?.into()))
}

/// Lists the jobs of the last time, the oldest first.
#[utoipa::path(get, path = "/detect/jobs", operation_id = "list_detect_jobs", tag = "telemetry",
    params(Part), responses((status = 200, body = Page<DetectJob>)))]
pub async fn jobs(
    State(state): State<ApiState>,
    Parameters(part): Parameters<Part>,
) -> Result<Page<DetectJob>, Problem> {
    let window = part.window("detect_jobs")?;
    let mut jobs = state.detection.jobs();
    jobs.reverse();
    let key = |job: &JobReport| format!("{:020}", job.number);
    Ok(window.page_of_all(jobs, key).map(DetectJob::from))
}

/// Reads one job.
#[utoipa::path(get, path = "/detect/jobs/{number}", operation_id = "get_detect_job",
    tag = "telemetry", params(("number" = u64, Path, description = "Number of the job")),
    responses((status = 200, body = DetectJob)))]
pub async fn job(
    State(state): State<ApiState>,
    Path(number): Path<u64>,
) -> Result<Json<DetectJob>, Problem> {
    let found = state.detection.job(number);
    Ok(Json(found.map_err(problem::of_job)?.into()))
}

/// Tells a job to stop. One that has ended stays as it is.
#[utoipa::path(post, path = "/detect/jobs/{number}/cancel", operation_id = "cancel_detect_job",
    tag = "telemetry", params(KeyOptional, ("number" = u64, Path, description = "Number of the job")),
    responses((status = 200, body = DetectJob)))]
pub async fn cancel(
    State(state): State<ApiState>,
    Path(number): Path<u64>,
) -> Result<Json<DetectJob>, Problem> {
    let found = state.detection.cancel_job(number);
    Ok(Json(found.map_err(problem::of_job)?.into()))
}

/// The tag of an asset; what is not registered is taken for one.
async fn tag(state: &ApiState, asset: String) -> Result<String, Problem> {
    let mut connection = state.connection().await?;
    let registered = assets::find(&mut connection, &asset).await?;
    Ok(registered.map_or(asset, |asset| asset.tag))
}

impl ModelVersion {
    fn of(record: ModelRecord, live: Option<&str>) -> Self {
        let model = record.model;
        let promotions = record.promotions.into_iter().map(|one| Promotion {
            by: one.by,
            at: one.at.into(),
        });
        Self {
            in_use: live == Some(model.version.as_str()),
            version: model.version,
            asset: model.asset,
            class: model.class,
            made_by: record.made_by,
            made_at: record.made_at.into(),
            trained_from: model.trained_from.into(),
            trained_through: model.trained_through.into(),
            windows: model.windows,
            features: model.features.iter().map(|one| one.name()).collect(),
            evaluation: serde_json::to_value(&model.evaluation).unwrap_or_default(),
            parameters: record.parameters,
            promotions: promotions.collect(),
        }
    }
}

impl From<ShadowReport> for Shadow {
    fn from(report: ShadowReport) -> Self {
        Self {
            asset: report.asset,
            version: report.version,
            in_use: report.live,
            since: report.since.map(Instant),
            windows: report.windows,
            out_of_band: report.out_of_band,
            in_use_out_of_band: report.live_out_of_band,
            alarms: report.alarms,
            in_use_alarms: report.live_alarms,
        }
    }
}

impl From<JobReport> for DetectJob {
    fn from(report: JobReport) -> Self {
        let (version, back_test) = match report.result {
            Some(
                JobResult::Trained { version }
                | JobResult::TrainedClass { version, .. }
                | JobResult::TrainedLife { version, .. },
            ) => (Some(version), None),
            Some(JobResult::BackTest(found)) => {
                (Some(found.version.clone()), Some(BackTest::from(*found)))
            }
            None => (None, None),
        };
        let (kind, asset, class) = match report.request.work {
            Work::Train { .. } => (Kind::Train, Some(report.request.asset), None),
            Work::BackTest { .. } => (Kind::BackTest, Some(report.request.asset), None),
            Work::TrainClass { class, .. } => (Kind::TrainClass, None, Some(class)),
            Work::TrainLife { class, .. } => (Kind::TrainLife, None, Some(class)),
        };
        Self {
            number: report.number,
            kind,
            asset,
            class,
            assets_done: report.assets.map(|(done, _)| done),
            assets: report.assets.map(|(_, all)| all),
            from: report.request.from.into(),
            to: report.request.to.into(),
            state: report.state.as_str(),
            progress: report.progress,
            asked_at: report.asked_at.into(),
            ended_at: report.ended_at.map(Instant),
            failure: report.failure,
            version,
            back_test,
        }
    }
}
