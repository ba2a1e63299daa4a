//! Files that no entry names any more and that somebody may still be reading.

use std::sync::Arc;

use object_store::path::Path;

use super::LakeError;
use super::place::Place;
use crate::snapshot::ColdFile;

/// Files that wait to be removed.
#[derive(Debug, Default)]
pub(super) struct Graveyard(Vec<Grave>);

#[derive(Debug)]
struct Grave {
    path: Path,
    /// Held by every snapshot that names the file; none for a file of an earlier process.
    file: Option<Arc<ColdFile>>,
    /// When the log ceased to name it, wall clock.
    removed_ms: i64,
}

impl Graveyard {
    pub(super) fn add(&mut self, path: Path, file: Option<Arc<ColdFile>>, removed_ms: i64) {
        self.0.push(Grave {
            path,
            file,
            removed_ms,
        });
    }

    /// Removes the files that were named before `before_ms` the last time and that no snapshot
    /// holds; gives how many.
    ///
    /// **Errors**: the store refused; what is left is removed another time.
    pub(super) fn clear(&mut self, place: &Place, before_ms: i64) -> Result<usize, LakeError> {
        let held = |file: &Arc<ColdFile>| Arc::strong_count(file) > 1;
        let due =
            |grave: &Grave| grave.removed_ms < before_ms && !grave.file.as_ref().is_some_and(held);
        let mut cleared = 0;
        while let Some(at) = self.0.iter().position(due) {
            place.remove(&self.0[at].path)?;
            self.0.swap_remove(at);
            cleared += 1;
        }
        Ok(cleared)
    }
}
