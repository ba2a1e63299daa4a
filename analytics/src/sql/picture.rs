//! What one query sees: the readings and the last values of one instant.

use std::ops::Deref;
use std::sync::Arc;

use fieldwright_ingest::Snapshots;
use fieldwright_ingest::last_values::LastValues;
use fieldwright_ingest::snapshot::Snapshot;

use super::SnapshotSource;

/// The readings and the last values of one instant.
#[derive(Debug)]
pub(super) struct Picture {
    pub snapshot: Arc<Snapshot>,
    pub last: Arc<LastValues>,
}

/// Where an engine gets its pictures from; asked once per query.
pub struct Pictures(pub(super) PictureSource);

pub(super) type PictureSource = Arc<dyn Fn() -> Arc<Picture> + Send + Sync>;

impl Deref for Picture {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl From<Snapshots> for Pictures {
    fn from(snapshots: Snapshots) -> Self {
        Self(Arc::new(move || {
            let (snapshot, last) = snapshots.load_with_last();
            Arc::new(Picture { snapshot, last })
        }))
    }
}

impl From<SnapshotSource> for Pictures {
    /// Readings without last values.
    fn from(snapshots: SnapshotSource) -> Self {
        let last = Arc::<LastValues>::default();
        Self(Arc::new(move || {
            Arc::new(Picture {
                snapshot: snapshots(),
                last: Arc::clone(&last),
            })
        }))
    }
}

impl std::fmt::Debug for Pictures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pictures").finish_non_exhaustive()
    }
}
