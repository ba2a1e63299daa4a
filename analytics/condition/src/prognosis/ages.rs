//! How likely an asset is to fail by its age, from the lives of its class.
//!
//! A life begins when an asset is installed and begins anew when a failure was mended; what has not
//! failed yet counts with the age that it has reached. One Weibull distribution per class.
//!
//! **Units**: days.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::weibull::{Lifetime, Weibull, WeibullError};

/// What is known of one asset's lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetLives {
    /// Its tag.
    pub asset: String,
    /// Its class.
    pub class: String,
    /// When it was installed; as it came into sight when nobody says.
    pub installed_at: Option<DateTime<Utc>>,
    /// When it came into sight: earlier failures are not known of.
    pub seen_since: DateTime<Utc>,
    /// When it failed and was mended, in any order: from then on it is as good as new.
    pub failures: Vec<DateTime<Utc>>,
}

/// The beginning and the end of a life.
type Ended = (DateTime<Utc>, DateTime<Utc>);

/// What the ages of all assets say, by class.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ages {
    classes: BTreeMap<String, Result<Weibull, WeibullError>>,
    /// The present lives by tag.
    assets: BTreeMap<String, Present>,
}

/// The life that an asset leads.
#[derive(Debug, Clone, PartialEq)]
struct Present {
    class: String,
    began: DateTime<Utc>,
    /// Whether it began with the end of another one.
    renewed: bool,
}

/// How likely an asset is to fail by its age alone.
#[derive(Debug, Clone, PartialEq)]
pub struct ByAge {
    /// Probability of failure within the time asked about, 0 to 1.
    pub probability: f64,
    /// Its age. **Units** days.
    pub age: f64,
    /// The distribution of its class.
    pub weibull: Weibull,
}

/// Why age says nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoAge {
    /// Nobody has told of it.
    #[error("nobody has told how old it is")]
    Unknown,
    /// The class says nothing.
    #[error("the ages of class {class} say nothing: {reason}")]
    Class {
        /// The class.
        class: String,
        /// Why.
        reason: String,
    },
}

impl AssetLives {
    /// The lives that ended in a failure until `now`, from beginning to end, oldest first, and when
    /// the present one began.
    pub fn ended(&self, now: DateTime<Utc>) -> (Vec<Ended>, DateTime<Utc>) {
        let mut failures: Vec<DateTime<Utc>> = self.failures.clone();
        failures.sort_unstable();
        failures.dedup();
        let mut began = self.installed_at.unwrap_or(self.seen_since).min(now);
        let mut ended = Vec::new();
        for at in failures.into_iter().filter(|at| *at <= now) {
            ended.push((began, at));
            began = at;
        }
        (ended, began)
    }

    /// The lives until `now`, oldest first, and when the present one began.
    fn until(&self, now: DateTime<Utc>) -> (Vec<Lifetime>, DateTime<Utc>) {
        let (ended, began) = self.ended(now);
        let first = ended.first().map_or(began, |(began, _)| *began);
        // Only the first life may have begun before anybody looked.
        let mut entered = days(self.seen_since - first).max(0.0);
        let mut lives = Vec::new();
        for (began, at) in ended {
            lives.push(Lifetime {
                entered: std::mem::take(&mut entered),
                age: days(at - began),
                failed: true,
            });
        }
        lives.push(Lifetime {
            entered,
            age: days(now - began),
            failed: false,
        });
        // What fails at the instant at which it comes into sight has told nothing.
        lives.retain(|life| life.age > life.entered);
        (lives, began)
    }
}

impl Ages {
    /// Learns one distribution per class; survivors count with their age at `now`.
    pub fn learn(lives: &[AssetLives], now: DateTime<Utc>) -> Self {
        let mut by_class: BTreeMap<String, Vec<Lifetime>> = BTreeMap::new();
        let mut assets = BTreeMap::new();
        for one in lives {
            let (lifetimes, began) = one.until(now);
            by_class
                .entry(one.class.clone())
                .or_default()
                .extend(lifetimes);
            let present = Present {
                class: one.class.clone(),
                began,
                renewed: one.failures.contains(&began),
            };
            assets.insert(one.asset.clone(), present);
        }
        let fitted = by_class
            .into_iter()
            .map(|(class, lives)| (class, Weibull::fit(&lives)));
        Self {
            classes: fitted.collect(),
            assets,
        }
    }

    /// How likely an asset is to fail between `now` and `before`.
    ///
    /// **Errors** with the reason why its age says nothing.
    pub fn of(
        &self,
        asset: &str,
        now: DateTime<Utc>,
        before: DateTime<Utc>,
    ) -> Result<ByAge, NoAge> {
        let Present { class, began, .. } = self.assets.get(asset).ok_or(NoAge::Unknown)?;
        let weibull = match self.classes.get(class) {
            Some(Ok(weibull)) => *weibull,
            Some(Err(error)) => {
                return Err(NoAge::Class {
                    class: class.clone(),
                    reason: error.to_string(),
                });
            }
            None => return Err(NoAge::Unknown),
        };
        let age = days(now - *began).max(0.0);
        Ok(ByAge {
            probability: weibull.probability_within(age, days(before - now)),
            age,
            weibull,
        })
    }

    /// The assets that are as good as new since a confirmed failure was mended, with that instant.
    pub fn renewed(&self) -> impl Iterator<Item = (&str, DateTime<Utc>)> {
        let assets = self.assets.iter();
        assets
            .filter_map(|(asset, life)| Some((asset.as_str(), life.renewed.then_some(life.began)?)))
    }
}

impl ByAge {
    /// One sentence for people.
    pub fn sentence(&self) -> String {
        let Weibull {
            shape,
            scale,
            failures,
            censored,
        } = self.weibull;
        format!(
            "by its age of {:.0} d alone: {failures} lives of its class ended in a failure and {censored} \
             have not (Weibull, shape {shape:.2}, scale {scale:.0} d)",
            self.age
        )
    }
}

fn days(time: TimeDelta) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a century has 3e9 seconds")]
    let seconds = time.num_seconds() as f64;
    seconds / 86_400.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(number)
    }

    /// An asset from `installed@seen` and the days of its failures.
    fn asset(name: &str, text: &str) -> AssetLives {
        let mut words = text.split_whitespace();
        let (installed, seen) = words.next().unwrap().split_once('@').unwrap();
        AssetLives {
            asset: name.to_owned(),
            class: "pump".to_owned(),
            installed_at: installed.parse().ok().map(day),
            seen_since: day(seen.parse().unwrap()),
            failures: words.map(|word| day(word.parse().unwrap())).collect(),
        }
    }

    /// Lives as `entered-age`, `+` where it failed.
    #[track_caller]
    fn check(text: &str, now: i64, expected: &str, began: i64) {
        let (lives, found) = asset("a", text).until(day(now));
        let shown: Vec<String> = lives
            .iter()
            .map(|life| {
                let end = if life.failed { "+" } else { "" };
                format!("{}-{}{end}", life.entered, life.age)
            })
            .collect();
        assert_eq!(shown.join(" "), expected, "{text}");
        assert_eq!(found, day(began));
    }

    #[test]
    fn a_life_begins_with_installation_and_with_every_repair() {
        check("?@100", 150, "0-50", 100);
        check("40@100", 150, "60-110", 40);
        check("40@100 120 145", 150, "60-80+ 0-25+ 0-5", 145);
        check("40@100 145 120 145", 150, "60-80+ 0-25+ 0-5", 145);
        check("?@100 100 160", 150, "0-50", 100);
        check("200@100", 150, "", 150);
    }

    #[test]
    fn the_old_are_likelier_to_fail_where_the_class_wears_out() {
        let mut lives: Vec<AssetLives> = (0..30)
            .map(|number| {
                let fails = 300 + 7 * ((number * 11) % 30);
                asset(&format!("a{number}"), &format!("0@0 {fails}"))
            })
            .collect();
        lives.push(asset("young", "480@480"));
        lives.push(asset("old", "100@100"));
        let ages = Ages::learn(&lives, day(510));
        let of = |tag: &str| ages.of(tag, day(510), day(540)).unwrap();
        assert!(of("old").probability > 10.0 * of("young").probability);
        assert_eq!(of("old").age, 410.0);
        assert_eq!(
            (of("old").weibull.failures, of("old").weibull.censored),
            (30, 32)
        );
        assert!(
            of("old").sentence().contains("age of 410 d"),
            "{}",
            of("old").sentence()
        );
        let renewed: Vec<_> = ages.renewed().collect();
        assert_eq!(
            (renewed.len(), renewed[0].0),
            (30, "a0"),
            "none of the two others"
        );
        assert_eq!(ages.of("stranger", day(510), day(540)), Err(NoAge::Unknown));
        let none = Ages::learn(&[asset("a", "0@0")], day(10));
        let said = none.of("a", day(10), day(20)).unwrap_err().to_string();
        assert!(
            said.contains("class pump") && said.contains("none of 1"),
            "{said}"
        );
    }
}
