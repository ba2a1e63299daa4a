//! What the pipeline counts.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::validate::REASONS;

/// The pipeline's figures at one instant. Counters begin at zero with the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Messages accepted and synced.
    pub accepted_messages: u64,
    /// Rows in them: one asset at one instant each.
    pub accepted_rows: u64,
    /// Metric values in them; tags are none.
    pub accepted_samples: u64,
    /// Of these, values kept in side columns because their type is not their metric's.
    pub mistyped_samples: u64,
    /// Accepted rows not after their asset's newest time.
    pub late_rows: u64,
    /// Of these, rows at exactly the newest time: mostly deliveries that came twice.
    pub repeated_rows: u64,
    /// Samples that repeated the newest one of their asset and metric, value and all.
    pub duplicate_samples: u64,
    /// Samples at the instant of the newest one of their asset and metric, with another value.
    pub conflicting_samples: u64,
    /// Messages refused, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Journal records synced.
    pub commits: u64,
    /// Microseconds of process time from a batch's first message to its last sync, newest batch.
    pub commit_lag_us: u64,
    /// Commits left out of the feed because its follower did not keep up.
    pub feed_skipped: u64,
    /// Messages read back from the journal at the start.
    pub replayed_messages: u64,
    /// Places where the journal was damaged (a torn tail is none).
    pub journal_damages: u64,
    /// Bytes in the journal.
    pub journal_bytes: u64,
    /// Rows in memory.
    pub hot_rows: u64,
    /// Bytes of memory that they take, those on their way into a file included.
    pub hot_bytes: u64,
    /// Tables.
    pub tables: u64,
    /// Parquet files.
    pub files: u64,
    /// Bytes in Parquet files.
    pub file_bytes: u64,
    /// Rows in Parquet files.
    pub file_rows: u64,
    /// Flushes done.
    pub flushes: u64,
    /// Compactions since the start.
    pub compactions: u64,
    /// Compactions that failed since the start; each is tried again.
    pub compaction_failures: u64,
    /// Readings that compaction found twice at one instant, value and all. Those at the newest
    /// instant of their asset were counted in `duplicate_samples` already.
    pub merged_duplicates: u64,
    /// The same with another value: the later receipt won.
    pub merged_conflicts: u64,
    /// Entries in the quarantine.
    pub quarantine_entries: u64,
    /// Bytes in the quarantine.
    pub quarantine_bytes: u64,
    /// Entries that the quarantine dropped to make room, ever.
    pub quarantine_dropped: u64,
    /// Sparkplug nodes asked for a rebirth.
    pub rebirth_requests: u64,
    /// Messages for devices that were left out because nobody sent them in time.
    pub commands_dropped: u64,
    /// What the disk refuses at the moment; none when all is well.
    pub disk_trouble: Option<String>,
}

/// The live counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub accepted_messages: AtomicU64,
    pub accepted_rows: AtomicU64,
    pub accepted_samples: AtomicU64,
    pub mistyped_samples: AtomicU64,
    pub late_rows: AtomicU64,
    pub repeated_rows: AtomicU64,
    pub duplicate_samples: AtomicU64,
    pub conflicting_samples: AtomicU64,
    pub rebirth_requests: AtomicU64,
    pub commands_dropped: AtomicU64,
    pub rejected: [AtomicU64; REASONS.len()],
    pub commits: AtomicU64,
    pub commit_lag_us: AtomicU64,
    pub feed_skipped: AtomicU64,
    pub replayed_messages: AtomicU64,
    pub journal_damages: AtomicU64,
    pub journal_bytes: AtomicU64,
    pub flushes: AtomicU64,
    pub compactions: AtomicU64,
    pub compaction_failures: AtomicU64,
    pub merged_duplicates: AtomicU64,
    pub merged_conflicts: AtomicU64,
    /// Flushes ordered and not yet done.
    pub flushes_under_way: AtomicU64,
    /// Rows in them.
    pub frozen_rows: AtomicU64,
    /// Bytes in them.
    pub frozen_bytes: AtomicU64,
    /// Bytes of the rows that no flush was ordered for.
    pub live_bytes: AtomicU64,
    trouble: Mutex<BTreeMap<&'static str, String>>,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Subtracts what was added before.
pub(crate) fn subtract(counter: &AtomicU64, amount: u64) {
    counter.fetch_sub(amount, Ordering::Relaxed);
}

/// Sets a figure that is no counter.
pub(crate) fn set(figure: &AtomicU64, value: u64) {
    figure.store(value, Ordering::Relaxed);
}

/// Reads a counter.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Counters {
    pub(crate) fn rejected(&self) -> BTreeMap<&'static str, u64> {
        REASONS
            .iter()
            .zip(&self.rejected)
            .map(|(reason, counter)| (*reason, read(counter)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Notes that `part` cannot write, or that it can again.
    pub(crate) fn set_trouble(&self, part: &'static str, trouble: Option<String>) {
        let mut all = self.trouble.lock().expect("no holder panics");
        match trouble {
            Some(text) => all.insert(part, text),
            None => all.remove(part),
        };
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        let all = self.trouble.lock().expect("no holder panics");
        (!all.is_empty()).then(|| all.values().cloned().collect::<Vec<_>>().join("; "))
    }
}
