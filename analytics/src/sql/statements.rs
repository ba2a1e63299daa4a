//! Texts that were admitted before, so that clients who ask the same again are not read again.
//!
//! Only what the text alone decides is kept: never a plan, a snapshot or an answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::sql::parser::Statement;

use super::request::Manner;

/// Texts kept at most; then all are forgotten, which costs each one reading.
const TEXTS: usize = 512;
/// Longer texts are not kept. **Units**: bytes.
const TEXT_BYTES: usize = 4 * 1024;

type Kept = HashMap<(Manner, Arc<str>), Arc<Statement>>;

/// The statements of texts that were admitted.
#[derive(Debug, Default)]
pub(super) struct Statements(Mutex<Kept>);

impl Statements {
    pub(super) fn get(&self, manner: Manner, text: &Arc<str>) -> Option<Arc<Statement>> {
        let key = (manner, Arc::clone(text));
        self.locked().get(&key).map(Arc::clone)
    }

    pub(super) fn keep(&self, manner: Manner, text: &Arc<str>, statement: &Arc<Statement>) {
        if text.len() > TEXT_BYTES {
            return;
        }
        let mut kept = self.locked();
        if kept.len() >= TEXTS {
            kept.clear();
        }
        kept.insert((manner, Arc::clone(text)), Arc::clone(statement));
    }

    fn locked(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
