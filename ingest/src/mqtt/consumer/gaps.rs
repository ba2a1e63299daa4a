//! Sessions that a broker lost: what was published meanwhile may be missing.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::ConsumerError;
use crate::durable;

/// Gaps that are kept; the oldest makes room. All are counted.
pub const GAPS_KEPT: usize = 256;

/// A stretch of time for which messages may be missing: the broker had lost our session when we
/// came back, and with it what it kept for us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Names the session.
    pub client_id: String,
    /// When the broker was last heard, business clock; none when that was in an earlier run.
    pub from: Option<DateTime<Utc>>,
    /// When we were connected again, business clock.
    pub to: DateTime<Utc>,
    /// Number of the connection that found the session gone.
    pub connection: u64,
}

/// The gaps of all connections, and which sessions the broker should have.
#[derive(Debug)]
pub(super) struct Gaps {
    kept: Mutex<VecDeque<Gap>>,
    file: Option<PathBuf>,
    /// Client id → broker, for every session that was once subscribed.
    sessions: Mutex<BTreeMap<String, String>>,
}

impl Gaps {
    /// Reads the sessions of earlier runs.
    ///
    /// **Errors**: the file is there and cannot be read.
    pub(super) fn open(file: Option<PathBuf>) -> Result<Arc<Self>, ConsumerError> {
        let mut sessions = BTreeMap::new();
        if let Some(path) = &file {
            let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| {
                let path = path.clone();
                ConsumerError::Sessions { path, source }
            };
            match std::fs::read(path) {
                Ok(bytes) => {
                    sessions =
                        serde_json::from_slice(&bytes).map_err(|error| unreadable(error.into()))?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(error.into())),
            }
        }
        Ok(Arc::new(Self {
            kept: Mutex::default(),
            file,
            sessions: Mutex::new(sessions),
        }))
    }

    /// Whether the broker should have a session of this name.
    pub(super) fn had_session(&self, client_id: &str, broker: &str) -> bool {
        let sessions = self.sessions.lock().expect("no holder panics");
        sessions.get(client_id).is_some_and(|known| known == broker)
    }

    /// Notes that the broker has a session of this name, for this run and the next.
    pub(super) fn has_session(&self, client_id: &str, broker: &str) {
        let mut sessions = self.sessions.lock().expect("no holder panics");
        if sessions.get(client_id).is_some_and(|known| known == broker) {
            return;
        }
        sessions.insert(client_id.to_owned(), broker.to_owned());
        let Some(file) = &self.file else { return };
        let text = serde_json::to_vec(&*sessions).expect("names are plain data");
        if let Err(error) = durable::replace_file(file, &text) {
            tracing::warn!(file = %file.display(), %error,
                "the MQTT session cannot be noted: its loss before the next start would go unseen");
        }
    }

    pub(super) fn add(&self, gap: Gap) {
        let mut kept = self.kept.lock().expect("no holder panics");
        if kept.len() >= GAPS_KEPT {
            kept.pop_front();
        }
        kept.push_back(gap);
    }

    /// The newest gaps, oldest first.
    pub(super) fn list(&self) -> Vec<Gap> {
        let kept = self.kept.lock().expect("no holder panics");
        kept.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_remembered_and_gaps_stay_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sessions.json");
        let gaps = Gaps::open(Some(file.clone())).unwrap();
        assert!(!gaps.had_session("c", "mqtt://a"));
        gaps.has_session("c", "mqtt://a");
        let again = Gaps::open(Some(file.clone())).unwrap();
        assert!(again.had_session("c", "mqtt://a"));
        assert!(!again.had_session("c", "mqtt://b") && !again.had_session("d", "mqtt://a"));
        for connection in 0..GAPS_KEPT as u64 + 5 {
            again.add(Gap {
                client_id: "c".into(),
                from: None,
                to: DateTime::UNIX_EPOCH,
                connection,
            });
        }
        let list = again.list();
        assert_eq!((list.len(), list[0].connection), (GAPS_KEPT, 5));
        std::fs::write(&file, "{").unwrap();
        assert!(matches!(
            Gaps::open(Some(file)),
            Err(ConsumerError::Sessions { .. })
        ));
    }
}
