//! `/models/classes/…`: versions of the models of classes that learn as a whole.

use axum::Json;
use axum::extract::State;
use fieldwright_analytics::detect::ClassRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::command::Command;
use super::idempotency::KeyOptional;
use super::models::Promotion;
use super::page::{Page, Parameters, Window};
use super::problem::{self, Problem};
use super::state::ApiState;
use super::wire::Instant;

/// A version of a class's model.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClassModelVersion {
    /// Its name.
    version: String,
    /// The class.
    class: String,
    /// Whether it is the one in use.
    in_use: bool,
    /// Who asked for it; `learning` when the first learning period of the class was over.
    made_by: String,
    /// When.
    made_at: Instant,
    /// Event time of the first window that it learned from.
    trained_from: Instant,
    /// Event time of the end of the last one.
    trained_through: Instant,
    /// Assets whose windows the detectors were fitted on.
    fitted_on_assets: usize,
    /// How many windows that were.
    windows: usize,
    /// Assets that it could judge when it was learned.
    assets: usize,
    /// Assets that it could not, and why; the first hundred.
    left_out: Vec<LeftOutAsset>,
    /// What it looks at.
    features: Vec<String>,
    /// By detector: what it says of the windows that it was fitted on.
    #[schema(value_type = Object)]
    evaluation: Value,
    /// The settings of the class that it was learned with.
    #[schema(value_type = Object)]
    parameters: Value,
    /// When it was put in use, the latest last.
    promotions: Vec<Promotion>,
}

/// An asset that a class's model cannot judge.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeftOutAsset {
    /// Its tag.
    asset: String,
    /// Why.
    reason: String,
}

/// A version of a class's model.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ClassModelVersionRequest)]
pub struct Named {
    /// The class.
    class: String,
    /// The version.
    version: String,
}

/// Of which class.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// The class.
    class: String,
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the versions of a class's model: candidates, the one in use, and former ones.
#[utoipa::path(get, path = "/models/classes/versions", operation_id = "list_class_model_versions",
    tag = "telemetry", params(Which),
    responses((status = 200, body = Page<ClassModelVersion>)))]
pub async fn versions(
    State(state): State<ApiState>,
    Parameters(which): Parameters<Which>,
) -> Result<Page<ClassModelVersion>, Problem> {
    let window = Window::read("class_model_versions", which.limit, which.cursor.as_deref())?;
    let class = which.class.to_lowercase();
    let found = state.detection.class_versions(&class);
    let (mut all, live) = found.map_err(problem::of_version)?;
    let key = |record: &ClassRecord| record.model.version.clone();
    all.sort_by_cached_key(key);
    let page = window.page_of_all(all, key);
    Ok(page.map(|record| ClassModelVersion::of(record, live.as_deref())))
}

/// Puts a version of a class's model in use for all of its assets: a candidate, or a former one
/// again.
#[utoipa::path(post, path = "/models/classes/promote", operation_id = "promote_class_model",
    tag = "telemetry", params(KeyOptional), request_body = Named,
    responses((status = 200, body = ClassModelVersion)))]
pub async fn promote(
    State(state): State<ApiState>,
    command: Command<Named>,
) -> Result<Json<ClassModelVersion>, Problem> {
    let Named { class, version } = command.body;
    let class = class.to_lowercase();
    let promoted = state.detection.promote_class(&class, &version, "api").await;
    let record = promoted.map_err(problem::of_version)?;
    Ok(Json(ClassModelVersion::of(record, Some(&version))))
}

impl ClassModelVersion {
    fn of(record: ClassRecord, live: Option<&str>) -> Self {
        let model = record.model;
        let promotions = record.promotions.into_iter().map(|one| Promotion {
            by: one.by,
            at: one.at.into(),
        });
        let left_out = record.left_out.into_iter();
        Self {
            in_use: live == Some(model.version.as_str()),
            version: model.version,
            class: model.class,
            made_by: record.made_by,
            made_at: record.made_at.into(),
            trained_from: model.trained_from.into(),
            trained_through: model.trained_through.into(),
            fitted_on_assets: model.assets,
            windows: model.windows,
            assets: record.members,
            left_out: left_out
                .map(|(asset, reason)| LeftOutAsset { asset, reason })
                .collect(),
            features: model.features.iter().map(|one| one.name()).collect(),
            evaluation: serde_json::to_value(&model.evaluation).unwrap_or_default(),
            parameters: record.parameters,
            promotions: promotions.collect(),
        }
    }
}
