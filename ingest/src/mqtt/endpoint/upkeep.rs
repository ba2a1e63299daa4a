//! What the endpoint does by itself: sessions end, delayed wills are sent, the session log is kept
//! small.

use std::sync::Arc;
use std::time::Duration;

use super::access::Access;
use super::log::recover::RecoveredSession;
use super::publishing::publish_will;
use super::{Phase, Shared};
use crate::clock::process_sleep;
use crate::mqtt::topic;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(250);

/// Looks after the endpoint until it ends.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut phase = shared.phase.clone();
    loop {
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase != Phase::Running) => return,
            () = process_sleep(EVERY) => {}
        }
        for will in shared.sessions.sweep() {
            let shared = shared.clone();
            tokio::spawn(async move { publish_will(&shared, will).await });
        }
        if shared.log.wants_snapshot() {
            snapshot(&shared).await;
        }
    }
}

/// Writes a snapshot, so that the older files can go.
async fn snapshot(shared: &Arc<Shared>) {
    let here = shared.clone();
    let writing = tokio::task::spawn_blocking(move || {
        here.log.snapshot(|put| {
            here.sessions.dump(put);
            here.router.dump(put);
        })
    });
    match writing.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "a snapshot of the MQTT sessions cannot be written; it is tried again later"
        ),
        Err(_) => tracing::error!("writing a snapshot of the MQTT sessions panicked"),
    }
}

/// Whether a session that survived may go on; subscriptions that its user may not have any more
/// are left out.
pub(super) fn still_allowed(found: &mut RecoveredSession, access: &Access) -> bool {
    if !access.knows(found.user.as_deref()) {
        return false;
    }
    let rights = access.rights(found.user.as_deref(), &found.client_id);
    found.filters.retain(|filter, _| {
        let inner = match topic::shared(filter) {
            Ok(share) => share.map_or(filter.as_str(), |(_, inner)| inner),
            Err(_) => return false,
        };
        rights.may_subscribe(inner)
    });
    true
}
