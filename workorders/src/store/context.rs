//! Who acts, when, and where new ids come from.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};

use super::ids::IdSource;

/// Everything that a command needs besides its own fields.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// The business instant, in whole microseconds.
    pub now: DateTime<Utc>,
    /// The machine's own instant, for the retention of idempotency keys only.
    pub wall: DateTime<Utc>,
    /// Who acts: a person's name, or a part of the service such as `scheduler`.
    pub actor: String,
    /// Where new ids come from.
    pub ids: Arc<dyn IdSource>,
}

impl Ctx {
    /// A context; instants are cut to microseconds, the resolution of the store.
    pub fn new(
        now: DateTime<Utc>,
        wall: DateTime<Utc>,
        actor: impl Into<String>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        Self {
            now: now.trunc_subsecs(6),
            wall: wall.trunc_subsecs(6),
            actor: actor.into(),
            ids,
        }
    }

    /// The same moment and ids, another actor.
    pub fn acting_as(&self, actor: impl Into<String>) -> Self {
        Self {
            actor: actor.into(),
            ..self.clone()
        }
    }
}
