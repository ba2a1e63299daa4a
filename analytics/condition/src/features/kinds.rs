//! What can be computed from the values of one metric in one window, as a class declares it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::span::Span;

/// What is computed from the values of one metric in one window.
///
/// A definition never changes its meaning without another [`super::VERSION`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// The mean.
    Mean,
    /// The natural logarithm of the standard deviation: how lively the metric is.
    LogStd,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The root mean square, with the level.
    Rms,
    /// From the least value to the greatest.
    PeakToPeak,
    /// The greatest distance from the mean in standard deviations: impacts of a bearing raise it
    /// before they raise the deviation. **Units**: none.
    CrestFactor,
    /// The line of least squares through the values by event time.
    /// **Units**: those of the metric per hour.
    Slope,
    /// The mean of this window and all before it, older ones weighing less.
    Ewma(Ewma),
    /// What a band of frequencies adds to the root mean square.
    Band(Band),
    /// The same of the envelope of a band: of what modulates a carrier, as the rolling elements of
    /// a damaged bearing do the resonance of its housing.
    Envelope(Envelope),
}

/// A mean that forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ewma {
    /// After which a window weighs half. **Units**: event time.
    pub half_life: Span,
}

/// A band of frequencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// First frequency that belongs to it.
    pub from_hz: Hertz,
    /// First frequency that does not.
    pub to_hz: Hertz,
}

/// A band of the envelope of another band.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// First frequency of the modulation that belongs to it.
    pub from_hz: Hertz,
    /// First frequency of the modulation that does not.
    pub to_hz: Hertz,
    /// First frequency of the carrier that belongs to it.
    pub carrier_from_hz: Hertz,
    /// First frequency of the carrier that does not.
    pub carrier_to_hz: Hertz,
}

/// A frequency; written in Hz, known to the millihertz, so that features can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Hertz(u64);

/// The highest frequency: readings know their time to the microsecond.
const HIGHEST_HZ: f64 = 500_000.0;

impl Hertz {
    /// **Units**: Hz.
    pub fn get(self) -> f64 {
        self.into()
    }
}

impl TryFrom<f64> for Hertz {
    type Error = String;

    fn try_from(hertz: f64) -> Result<Self, String> {
        if !(0.0..=HIGHEST_HZ).contains(&hertz) {
            return Err(format!(
                "{hertz} is no frequency; write Hz from 0 to {HIGHEST_HZ}"
            ));
        }
        let millis = (hertz * 1e3).round();
        if (millis - hertz * 1e3).abs() > 1e-6 {
            return Err(format!(
                "{hertz} Hz is finer than a thousandth of a Hz; round it"
            ));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, and from 0 to 5·10⁸"
        )]
        Ok(Self(millis as u64))
    }
}

impl From<Hertz> for f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most 5·10⁸")]
    fn from(hertz: Hertz) -> Self {
        hertz.0 as f64 / 1e3
    }
}

impl fmt::Display for Hertz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.get())
    }
}

impl FeatureKind {
    /// Whether the readings of a window have to be kept for it, one by one.
    pub fn is_spectral(self) -> bool {
        matches!(self, Self::Band(_) | Self::Envelope(_))
    }

    /// Whether a reading by itself has none.
    pub fn needs_window(self) -> bool {
        self.is_spectral() || matches!(self, Self::PeakToPeak | Self::CrestFactor | Self::Slope)
    }

    /// Whether count, mean and deviation of a window are enough for it.
    pub fn is_of_moments(self) -> bool {
        matches!(self, Self::Mean | Self::LogStd | Self::Rms | Self::Ewma(_))
    }

    /// The unit, when the metric has one.
    pub fn unit(self, metric: &str) -> String {
        match self {
            Self::LogStd => format!("ln {metric}"),
            Self::CrestFactor => "1".to_owned(),
            Self::Slope => format!("{metric}/h"),
            Self::Band(_) | Self::Envelope(_) => format!("{metric} rms"),
            Self::Mean | Self::Min | Self::Max | Self::Rms | Self::PeakToPeak | Self::Ewma(_) => {
                metric.to_owned()
            }
        }
    }

    /// What is wrong with it in windows of so many microseconds, a sentence each.
    pub fn mistakes(self, window: i64) -> Vec<String> {
        let mut found = Vec::new();
        let mut check = |right: bool, text: String| {
            if !right {
                found.push(format!("features: {self}: {text}"));
            }
        };
        if self.needs_window() {
            let text = "a window of 0s has only one reading; give it a length";
            check(window > 0, text.to_owned());
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "spans are far below 2^52 microseconds"
        )]
        let finest = 1e6 / window.max(1) as f64;
        let mut band = |name: &str, from: Hertz, to: Hertz| {
            check(
                from < to,
                format!("{name}from_hz must be below {name}to_hz"),
            );
            check(
                from >= to || window == 0 || to.get() - from.get() >= finest,
                format!(
                    "{from} to {to} Hz is narrower than the {finest} Hz that its window can tell \
                     apart; widen the band or lengthen the window"
                ),
            );
        };
        match self {
            Self::Ewma(own) => check(
                own.half_life.micros() > 0,
                "half_life must be longer than 0s".to_owned(),
            ),
            Self::Band(own) => band("", own.from_hz, own.to_hz),
            Self::Envelope(own) => {
                band("", own.from_hz, own.to_hz);
                band("carrier_", own.carrier_from_hz, own.carrier_to_hz);
                let width = own.carrier_to_hz.get() - own.carrier_from_hz.get();
                check(
                    own.to_hz.get() <= width,
                    format!(
                        "to_hz is {}, but a carrier band of {width} Hz carries no faster modulation",
                        own.to_hz
                    ),
                );
            }
            _ => {}
        }
        found
    }
}

impl fmt::Display for FeatureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("mean"),
            Self::LogStd => f.write_str("log std"),
            Self::Min => f.write_str("min"),
            Self::Max => f.write_str("max"),
            Self::Rms => f.write_str("rms"),
            Self::PeakToPeak => f.write_str("peak to peak"),
            Self::CrestFactor => f.write_str("crest factor"),
            Self::Slope => f.write_str("slope per hour"),
            Self::Ewma(own) => write!(f, "ewma {}", own.half_life),
            Self::Band(own) => write!(f, "band {} to {} Hz, rms", own.from_hz, own.to_hz),
            Self::Envelope(own) => write!(
                f,
                "envelope {} to {} Hz of {} to {} Hz, rms",
                own.from_hz, own.to_hz, own.carrier_from_hz, own.carrier_to_hz
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::settings::tests::settings;
    use crate::settings::Kinds;

    /// The mistakes of a class with these settings.
    #[track_caller]
    fn check(own: &str, expected: &[&str]) {
        let found = settings(own).mistakes();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, part) in found.iter().zip(expected) {
            assert!(found.contains(part), "{found}");
        }
    }

    /// Settings that cannot be read.
    #[track_caller]
    fn refused(own: &str, expected: &str) {
        let own: serde_json::Map<_, _> = toml::from_str(own).unwrap();
        let error = Kinds::shipped().complete(own).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn features_are_readable_toml_and_mistakes_are_named() {
        check(
            "features = ['mean', 'min', 'max', 'rms', 'peak_to_peak', 'crest_factor', 'slope', \
             { ewma = { half_life = '2h' } }, { band = { from_hz = 10, to_hz = 20.5 } }, \
             { envelope = { from_hz = 90, to_hz = 110, carrier_from_hz = 2000, carrier_to_hz = 4000 } }]",
            &[],
        );
        check("features = []", &["features is empty"]);
        check("features = ['mean', 'mean']", &["`mean` is named twice"]);
        check(
            "features = [{ ewma = { half_life = '0s' } }]",
            &["half_life must be longer"],
        );
        check(
            "features = [{ band = { from_hz = 20, to_hz = 10 } }]",
            &["from_hz must be below to_hz"],
        );
        check(
            "window = '1s'\nstep = '1s'\nlearning = '1h'\nfeatures = [{ band = { from_hz = 10, to_hz = 10.5 } }]",
            &["narrower than the 1 Hz"],
        );
        let envelope = "features = [{ envelope = { from_hz = 90, to_hz = 110, carrier_from_hz = 200, carrier_to_hz = 300 } }]";
        check(envelope, &["no faster modulation"]);
        check(
            "judge = 'reading'\nfeatures = [{ band = { from_hz = 1, to_hz = 2 } }]",
            &["judge = \"step\""],
        );
        check(
            "judge = 'reading'\nwindow = '0s'\nfeatures = ['slope']",
            &["a window of 0s"],
        );
        refused("features = ['median']", "unknown variant `median`");
        refused("features = [{ band = { from_hz = 10 } }]", "to_hz");
        refused(
            "features = [{ band = { from_hz = -1, to_hz = 2 } }]",
            "no frequency",
        );
        refused(
            "features = [{ band = { from_hz = 0.0001, to_hz = 2 } }]",
            "finer than a thousandth",
        );
    }

    #[test]
    fn a_feature_survives_json() {
        let own = settings(
            "features = ['slope', { band = { from_hz = 0.1, to_hz = 24.305 } }, { ewma = { half_life = '90s' } }]",
        );
        let text = serde_json::to_string(&own.features).unwrap();
        let read: Vec<super::FeatureKind> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, own.features);
        let names: Vec<String> = read.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            ["slope per hour", "band 0.1 to 24.305 Hz, rms", "ewma 1m30s"]
        );
        assert_eq!(read[0].unit("°C"), "°C/h");
        assert_eq!(read[1].unit("mm/s"), "mm/s rms");
    }
}
