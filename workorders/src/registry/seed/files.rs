//! The shape of the seed files.

use chrono_tz::Tz;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::SeedError;

const ACCOUNTS: &str = include_str!("../../../seeds/accounts.toml");
const ASSETS: &str = include_str!("../../../seeds/assets.toml");
const CATALOG: &str = include_str!("../../../seeds/catalog.toml");
const RESOURCES: &str = include_str!("../../../seeds/resources.toml");

/// Everything that the seed files say.
#[derive(Debug)]
pub(super) struct World {
    pub accounts: AccountsToml,
    pub assets: AssetsToml,
    pub catalog: CatalogToml,
    pub resources: ResourcesToml,
}

impl World {
    pub fn compiled_in() -> Result<Self, SeedError> {
        Ok(Self {
            accounts: parse("accounts.toml", ACCOUNTS)?,
            assets: parse("assets.toml", ASSETS)?,
            catalog: parse("catalog.toml", CATALOG)?,
            resources: parse("resources.toml", RESOURCES)?,
        })
    }
}

fn parse<T: DeserializeOwned>(file: &'static str, text: &str) -> Result<T, SeedError> {
    toml::from_str(text).map_err(|error| SeedError::File {
        file,
        detail: error.to_string(),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountsToml {
    pub account: Vec<AccountToml>,
    pub site: Vec<SiteToml>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountToml {
    pub key: String,
    pub name: String,
    pub currency: String,
    pub terms_days: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SiteToml {
    pub key: String,
    pub account: String,
    pub name: String,
    pub latitude: String,
    pub longitude: String,
    pub country: String,
    #[serde(deserialize_with = "zone")]
    pub time_zone: Tz,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssetsToml {
    pub asset: Vec<AssetToml>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssetToml {
    pub tag: String,
    pub class: String,
    pub name: String,
    pub site: String,
    pub criticality: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogToml {
    pub incident_type: Vec<IncidentTypeToml>,
    pub failure_mode: Vec<FailureModeToml>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IncidentTypeToml {
    pub key: String,
    pub name: String,
    pub duration_minutes: i64,
    pub skills: Vec<String>,
    pub labor_code: String,
    pub tasks: Vec<String>,
    pub parts: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FailureModeToml {
    pub class: String,
    pub cause: String,
    pub failure_mode: String,
    pub name: String,
    pub incident_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourcesToml {
    pub resource: Vec<ResourceToml>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourceToml {
    pub key: String,
    pub name: String,
    pub skills: Vec<String>,
    pub latitude: String,
    pub longitude: String,
    #[serde(deserialize_with = "zone")]
    pub time_zone: Tz,
    pub speed_kmh: i64,
    pub shift: Vec<ShiftToml>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShiftToml {
    pub weekdays: Vec<String>,
    pub from: String,
    pub until: String,
}

impl ShiftToml {
    /// Weekday numbers, 1 Monday to 7 Sunday.
    pub fn weekday_numbers(&self) -> Result<Vec<i64>, SeedError> {
        self.weekdays
            .iter()
            .map(|name| {
                name.parse::<chrono::Weekday>()
                    .map(|day| i64::from(day.number_from_monday()))
                    .map_err(|_| wrong_shift(format!("`{name}` is no weekday")))
            })
            .collect()
    }

    /// Begin and end in minutes since midnight.
    pub fn minutes(&self) -> Result<(i64, i64), SeedError> {
        let (from, until) = (minute_of_day(&self.from)?, minute_of_day(&self.until)?);
        if from >= until {
            return Err(wrong_shift(format!(
                "a shift from {} until {} does not end after it begins",
                self.from, self.until
            )));
        }
        Ok((from, until))
    }
}

fn minute_of_day(text: &str) -> Result<i64, SeedError> {
    let wrong = || wrong_shift(format!("`{text}` is no time of day like 06:30"));
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let hours: i64 = hours.parse().map_err(|_| wrong())?;
    let minutes: i64 = minutes.parse().map_err(|_| wrong())?;
    let whole = hours * 60 + minutes;
    if (0..60).contains(&minutes) && (0..=1440).contains(&whole) {
        Ok(whole)
    } else {
        Err(wrong())
    }
}

fn wrong_shift(detail: String) -> SeedError {
    SeedError::File {
        file: "resources.toml",
        detail,
    }
}

fn zone<'de, D: Deserializer<'de>>(from: D) -> Result<Tz, D::Error> {
    String::deserialize(from)?
        .parse()
        .map_err(serde::de::Error::custom)
}
