//! What the API returns, as far as a simulator reads it. Unknown fields are ignored.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Debug, Clone, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page starts; nothing on the last one.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// The business clock.
#[derive(Debug, Clone, Deserialize)]
pub struct Clock {
    /// The business instant.
    pub now: DateTime<Utc>,
    /// Business seconds per second of the wall.
    #[serde(default = "one")]
    pub rate: f64,
}

/// A site.
#[derive(Debug, Clone, Deserialize)]
pub struct Site {
    /// Id, `sit_…`.
    pub id: String,
    /// Name.
    #[serde(default)]
    pub name: String,
}

/// A resource: somebody who can be booked.
#[derive(Debug, Clone, Deserialize)]
pub struct Resource {
    /// Id, `res_…`.
    pub id: String,
    /// Name.
    #[serde(default)]
    pub name: String,
}

/// An asset.
#[derive(Debug, Clone, Deserialize)]
pub struct Asset {
    /// Id, `ast_…`.
    pub id: String,
    /// Unique tag, also the last part of its topic.
    pub tag: String,
    /// Class, lower case.
    pub class: String,
    /// Site, if it has one.
    #[serde(default)]
    pub site_id: Option<String>,
}

/// An asset as other records name it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AssetRef {
    /// Id, `ast_…`.
    pub id: String,
    /// Unique tag.
    pub tag: String,
    /// Class, where the record carries it.
    pub class: Option<String>,
}

/// An alarm.
#[derive(Debug, Clone, Deserialize)]
pub struct Alarm {
    /// Id, `alm_…`.
    pub id: String,
    /// Tag of the asset, or the asset itself.
    pub asset: AssetName,
    /// Detector or rule.
    #[serde(default)]
    pub cause: String,
    /// When it was raised.
    pub raised_at: DateTime<Utc>,
}

/// An asset named by its tag alone or by id and tag.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum AssetName {
    /// The tag.
    Tag(String),
    /// Id and tag.
    Ref(AssetRef),
}

impl AssetName {
    /// The tag.
    pub fn tag(&self) -> &str {
        match self {
            Self::Tag(tag) => tag,
            Self::Ref(asset) => &asset.tag,
        }
    }
}

/// A work order.
#[derive(Debug, Clone, Deserialize)]
pub struct WorkOrder {
    /// Id, `wo_…`.
    pub id: String,
    /// Number for people.
    #[serde(default)]
    pub number: String,
    /// What raised it: `alarm` or `person`.
    #[serde(default)]
    pub source: String,
    /// The asset.
    #[serde(default)]
    pub asset: AssetRef,
    /// unscheduled, scheduled, in_progress, completed, posted, canceled.
    pub status: String,
    /// pending, passed, failed, unverified, not_needed.
    #[serde(default)]
    pub verification: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When the work was completed.
    #[serde(default)]
    pub completed_at: Option<DateTime<Utc>>,
    /// What may be done now.
    #[serde(default)]
    pub allowed_actions: Vec<String>,
    /// Version for `If-Match`.
    #[serde(default)]
    pub version: i64,
}

/// A booking: one resource, one work order, one slot.
#[derive(Debug, Clone, Deserialize)]
pub struct Booking {
    /// Id, `bkg_…`.
    pub id: String,
    /// The work order.
    pub work_order_id: String,
    /// The resource.
    pub resource_id: String,
    /// scheduled, traveling, in_progress, completed, canceled.
    pub status: String,
    /// When travel should start.
    pub travel_from: DateTime<Utc>,
    /// When work should start.
    pub starts_at: DateTime<Utc>,
    /// When work should end.
    pub ends_at: DateTime<Utc>,
    /// When the technician set out.
    #[serde(default)]
    pub traveled_at: Option<DateTime<Utc>>,
    /// When the work began.
    #[serde(default)]
    pub started_at: Option<DateTime<Utc>>,
    /// The asset.
    #[serde(default)]
    pub asset: AssetRef,
    /// What may be done now.
    #[serde(default)]
    pub allowed_actions: Vec<String>,
    /// Version for `If-Match`.
    #[serde(default)]
    pub version: i64,
}

/// Money as the API writes it. Never a float.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Decimal text.
    pub amount: String,
    /// ISO 4217 code.
    pub currency: String,
}

impl Money {
    /// True when there is nothing to pay: zero or less.
    pub fn is_nothing(&self) -> bool {
        self.amount.starts_with('-')
            || !self.amount.bytes().any(|b| b.is_ascii_digit() && b != b'0')
    }
}

/// An invoice.
#[derive(Debug, Clone, Deserialize)]
pub struct Invoice {
    /// Id, `inv_…`.
    pub id: String,
    /// Gapless number, the payer's reference; a draft has none.
    #[serde(default)]
    pub number: Option<String>,
    /// Who owes.
    pub account_id: String,
    /// draft, posted, …
    #[serde(default)]
    pub status: String,
    /// open, part_paid, paid; a draft has none.
    #[serde(default)]
    pub settlement: Option<String>,
    /// What is still to be paid.
    pub open: Money,
    /// Day of the invoice.
    #[serde(default)]
    pub issued_on: Option<NaiveDate>,
}

/// The new state after a command, where only its version matters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Changed {
    /// Id of the thing.
    pub id: String,
    /// Its status.
    pub status: String,
    /// Its version.
    pub version: i64,
}

fn one() -> f64 {
    1.0
}
