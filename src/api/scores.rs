//! `/assets/{id}/scores`: what the detectors have said of an asset lately.

use axum::extract::{Path, State};
use fieldwright_analytics::detect::AssetScore;
use fieldwright_workorders::registry::assets as registry;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{Page, Parameters, Part};
use super::problem::Problem;
use super::state::ApiState;
use super::wire::Instant;

/// What one detector said of one window.
#[derive(Debug, Serialize, ToSchema)]
pub struct Score {
    /// Event time of the window's end.
    time: Instant,
    /// The detector.
    #[schema(example = "pca")]
    detector: String,
    /// Its statistic in multiples of its alarm limit; null when that has no bound.
    ratio: Option<f64>,
    /// The score, 0 to 1; one half is the alarm limit.
    score: f64,
    /// Whether the asset was out of its band: over the limit, or not yet below the release again.
    out_of_band: bool,
    /// Whether that had lasted for the minimum duration.
    alarm: bool,
    /// The model behind it.
    model: String,
    /// How often late readings have revised it; `out_of_band` and `alarm` stay what they were.
    revision: u8,
}

/// Lists what the detectors have said of an asset, oldest first: the last 512 scores since the
/// service was started.
#[utoipa::path(get, path = "/assets/{id}/scores", operation_id = "list_scores", tag = "telemetry",
    params(("id" = String, Path, description = "Id or tag of the asset"), Part),
    responses((status = 200, body = Page<Score>)))]
pub async fn list(
    State(state): State<ApiState>,
    Path(id_or_tag): Path<String>,
    Parameters(part): Parameters<Part>,
) -> Result<Page<Score>, Problem> {
    let window = part.window("scores")?;
    let mut connection = state.connection().await?;
    let asset = registry::get(&mut connection, &id_or_tag).await?;
    drop(connection);
    let scores = state.detection.scores(&asset.tag).unwrap_or_default();
    let key = |score: &AssetScore| {
        let micros = score.time.timestamp_micros();
        format!("{micros:020} {}", score.detector)
    };
    Ok(window.page_of_all(scores, key).map(Score::from))
}

impl From<AssetScore> for Score {
    fn from(score: AssetScore) -> Self {
        Self {
            time: score.time.into(),
            detector: score.detector,
            ratio: score.ratio.is_finite().then_some(score.ratio),
            score: score.score,
            out_of_band: score.out_of_band,
            alarm: score.alarm,
            model: score.model,
            revision: score.revision,
        }
    }
}
