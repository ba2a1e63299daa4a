//! The writer's side of the snapshot.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::snapshot::Snapshot;

/// A handle that loads the newest picture of all tables; cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshots(Arc<ArcSwap<Snapshot>>);

impl Snapshots {
    /// A picture that never changes (a folder that was read, a test).
    pub fn fixed(snapshot: Snapshot) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(snapshot)))
    }
    /// The newest picture.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }
}
