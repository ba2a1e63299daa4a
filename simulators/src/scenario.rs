//! Scenarios: readable files that say who takes part and how they behave.

use chrono::TimeDelta;
use serde::Deserialize;

use crate::people::PeopleSettings;
use crate::plant::STEP_SECONDS;
use crate::plant::publisher::SensorOptions;
use crate::world::minutes;

const FILES: [&str; 3] = [
    include_str!("../scenarios/small_plant.toml"),
    include_str!("../scenarios/people.toml"),
    include_str!("../scenarios/no_fault.toml"),
];

/// Who takes part in a simulation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name on the command line.
    pub name: String,
    /// One line for `--help`.
    pub summary: String,
    /// The plant, if there is one.
    pub plant: Option<PlantSettings>,
    /// The people, if there are any.
    pub people: Option<PeopleSettings>,
}

/// How a plant reports.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlantSettings {
    /// Classes of registered assets that this plant plays.
    pub classes: Vec<String>,
    /// How far back the history reaches.
    pub history_hours: f64,
    /// Between two readings of the history; a multiple of 30 s.
    pub history_every_seconds: i64,
    /// Between two live readings; a multiple of 30 s.
    pub live_every_seconds: i64,
    /// The run ends after so much live time; without it, when it is stopped.
    pub live_hours: Option<f64>,
    /// One asset breaks.
    pub fault: bool,
}

/// Why there is no such scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The name is unknown.
    #[error("there is no scenario `{name}`; choose one of {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The known names.
        known: String,
    },
    /// The text is not a scenario.
    #[error("the scenario cannot be read")]
    Parse {
        /// What the parser said.
        source: toml::de::Error,
    },
    /// A value makes no sense.
    #[error("scenario `{name}`: {problem}")]
    Invalid {
        /// The scenario.
        name: String,
        /// What is wrong and what would be right.
        problem: &'static str,
    },
}

/// The scenarios that come with the program.
pub fn scenarios() -> Vec<Scenario> {
    FILES
        .iter()
        .map(|text| Scenario::parse(text).expect("the built-in scenarios are tested"))
        .collect()
}

/// The built-in scenario with this name.
///
/// **Errors**: there is none.
pub fn scenario(name: &str) -> Result<Scenario, ScenarioError> {
    let all = scenarios();
    let known = all
        .iter()
        .map(|s| s.name.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    all.into_iter()
        .find(|scenario| scenario.name == name)
        .ok_or_else(|| ScenarioError::Unknown {
            name: name.to_owned(),
            known,
        })
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// **Errors**: not TOML, unknown keys, values that make no sense.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self =
            toml::from_str(text).map_err(|source| ScenarioError::Parse { source })?;
        match scenario.problem() {
            Some(problem) => Err(ScenarioError::Invalid {
                name: scenario.name,
                problem,
            }),
            None => Ok(scenario),
        }
    }

    fn problem(&self) -> Option<&'static str> {
        let ordered = |range: [f64; 2]| range[0] >= 0.0 && range[0] <= range[1];
        let on_grid = |seconds: i64| seconds > 0 && seconds % STEP_SECONDS == 0;
        if let Some(plant) = &self.plant {
            if !on_grid(plant.history_every_seconds) || !on_grid(plant.live_every_seconds) {
                return Some("history_every_seconds and live_every_seconds are multiples of 30");
            }
            if !(0.0..=1_000.0).contains(&plant.history_hours) {
                return Some("history_hours lies between 0 and 1000");
            }
        }
        if let Some(people) = &self.people
            && !(ordered(people.work_minutes) && ordered(people.pay_after_minutes))
        {
            return Some("work_minutes and pay_after_minutes are [least, most]");
        }
        None
    }
}

impl PlantSettings {
    /// How the plant's sensors report.
    pub fn sensors(&self) -> SensorOptions {
        SensorOptions {
            history: minutes(self.history_hours * 60.0),
            history_stride: self.history_every_seconds / STEP_SECONDS,
            live_stride: self.live_every_seconds / STEP_SECONDS,
            live_for: self
                .live_hours
                .map(|hours| TimeDelta::seconds((hours * 3600.0) as i64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_scenarios_are_what_their_names_say() {
        let who = |name: &str| {
            let scenario = scenario(name).unwrap();
            (
                scenario.plant.map(|plant| plant.fault),
                scenario.people.is_some(),
            )
        };
        assert_eq!(who("small_plant"), (Some(true), true));
        assert_eq!(who("people"), (None, true));
        assert_eq!(who("no_fault"), (Some(false), true));
        let error = scenario("big_plant").unwrap_err().to_string();
        assert!(error.contains("small_plant, people, no_fault"), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, part: &str| {
            let error = Scenario::parse(text).unwrap_err();
            let text = match &error {
                ScenarioError::Parse { source } => source.to_string(),
                other => other.to_string(),
            };
            assert!(text.contains(part), "{text}");
        };
        check("name = 3", "expected a string");
        check("name = 'a'\nsummary = 'b'\nspeed = 3", "speed");
        let plant = "name = 'a'\nsummary = 'b'\n[plant]\nclasses = []\nhistory_hours = 1.0\n\
            history_every_seconds = 45\nlive_every_seconds = 30\nfault = false";
        check(plant, "multiples of 30");
    }
}
