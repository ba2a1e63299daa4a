//! How much one query may take. Every limit has a name, and what breaks one is told so.

use std::time::Duration;

/// Limits of the SQL engine.
#[derive(Debug, Clone)]
pub struct SqlLimits {
    /// Longest query text, bytes.
    pub text_bytes: usize,
    /// Most operators, parentheses and keywords in one query: they bound how deep it can nest.
    pub operators: usize,
    /// Longest time from asking to the last row, process clock.
    pub time: Duration,
    /// Most rows of an [`Answer`](super::Answer); more are cut off and the answer says so.
    pub answer_rows: usize,
    /// Most bytes of the columns of an [`Answer`](super::Answer), and of its rows when they are
    /// written as JSON or as text; then rows are cut off likewise.
    pub answer_bytes: usize,
    /// Most values, rows times columns, of an answer that is written; then rows are cut off too.
    pub answer_cells: usize,
    /// Memory of all running queries together, bytes.
    pub memory_bytes: usize,
    /// Most rows that one scan of an operational table may fetch.
    pub operational_rows: usize,
    /// Queries that may run at the same time; others wait, within their own time limit.
    pub concurrent: usize,
    /// The same for the rules of alarms, which have places and threads of their own.
    pub concurrent_rules: usize,
    /// Memory for decoded columns of files, kept for the next query, bytes; 0 keeps none.
    pub cache_bytes: usize,
    /// Threads that one query may keep busy.
    pub partitions: usize,
}

impl Default for SqlLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            text_bytes: 64 * 1024,
            operators: 2_000,
            time: Duration::from_secs(30),
            answer_rows: 10_000,
            answer_bytes: 64 * 1024 * 1024,
            answer_cells: 5_000_000,
            memory_bytes: 256 * 1024 * 1024,
            operational_rows: 500_000,
            concurrent: 8,
            concurrent_rules: 2,
            cache_bytes: 512 * 1024 * 1024,
            partitions: cores.min(4),
        }
    }
}
