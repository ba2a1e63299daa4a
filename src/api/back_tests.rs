//! What a back-test has found, as `/detect/jobs` shows it.

use fieldwright_analytics::detect::{BackTestEpisode, BackTestReport};
use serde::Serialize;
use utoipa::ToSchema;

use super::wire::Instant;

/// What a model would have said of a span of the past.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackTest {
    /// Windows that it judged.
    windows: u64,
    /// Windows that it could not judge.
    skipped: u64,
    /// Windows out of band.
    out_of_band: u64,
    /// Alarms that it would have raised.
    alarms: u64,
    /// The first 200 of them.
    episodes: Vec<Episode>,
}

/// An alarm that would have been.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackTestEpisode)]
pub struct Episode {
    /// The detector.
    detector: String,
    /// Event time of the end of the first window out of band.
    began_at: Instant,
    /// Event time at which it would have been raised.
    raised_at: Instant,
    /// Event time at which it would have returned; null when the span ended before.
    returned_at: Option<Instant>,
    /// Largest statistic in multiples of the limit.
    peak: f64,
}

impl From<BackTestReport> for BackTest {
    fn from(report: BackTestReport) -> Self {
        Self {
            windows: report.windows,
            skipped: report.skipped,
            out_of_band: report.out_of_band,
            alarms: report.alarms,
            episodes: report.episodes.into_iter().map(Episode::from).collect(),
        }
    }
}

impl From<BackTestEpisode> for Episode {
    fn from(episode: BackTestEpisode) -> Self {
        Self {
            detector: episode.detector,
            began_at: episode.began_at.into(),
            raised_at: episode.raised_at.into(),
            returned_at: episode.returned_at.map(Instant),
            peak: episode.peak,
        }
    }
}
