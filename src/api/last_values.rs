//! The last value of every metric, as the pipeline keeps it in memory.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use fieldwright_ingest::last_values::{ClassLastValues, LastValue};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::{Page, Parameters, Window};
use super::problem::Problem;
use super::state::ApiState;
use super::wire::Instant;

/// The last values of one asset under one class.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AssetLastValues)]
pub struct AssetLast {
    /// The asset's tag.
    asset: String,
    /// Its class.
    class: String,
    /// A value for each metric.
    values: Vec<Last>,
}

/// The last values of one asset.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LastValuesOfAsset)]
pub struct OfAsset {
    /// The asset's tag.
    asset: String,
    /// One entry for each class that has readings of it; most assets have one.
    classes: Vec<AssetLast>,
}

/// The last value of one metric.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LastValue)]
pub struct Last {
    /// The metric.
    metric: String,
    /// The value where it is a number.
    value: Option<f64>,
    /// The value where it is text.
    text: Option<String>,
    /// `good`, `uncertain` or `bad`.
    quality: &'static str,
    /// Its unit, where one is known.
    unit: Option<String>,
    /// When it was measured.
    time: Instant,
    /// When it was received.
    received_at: Instant,
    /// How old it is by the business clock, in seconds.
    age_s: f64,
}

/// Which assets.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only assets of this class.
    class: Option<String>,
    /// Only this asset.
    asset: Option<String>,
    /// How many assets at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The last values of assets, by class and tag.
#[utoipa::path(get, path = "/last-values", operation_id = "list_last_values", tag = "telemetry",
    params(Filter), responses((status = 200, body = Page<AssetLast>)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Page<AssetLast>>, Problem> {
    let window = Window::read("last_values", filter.limit, filter.cursor.as_deref())?;
    let now = state.clock.now();
    let (_, last) = state.ingest.snapshots().load_with_last();
    let class = filter.class.map(|class| class.to_lowercase());
    let chosen = last.classes().filter(|found| {
        class
            .as_deref()
            .is_none_or(|class| **found.class() == *class)
    });
    let mut found: Vec<(String, &ClassLastValues, u32)> = Vec::new();
    for class in chosen {
        let numbers: Vec<u32> = match &filter.asset {
            Some(tag) => class.find(tag).into_iter().collect(),
            None => (0..u32::try_from(class.assets()).unwrap_or(u32::MAX)).collect(),
        };
        for number in numbers {
            let key = key(class.class(), class.tag(number));
            let is_after = window.after.as_ref().is_none_or(|after| key > *after);
            if is_after && class.newest(number).is_some() {
                found.push((key, class, number));
            }
        }
        // Only the first of all that follow are shown; the others need not be sorted.
        let most = window.limit + 1;
        if found.len() > most {
            found.select_nth_unstable_by(most, |a, b| a.0.cmp(&b.0));
            found.truncate(most);
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let page = window.page(found, |(key, ..)| key.clone());
    Ok(Json(
        page.map(|(_, class, number)| shown(class, number, now)),
    ))
}

/// The last values of one asset.
#[utoipa::path(get, path = "/assets/{tag}/last-values", operation_id = "get_last_values",
    tag = "telemetry",
    params(("tag" = String, Path, description = "Tag of the asset")),
    responses((status = 200, body = OfAsset)))]
pub async fn of_asset(
    State(state): State<ApiState>,
    Path(tag): Path<String>,
) -> Result<Json<OfAsset>, Problem> {
    let now = state.clock.now();
    let (_, last) = state.ingest.snapshots().load_with_last();
    let classes: Vec<AssetLast> = last
        .find(&tag)
        .map(|(class, number)| shown(class, number, now))
        .collect();
    if classes.is_empty() {
        return Err(Problem::not_found("reading of the asset", &tag));
    }
    Ok(Json(OfAsset {
        asset: tag,
        classes,
    }))
}

/// Sorts by class, then by tag; no class has this letter.
fn key(class: &str, tag: &str) -> String {
    format!("{class}/{tag}")
}

fn shown(class: &ClassLastValues, number: u32, now: DateTime<Utc>) -> AssetLast {
    let values = class.values(number).into_iter();
    AssetLast {
        asset: class.tag(number).to_string(),
        class: class.class().to_string(),
        values: values.map(|value| last(value, now)).collect(),
    }
}

fn last(value: LastValue, now: DateTime<Utc>) -> Last {
    let instant = |micros: i64| {
        let instant = DateTime::from_timestamp_micros(micros);
        Instant(instant.unwrap_or(DateTime::UNIX_EPOCH))
    };
    let time = instant(value.time);
    Last {
        metric: value.metric.to_string(),
        value: value.value,
        text: value.text.map(|text| text.to_string()),
        quality: value.quality.name(),
        unit: value.unit,
        time,
        received_at: instant(value.received_at),
        age_s: (now - time.0).as_seconds_f64(),
    }
}
