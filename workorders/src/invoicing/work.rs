//! What the invoicing half is told of a posted work order: the facts that it bills.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;

use crate::money::Currency;
use crate::store::ids::{AccountId, SiteId, WorkLineId, WorkOrderId};

/// A posted work order, as far as money needs to know it.
#[derive(Debug, Clone)]
pub struct PostedOrder {
    /// The order.
    pub id: WorkOrderId,
    /// Its number, as people call it.
    pub number: String,
    /// The account that pays.
    pub account: AccountId,
    /// The site where the work was done.
    pub site: SiteId,
    /// ISO 3166 country of that site, for the tax.
    pub country: String,
    /// The site's time zone, for the day of the supply.
    pub time_zone: Tz,
    /// The currency in which the account is billed.
    pub currency: Currency,
    /// Days until the invoice is due; none takes the legal entity's terms.
    pub terms_days: Option<u16>,
    /// What was done, in the order in which it shall stand on the invoice.
    pub lines: Vec<WorkLine>,
    /// When the work was completed.
    pub completed_at: DateTime<Utc>,
}

/// One billable fact: time worked, a visit, or parts used.
#[derive(Debug, Clone)]
pub struct WorkLine {
    /// The source row; it is billed at most once.
    pub id: WorkLineId,
    /// What kind of work.
    pub kind: WorkLineKind,
    /// The skill of labor, the code of a part; for travel a word of the caller's choice.
    pub code: String,
    /// How much.
    ///
    /// **Units**: labor in minutes worked, travel in minutes traveled to one visit, parts in pieces.
    pub quantity: Decimal,
}

words! {
    /// What kind of work a line bills.
    WorkLineKind {
        /// Time of a technician.
        Labor => "labor",
        /// One visit: call-out and travel.
        Travel => "travel",
        /// Parts used.
        Part => "part",
    }
}
