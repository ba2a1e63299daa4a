//! From alarms to orders: the benches tell a desk what is up; the desk decides what it is worth.

use super::super::Severity;
use super::super::settings::ClassSettings;
use super::super::watch::{Judgement, Watch};

/// What is known of a condition at one instant: an alarm that is up, or a forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The asset.
    pub asset: String,
    /// When, as the set writes its times.
    pub time: String,
    /// The same in event time. **Units**: microseconds since 1970.
    pub at: i64,
    /// The detector or the forecast.
    pub cause: String,
    /// How much it matters.
    pub severity: Severity,
    /// The statistic in multiples of its limit.
    pub ratio: f64,
    /// How long the asset has been out of its band. **Units**: microseconds of event time.
    pub persistence: i64,
    /// How many detectors that raise alarms have one up, this one included.
    pub agreeing: u32,
    /// How many such detectors watch the asset.
    pub watching: u32,
    /// Probability that the asset fails within the horizon of the economics, where it is known.
    pub failure: Option<f64>,
}

/// Who turns conditions into orders: at most one order per condition, however often it is told.
pub trait Desk {
    /// A condition is there; told again at every judgement while it lasts.
    fn up(&mut self, candidate: &Candidate);

    /// A condition is over: the next one of this asset and cause is another one.
    fn over(&mut self, asset: &str, cause: &str);
}

/// A desk that decides nothing.
#[derive(Debug, Default)]
pub struct NoDesk;

impl Desk for NoDesk {
    fn up(&mut self, _candidate: &Candidate) {}
    fn over(&mut self, _asset: &str, _cause: &str) {}
}

/// The conditions of one asset that its detectors have found, told to a desk as they come and go.
#[derive(Debug, Default)]
pub struct Conditions {
    /// By number of the detector: since when its alarm is up.
    since: Vec<Option<i64>>,
}

impl Conditions {
    /// Tells a desk what a judgement means. `time` is the instant as the set writes it.
    pub fn tell(
        &mut self,
        (asset, time): (&str, &str),
        judgement: &Judgement,
        watch: &Watch,
        settings: &ClassSettings,
        desk: &mut dyn Desk,
    ) {
        let names: Vec<&str> = watch.names().collect();
        self.since.resize(names.len(), None);
        let raises = |name: &str| settings.detectors.get(name).is_some_and(|w| w.alarms);
        let episodes: Vec<bool> = watch
            .episodes()
            .map(|(name, episode)| raises(name) && episode.is_active())
            .collect();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let agreeing = count(episodes.iter().filter(|up| **up).count());
        let watching = count(names.iter().filter(|name| raises(name)).count());
        for (at, name) in names.iter().enumerate() {
            if !episodes[at] {
                if self.since[at].take().is_some() {
                    desk.over(asset, name);
                }
                continue;
            }
            // A detector that could not judge this window has nothing new to say.
            let Some(verdict) = judgement.verdicts[at] else {
                continue;
            };
            let began = watch.began(at).unwrap_or(judgement.end);
            self.since[at] = Some(began);
            let own = settings.detectors.get(*name).and_then(|w| w.severity);
            desk.up(&Candidate {
                asset: asset.to_owned(),
                time: time.to_owned(),
                at: judgement.end,
                cause: (*name).to_owned(),
                severity: own.unwrap_or(settings.severity),
                ratio: verdict.ratio,
                persistence: judgement.end.saturating_sub(began),
                agreeing,
                watching,
                failure: None,
            });
        }
    }
}
