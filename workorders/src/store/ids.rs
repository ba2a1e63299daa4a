//! Identities: a newtype per kind over prefixed UUIDv7 text, and the one home of their making.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use uuid::timestamp::context::ContextV7;
use uuid::{Timestamp, Uuid};

id_type! {
    /// A customer's account.
    AccountId, "acc_"
}
id_type! {
    /// A place where assets stand.
    SiteId, "sit_"
}
id_type! {
    /// A machine that is watched and serviced.
    AssetId, "ast_"
}
id_type! {
    /// A technician who can be booked.
    ResourceId, "res_"
}
id_type! {
    /// A work order.
    WorkOrderId, "wo_"
}
id_type! {
    /// A condition of an asset on which an alarm was raised.
    CaseId, "cas_"
}
id_type! {
    /// A proposal to move an alarm limit.
    ProposalId, "lpr_"
}
id_type! {
    /// One task of a work order.
    TaskId, "tsk_"
}
id_type! {
    /// A resource's time set aside for a work order.
    BookingId, "bkg_"
}
id_type! {
    /// A billable fact of the work done: labor, part or travel.
    WorkLineId, "wln_"
}
id_type! {
    /// A price list.
    PriceListId, "prl_"
}
id_type! {
    /// An invoice.
    InvoiceId, "inv_"
}
id_type! {
    /// A line of an invoice.
    InvoiceLineId, "inl_"
}
id_type! {
    /// Money received from a customer.
    ReceiptId, "rcp_"
}
id_type! {
    /// A receipt's application to an invoice.
    ApplicationId, "apl_"
}
id_type! {
    /// A journal entry of the ledger.
    JournalEntryId, "jnl_"
}
id_type! {
    /// A line of a journal entry.
    JournalLineId, "jll_"
}
id_type! {
    /// A row of the audit trail.
    AuditId, "aud_"
}

/// A text is not an id of the kind that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id that begins with `{prefix}` and goes on with 32 hexadecimal digits")]
pub struct IdError {
    /// The prefix of the kind.
    pub prefix: &'static str,
    /// The text.
    pub text: String,
}

/// Makes new UUIDv7 values; injected, so that a test can replay them.
pub trait IdSource: Send + Sync + std::fmt::Debug {
    /// A new value; later calls give greater ones, also within one millisecond of `now`.
    fn uuid(&self, now: DateTime<Utc>) -> Uuid;
}

/// Real ids: the business instant, a counter within the millisecond, and randomness.
#[derive(Debug, Default)]
pub struct RandomIds {
    order: Mutex<ContextV7>,
}

impl RandomIds {
    /// A source that has given no id yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl IdSource for RandomIds {
    fn uuid(&self, now: DateTime<Utc>) -> Uuid {
        let order = self.order.lock().expect("no holder of the id order panics");
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        Uuid::new_v7(Timestamp::from_unix(
            &*order,
            seconds,
            now.timestamp_subsec_nanos(),
        ))
    }
}

/// Ids that repeat with their seed, for tests and replayed worlds.
#[derive(Debug)]
pub struct SeededIds {
    seed: u64,
    given: AtomicU64,
}

impl SeededIds {
    /// A source whose ids depend on the seed, on `now` and on how many it gave before.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            given: AtomicU64::new(0),
        }
    }
}

impl IdSource for SeededIds {
    fn uuid(&self, now: DateTime<Utc>) -> Uuid {
        let count = self.given.fetch_add(1, Ordering::Relaxed);
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        // The count fills the bits after the time, so ids of one millisecond keep their order.
        let [_, _, order @ ..] = count.to_be_bytes();
        let [.., y, z] = self.seed.to_be_bytes();
        let mut random = [0; 10];
        random[..6].copy_from_slice(&order);
        random[8..].copy_from_slice(&[y, z]);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

/// Whether `text` is an id with `prefix`.
pub(crate) fn check(prefix: &'static str, text: &str) -> Result<(), IdError> {
    let is_lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    match text.strip_prefix(prefix) {
        Some(rest) if rest.len() == 32 && rest.bytes().all(is_lower_hex) => Ok(()),
        _ => Err(IdError {
            prefix,
            text: text.chars().take(80).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Ctx;
    use std::sync::Arc;

    fn check_order(ids: Arc<dyn IdSource>) {
        let now = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        let ctx = Ctx::new(now, now, "test", ids);
        let later = Ctx {
            now: now + chrono::TimeDelta::milliseconds(5),
            ..ctx.clone()
        };
        let mut given: Vec<_> = (0..2_000).map(|_| WorkOrderId::new(&ctx)).collect();
        given.extend((0..100).map(|_| WorkOrderId::new(&later)));
        assert!(given.is_sorted(), "ids are in the order of their making");
        assert!(given.windows(2).all(|pair| pair[0] != pair[1]));
        for id in given {
            assert_eq!(id.as_str().parse::<WorkOrderId>().unwrap(), id);
        }
    }

    #[test]
    fn ids_are_ordered_and_parse() {
        check_order(Arc::new(RandomIds::new()));
        check_order(Arc::new(SeededIds::new(7)));
    }

    #[test]
    fn seeded_ids_repeat() {
        let now = DateTime::from_timestamp_micros(1_700_000_000_000_000).unwrap();
        assert_eq!(SeededIds::new(1).uuid(now), SeededIds::new(1).uuid(now));
        assert_ne!(SeededIds::new(1).uuid(now), SeededIds::new(2).uuid(now));
    }

    #[test]
    fn wrong_ids_are_refused() {
        for text in [
            "",
            "wo_",
            "ast_018f",
            "wo_018F0000000070008000000000000000",
            "wo_x",
        ] {
            assert!(text.parse::<WorkOrderId>().is_err(), "{text}");
        }
    }
}
