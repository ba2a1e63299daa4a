//! Alarms of detectors, thresholds and rules that the configuration has no more: nothing would ever
//! return them.

use chrono::{DateTime, Utc};

use super::shared::Shared;
use crate::alarms::{AlarmBook, AlarmError, AlarmFilter, Command, MAX_PAGE, SuppressedFilter};

/// What the configuration says, and the alarms that are up.
pub(super) struct Retired<'a>(pub(super) &'a Shared);

impl Retired<'_> {
    /// Returns what nothing watches any more, raised or suppressed; `now` is the business clock.
    ///
    /// **Errors** when the store fails.
    pub(super) async fn give_back(&self, now: DateTime<Utc>) -> Result<(), AlarmError> {
        for (asset, class, cause) in self.standing().await? {
            // It may have moved since its alarm was raised, and taken that along.
            let owner = self.0.engine().newest(&asset).map(|(class, _)| class);
            let class = owner.as_deref().unwrap_or(&class);
            if self.is_watched(class, &cause) {
                continue;
            }
            tracing::warn!(
                asset,
                class,
                cause,
                "an alarm returns: its detector, threshold or rule is configured no more"
            );
            let gone = Command::Return { at: now };
            self.alarms().tell(&asset, &cause, &gone, None, now).await?;
        }
        Ok(())
    }

    fn alarms(&self) -> &AlarmBook {
        &self.0.alarms
    }

    fn is_watched(&self, class: &str, cause: &str) -> bool {
        let settings = self.0.config.class(class);
        let rule = self.0.config.rules.get(cause);
        settings.raises(cause)
            || settings.thresholds.contains_key(cause)
            || rule.is_some_and(|rule| rule.enabled)
    }

    /// Asset, class and cause of everything that is up or would be if it were not suppressed.
    async fn standing(&self) -> Result<Vec<(String, String, String)>, AlarmError> {
        let mut found = Vec::new();
        let mut alarms = AlarmFilter {
            active: Some(true),
            open: Some(true),
            limit: MAX_PAGE,
            ..AlarmFilter::default()
        };
        loop {
            let page = self.alarms().list(&alarms).await?;
            let Some(last) = page.last() else { break };
            alarms.before = Some(last.id.clone());
            found.extend(
                page.into_iter()
                    .map(|one| (one.asset, one.class, one.cause)),
            );
        }
        let mut suppressed = SuppressedFilter {
            standing: Some(true),
            limit: MAX_PAGE,
            ..SuppressedFilter::default()
        };
        loop {
            let page = self.alarms().suppressed(&suppressed).await?;
            let Some(last) = page.last() else { break };
            suppressed.before = Some(last.id.clone());
            let occurrences = page.into_iter().map(|one| one.occurrence);
            found.extend(occurrences.map(|one| (one.asset, one.class, one.cause)));
        }
        Ok(found)
    }
}
