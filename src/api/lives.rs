//! `/models/lives/…`: versions of the models of remaining life.

use axum::Json;
use axum::extract::State;
use fieldwright_analytics::detect::LifeRecord;
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

/// A version of a class's model of remaining life.
#[derive(Debug, Serialize, ToSchema)]
pub struct LifeModelVersion {
    /// Its name.
    version: String,
    /// The class.
    class: String,
    /// Whether it is the one in use.
    in_use: bool,
    /// Who asked for it.
    made_by: String,
    /// When.
    made_at: Instant,
    /// When the first of the lives that it learned from began.
    trained_from: Instant,
    /// When the last of them ended.
    trained_through: Instant,
    /// Lives that it learned from.
    lives: usize,
    /// Their readings.
    readings: usize,
    /// Ways of running that it knows.
    regimes: usize,
    /// Lives that it was not learned from, and why; the first hundred.
    left_out: Vec<LeftOutLife>,
    /// The metrics that it looks at.
    metrics: Vec<String>,
    /// The setting channels that it looks at.
    settings: Vec<String>,
    /// How good it was on lives that it had not seen.
    evaluation: LifeModelEvaluation,
    /// How it was learned.
    #[schema(value_type = Object)]
    parameters: Value,
    /// When it was put in use, the latest last.
    promotions: Vec<Promotion>,
}

/// How good predictions were for lives left out of the fit, with truths up to the cap.
#[derive(Debug, Serialize, ToSchema)]
pub struct LifeModelEvaluation {
    /// Predictions.
    predictions: usize,
    /// Root mean square error. **Units**: hours.
    rmse_h: f64,
    /// Mean of predicted less true. **Units**: hours.
    bias_h: f64,
    /// Share of the truths that lay in their intervals, 0 to 1.
    coverage: f64,
    /// Mean width of the intervals. **Units**: hours.
    mean_width_h: f64,
}

/// A life that a model was not learned from.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeftOutLife {
    /// Tag of its asset.
    asset: String,
    /// Why.
    reason: String,
}

/// A version of a class's model of remaining life.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LifeModelVersionRequest)]
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

/// Lists the versions of a class's model of remaining life: candidates, the one in use, and former
/// ones.
#[utoipa::path(get, path = "/models/lives/versions", operation_id = "list_life_model_versions",
    tag = "telemetry", params(Which),
    responses((status = 200, body = Page<LifeModelVersion>)))]
pub async fn versions(
    State(state): State<ApiState>,
    Parameters(which): Parameters<Which>,
) -> Result<Page<LifeModelVersion>, Problem> {
    let window = Window::read("life_model_versions", which.limit, which.cursor.as_deref())?;
    let class = which.class.to_lowercase();
    let found = state.detection.life_versions(&class).await;
    let (mut all, live) = found.map_err(problem::of_version)?;
    let key = |record: &LifeRecord| record.model.version.clone();
    all.sort_by_cached_key(key);
    let page = window.page_of_all(all, key);
    Ok(page.map(|record| LifeModelVersion::of(record, live.as_deref())))
}

/// Puts a version of a class's model of remaining life in use for all of its assets: a candidate, or
/// a former one again.
#[utoipa::path(post, path = "/models/lives/promote", operation_id = "promote_life_model",
    tag = "telemetry", params(KeyOptional), request_body = Named,
    responses((status = 200, body = LifeModelVersion)))]
pub async fn promote(
    State(state): State<ApiState>,
    command: Command<Named>,
) -> Result<Json<LifeModelVersion>, Problem> {
    let Named { class, version } = command.body;
    let class = class.to_lowercase();
    let promoted = state.detection.promote_life(&class, &version, "api").await;
    let record = promoted.map_err(problem::of_version)?;
    Ok(Json(LifeModelVersion::of(record, Some(&version))))
}

impl LifeModelVersion {
    fn of(record: LifeRecord, live: Option<&str>) -> Self {
        let model = record.model;
        let promotions = record.promotions.into_iter().map(|one| Promotion {
            by: one.by,
            at: one.at.into(),
        });
        let left_out = record.left_out.into_iter();
        Self {
            in_use: live == Some(model.version.as_str()),
            regimes: model.regimes(),
            version: model.version,
            class: model.class,
            made_by: record.made_by,
            made_at: record.made_at.into(),
            trained_from: model.trained_from.into(),
            trained_through: model.trained_through.into(),
            lives: model.lives,
            readings: model.readings,
            left_out: left_out
                .map(|(asset, reason)| LeftOutLife { asset, reason })
                .collect(),
            metrics: model.declared.metrics,
            settings: model.declared.settings,
            evaluation: LifeModelEvaluation {
                predictions: model.evaluation.predictions,
                rmse_h: model.evaluation.rmse,
                bias_h: model.evaluation.bias,
                coverage: model.evaluation.coverage,
                mean_width_h: model.evaluation.width,
            },
            parameters: record.parameters,
            promotions: promotions.collect(),
        }
    }
}
