//! `/detect/train` and `/models`: what detectors have learned, and learning by hand.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use fieldwright_analytics::detect::ModelSummary;
use fieldwright_workorders::registry::assets;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::command::Command;
use super::idempotency::KeyOptional;
use super::page::{Page, Parameters, Window};
use super::problem::{self, Problem};
use super::state::ApiState;
use super::wire::Instant;

/// A model in use.
#[derive(Debug, Serialize, ToSchema)]
pub struct Model {
    /// Name of the very model; it stands in the evidence of every alarm.
    version: String,
    /// Tag of the asset.
    asset: String,
    /// Class of the asset.
    class: String,
    /// Its detectors, also the causes of their alarms.
    detectors: Vec<String>,
    /// By detector: by what limits that people promoted multiply its own. None: it is left out.
    limit_factors: BTreeMap<String, f64>,
    /// The version of its class's model, where the class learns as a whole; null: it has learned by
    /// itself.
    class_model: Option<String>,
    /// Event time of the first window that it learned from.
    trained_from: Instant,
    /// Event time of the end of the last one.
    trained_through: Instant,
    /// How many windows it learned from.
    windows: usize,
    /// What it looks at.
    features: Vec<String>,
}

/// What to learn from.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TrainRequest)]
pub struct Training {
    /// Id or tag of the asset.
    asset: String,
    /// Event time of the first reading to learn from.
    from: Instant,
    /// Event time before which the last one lies.
    to: Instant,
}

/// Which models.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Of the asset with this tag.
    asset: Option<String>,
    /// Of this class.
    class: Option<String>,
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Trains an asset's model on a span of its own history that was normal.
///
/// The new model takes the place of the old one, whatever the asset was doing.
#[utoipa::path(post, path = "/detect/train", operation_id = "train_model", tag = "telemetry",
    params(KeyOptional), request_body = Training, responses((status = 200, body = Model)))]
pub async fn train(
    State(state): State<ApiState>,
    command: Command<Training>,
) -> Result<Json<Model>, Problem> {
    let Training { asset, from, to } = command.body;
    let mut connection = state.connection().await?;
    let registered = assets::find(&mut connection, &asset).await?;
    // Training takes longer than a connection should be held.
    drop(connection);
    let tag = registered.map_or(asset, |asset| asset.tag);
    let trained = state.detection.train(&tag, from.0, to.0).await;
    Ok(Json(trained.map_err(problem::of_training)?.into()))
}

/// Lists the models in use.
#[utoipa::path(get, path = "/models", operation_id = "list_models", tag = "telemetry",
    params(Which), responses((status = 200, body = Page<Model>)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(which): Parameters<Which>,
) -> Result<Page<Model>, Problem> {
    let window = Window::read("models", which.limit, which.cursor.as_deref())?;
    let wanted = |model: &ModelSummary| {
        which
            .asset
            .as_ref()
            .is_none_or(|asset| *asset == model.asset)
            && which
                .class
                .as_ref()
                .is_none_or(|class| *class == model.class)
    };
    let mut models: Vec<_> = state
        .detection
        .models()
        .into_iter()
        .filter(wanted)
        .collect();
    let key = |model: &ModelSummary| format!("{}\n{}", model.asset, model.version);
    models.sort_by_cached_key(key);
    Ok(window.page_of_all(models, key).map(Model::from))
}

impl From<ModelSummary> for Model {
    fn from(model: ModelSummary) -> Self {
        Self {
            version: model.version,
            asset: model.asset,
            class: model.class,
            detectors: model.detectors,
            limit_factors: model.limit_factors,
            class_model: model.class_model,
            trained_from: model.trained_from.into(),
            trained_through: model.trained_through.into(),
            windows: model.windows,
            features: model.features,
        }
    }
}
