//! Health: one index from 0 to 100 per asset and per component, with its reasons, and how it adds
//! up over a tree of functional locations.
//!
//! The index is a falling curve of the ratio to the alarm limit: 100 far below it, 50 at the
//! limit, 20 at twice and 6 at four times the limit. It is made of the ratio's smoothed course,
//! so that a single window does not move it by much.

use super::detector::Contribution;
use super::features::Feature;

/// Contributions below this share give no reason.
const LEAST_SHARE: f64 = 0.1;
/// Indexes below are not told apart.
const LEAST_INDEX: f64 = 0.25;
/// Reasons that are given at most.
const MAX_REASONS: usize = 4;

/// The index of a ratio to the alarm limit: 50 at the limit.
pub fn index(ratio: f64) -> f64 {
    100.0 / (1.0 + ratio.max(0.0).powi(2))
}

/// The ratio to the alarm limit that an index stands for: 1 at 50. An index of 0 is that of the
/// least one that is told apart.
pub fn ratio(index: f64) -> f64 {
    (100.0 / index.clamp(LEAST_INDEX, 100.0) - 1.0).sqrt()
}

/// A part of an asset and the metrics that tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// The metrics that tell of it.
    pub metrics: Vec<String>,
}

/// How something is.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthIndex {
    /// 0 to 100; 50 is the alarm limit.
    pub index: f64,
    /// Why it is not higher, the weightiest first; empty when nothing stands out.
    pub reasons: Vec<Reason>,
}

/// What makes an index low.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// The metric, the component, or what lies below in the tree.
    pub of: String,
    /// Its share of what is missing to 100, 0 to 1.
    pub share: f64,
    /// One sentence for people, with units where they are known.
    pub text: String,
}

/// What one detector says of an asset just now.
#[derive(Debug, Clone, PartialEq)]
pub struct Said<'a> {
    /// The detector.
    pub detector: &'a str,
    /// Its smoothed ratio to the alarm limit.
    pub ratio: f64,
    /// What its features add.
    pub contributions: &'a [Contribution],
    /// The features.
    pub features: &'a [Feature],
}

/// The index of an asset: that of the detector that is farthest out.
pub fn of_asset(said: &[Said<'_>]) -> Option<HealthIndex> {
    let worst = said.iter().max_by(|a, b| a.ratio.total_cmp(&b.ratio))?;
    let named = worst
        .contributions
        .iter()
        .filter(|part| part.share >= LEAST_SHARE);
    let reasons = named.take(MAX_REASONS).map(|part| reason(worst, part));
    Some(HealthIndex {
        index: index(worst.ratio),
        // Inside its band an asset needs no excuse.
        reasons: if worst.ratio < 0.5 {
            Vec::new()
        } else {
            reasons.collect()
        },
    })
}

/// The index of a component: of the part of the deviation that its metrics add.
///
/// A contribution is a share of a statistic, so that a component that adds nothing stays at 100
/// however far out its asset is. `None` when no detector looks at its metrics.
pub fn of_component(component: &Component, said: &[Said<'_>]) -> Option<HealthIndex> {
    let mut worst: Option<HealthIndex> = None;
    for one in said {
        let belongs = |part: &&Contribution| {
            let feature = one.features.get(part.feature);
            feature.is_some_and(|feature| component.metrics.contains(&feature.metric))
        };
        let looked_at = one.features.iter();
        if !looked_at
            .map(|feature| &feature.metric)
            .any(|metric| component.metrics.contains(metric))
        {
            continue;
        }
        let parts: Vec<&Contribution> = one.contributions.iter().filter(belongs).collect();
        let share: f64 = parts.iter().map(|part| part.share).sum();
        let ratio = one.ratio * share.min(1.0);
        let named = parts.iter().filter(|part| part.share >= LEAST_SHARE);
        let found = HealthIndex {
            index: index(ratio),
            reasons: if ratio < 0.5 {
                Vec::new()
            } else {
                named
                    .take(MAX_REASONS)
                    .map(|part| reason(one, part))
                    .collect()
            },
        };
        if worst.as_ref().is_none_or(|worst| found.index < worst.index) {
            worst = Some(found);
        }
    }
    worst
}

fn reason(said: &Said<'_>, part: &Contribution) -> Reason {
    let name = said
        .features
        .get(part.feature)
        .map_or_else(|| "a feature".to_owned(), Feature::name);
    Reason {
        text: format!(
            "{name} is {:.4} where {:.4} is expected ({:+.1} deviations, {})",
            part.observed, part.expected, part.deviations, said.detector
        ),
        of: name,
        share: part.share,
    }
}

/// One thing below another in the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Below {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: f64,
    /// 1 nobody notices a failure, 5 production stops.
    pub criticality: i64,
}

/// The index of a place in the tree: what lies below pulls it down, each by what it lacks, in
/// proportion to its criticality; the weakest counts.
///
/// An asset whose failure nobody notices (1) pulls its site down by a fifth of what it lacks, one
/// that stops production (5) by all of it. `None` when nothing below has an index.
pub fn of_place(below: &[Below]) -> Option<HealthIndex> {
    let pull = |one: &Below| {
        let weight = match one.criticality {
            ..=1 => 0.2,
            2 => 0.4,
            3 => 0.6,
            4 => 0.8,
            _ => 1.0,
        };
        weight * (100.0 - one.index)
    };
    let mut pulls: Vec<(f64, &Below)> = below.iter().map(|one| (pull(one), one)).collect();
    pulls.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
    let (most, _) = pulls.first()?;
    let total: f64 = pulls.iter().map(|(pull, _)| pull).sum();
    let reasons = pulls
        .iter()
        .filter(|(pull, _)| *pull >= 20.0)
        .take(MAX_REASONS)
        .map(|(pull, one)| Reason {
            of: one.name.clone(),
            share: pull / total,
            text: format!(
                "{} is at {:.0} of 100, criticality {}",
                one.name, one.index, one.criticality
            ),
        });
    Some(HealthIndex {
        index: 100.0 - most,
        reasons: reasons.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::settings::FeatureKind;
    use super::*;

    fn features() -> Vec<Feature> {
        ["vibration_mm_s", "bearing_temp_c", "flow_m3h"]
            .map(|metric| Feature {
                metric: metric.to_owned(),
                kind: FeatureKind::Mean,
            })
            .to_vec()
    }

    fn parts(shares: [f64; 3]) -> Vec<Contribution> {
        let part = |(feature, share): (usize, f64)| Contribution {
            feature,
            share,
            observed: 7.5,
            expected: 3.0,
            deviations: 4.0,
        };
        shares.into_iter().enumerate().map(part).collect()
    }

    #[test]
    fn the_limit_is_the_middle_of_the_scale() {
        assert_eq!(index(0.0), 100.0);
        assert_eq!(index(1.0), 50.0);
        assert_eq!(index(2.0), 20.0);
        assert!(index(f64::INFINITY) == 0.0);
    }

    #[test]
    fn an_index_leads_back_to_its_ratio() {
        for expected in [0.0, 0.5, 1.0, 2.0, 10.0] {
            assert!((ratio(index(expected)) - expected).abs() < 1e-9);
        }
        assert!(ratio(0.0).is_finite());
    }

    #[test]
    fn the_component_whose_metrics_deviate_is_the_sick_one() {
        let (features, contributions) = (features(), parts([0.7, 0.25, 0.05]));
        let said = [Said {
            detector: "pca",
            ratio: 3.0,
            contributions: &contributions,
            features: &features,
        }];
        let component = |name: &str, metrics: &[&str]| Component {
            name: name.to_owned(),
            metrics: metrics.iter().map(|metric| (*metric).to_owned()).collect(),
        };
        let asset = of_asset(&said).unwrap();
        let bearing = component("bearing", &["vibration_mm_s", "bearing_temp_c"]);
        let bearing = of_component(&bearing, &said).unwrap();
        let hydraulics = of_component(&component("hydraulics", &["flow_m3h"]), &said).unwrap();
        assert_eq!(asset.index, 10.0);
        assert_eq!(asset.reasons[0].of, "vibration_mm_s");
        assert!(
            bearing.index < 12.0 && hydraulics.index > 97.0,
            "{bearing:?} {hydraulics:?}"
        );
        assert!(hydraulics.reasons.is_empty());
        assert_eq!(of_component(&component("brake", &["force_n"]), &said), None);
    }

    /// Each as `index/criticality`; the index of the place and who pulls it down.
    #[track_caller]
    fn check(below: &str, expected: f64, pulled_by: &str) {
        let below: Vec<Below> = below
            .split_whitespace()
            .enumerate()
            .map(|(at, text)| {
                let (index, criticality) = text.split_once('/').unwrap();
                Below {
                    name: char::from(b'a' + u8::try_from(at).unwrap()).to_string(),
                    index: index.parse().unwrap(),
                    criticality: criticality.parse().unwrap(),
                }
            })
            .collect();
        let found = of_place(&below).unwrap();
        assert!((found.index - expected).abs() < 1e-9, "{found:?}");
        let names: Vec<&str> = found.reasons.iter().map(|r| r.of.as_str()).collect();
        assert_eq!(names.join(" "), pulled_by);
    }

    #[test]
    fn the_weakest_counts_by_its_criticality() {
        check("100/5 100/1", 100.0, "");
        check("50/5 95/3", 50.0, "a");
        check("20/1 90/5", 84.0, "");
        check("20/1 60/5 30/3", 58.0, "c b");
        assert_eq!(of_place(&[]), None);
    }
}
