//! Who is known: every session by its client id.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::log::record::Record;
use super::log::recover::RecoveredSession;
use super::message::wall_ms;
use super::outbox::Outbox;
use super::router::Router;
use super::session::{Common, Left, Session};
use super::subscriptions::Subscription;
use crate::mqtt::packet::Will;

/// Every session by its client id.
#[derive(Debug)]
pub(crate) struct Sessions {
    by_client: Mutex<HashMap<String, Arc<Session>>>,
    next: AtomicU64,
    /// Part of the ids that the endpoint makes, so that they differ from those before a restart.
    started: u64,
    router: Arc<Router>,
    common: Arc<Common>,
}

/// Who asks for a session, and for what kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) clean_start: bool,
    /// Seconds that the session is to outlive its connection.
    pub(crate) expiry: u32,
}

/// A session that was joined with a connection.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) session: Arc<Session>,
    /// It was there before.
    pub(crate) present: bool,
    /// What must be on disk before the client is told.
    pub(crate) ticket: u64,
    /// The will of a session that had to end for it.
    pub(crate) will: Option<Box<Will>>,
}

/// Why a client does not get a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AttachError {
    /// The client id belongs to another user.
    #[error("the client id belongs to another user")]
    OtherUser,
    /// As many sessions as there may be.
    #[error("the endpoint keeps as many sessions as it may")]
    Full,
    /// The connection that has the session does not end.
    #[error("the older connection of this client id is still finishing what it received")]
    Busy,
}

impl Sessions {
    pub(crate) fn new(router: Arc<Router>, common: Arc<Common>, last_session: u64) -> Self {
        Self {
            by_client: Mutex::default(),
            next: AtomicU64::new(last_session + 1),
            started: wall_ms(),
            router,
            common,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a session that survived the process.
    pub(crate) fn restore(&self, number: u64, found: RecoveredSession) {
        let session = Arc::new(Session::recovered(number, found, self.common.clone()));
        for (filter, options, identifier) in session.filters() {
            let subscription = Subscription {
                session: session.clone(),
                options,
                identifier,
            };
            self.router.subscribe(&filter, subscription);
        }
        self.lock().insert(session.client_id.clone(), session);
    }

    /// A client id for a client that has none.
    pub(crate) fn make_client_id(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("assigned-{:x}-{number}", self.started)
    }

    /// Joins a connection with its client's session, new or old; an older connection is told to
    /// end, and waited for.
    pub(crate) async fn attach(
        &self,
        wanted: &Wanted<'_>,
        outbox: &Arc<Outbox>,
    ) -> Result<Attached, AttachError> {
        let patience = self.common.limits.takeover_timeout;
        let mut will = None;
        let joining = async {
            loop {
                let known = self.lock().get(wanted.client_id).cloned();
                if let Some(known) = &known {
                    if known.user.as_deref() != wanted.user {
                        return Err(AttachError::OtherUser);
                    }
                    known.vacated().await;
                }
                if let Some(attached) = self.try_attach(wanted, outbox, &mut will)? {
                    return Ok(attached);
                }
            }
        };
        let joined = tokio::time::timeout(patience, joining).await;
        let mut attached = joined.unwrap_or(Err(AttachError::Busy))?;
        attached.will = will;
        Ok(attached)
    }

    /// `None` when somebody else was faster.
    fn try_attach(
        &self,
        wanted: &Wanted<'_>,
        outbox: &Arc<Outbox>,
        will: &mut Option<Box<Will>>,
    ) -> Result<Option<Attached>, AttachError> {
        let mut batch = self.common.log.begin();
        let mut sessions = self.lock();
        let known = sessions.get(wanted.client_id).cloned();
        if let Some(known) = known {
            if known.user.as_deref() != wanted.user {
                return Err(AttachError::OtherUser);
            }
            if known.is_online() {
                return Ok(None);
            }
            if wanted.clean_start || !known.is_persistent() || known.is_due(wall_ms()) {
                sessions.remove(wanted.client_id);
                let (filters, left) = known.end(Some(&mut batch));
                *will = left.or(will.take());
                self.unsubscribe(&known, &filters);
            } else if known.resume(outbox, wanted.expiry) {
                batch.put(&opened(&known, wanted.expiry));
                drop(sessions);
                let ticket = batch.end();
                return Ok(Some(Attached {
                    session: known,
                    present: true,
                    ticket,
                    will: None,
                }));
            } else {
                return Ok(None);
            }
        }
        let limit = self.common.limits.sessions;
        if wanted.expiry > 0 && self.persistent(&sessions) >= limit {
            return Err(AttachError::Full);
        }
        let session = Arc::new(Session::new(
            self.next.fetch_add(1, Ordering::Relaxed),
            wanted.client_id.to_owned(),
            wanted.user.map(str::to_owned),
            wanted.expiry,
            self.common.clone(),
        ));
        session.link(outbox);
        if session.is_persistent() {
            batch.put(&opened(&session, wanted.expiry));
        }
        sessions.insert(wanted.client_id.to_owned(), session.clone());
        drop(sessions);
        Ok(Some(Attached {
            session,
            present: false,
            ticket: batch.end(),
            will: None,
        }))
    }

    fn persistent(&self, sessions: &HashMap<String, Arc<Session>>) -> usize {
        if sessions.len() < self.common.limits.sessions {
            return 0;
        }
        let kept = |session: &&Arc<Session>| session.is_persistent();
        sessions.values().filter(kept).count()
    }

    /// The connection lets go of its session; its will comes back when it is due at once.
    pub(crate) fn detach(
        &self,
        session: &Arc<Session>,
        new_expiry: Option<u32>,
        will: Option<Box<Will>>,
    ) -> Option<Box<Will>> {
        let delayed = will.as_ref().is_some_and(|will| will.delay > 0);
        let (now, later) = if delayed { (None, will) } else { (will, None) };
        match session.leave(new_expiry, later.clone()) {
            Left::Stays => now,
            Left::Ends => {
                self.end(session);
                now.or(later)
            }
        }
    }

    /// Ends a session whose client is away.
    fn end(&self, session: &Arc<Session>) -> Option<Box<Will>> {
        let mut batch = self.common.log.begin();
        let mut sessions = self.lock();
        // Its client may have come back, or another session may have its name by now.
        let known = sessions.get(&session.client_id);
        if session.is_online() || !known.is_some_and(|known| Arc::ptr_eq(known, session)) {
            return None;
        }
        sessions.remove(&session.client_id);
        let (filters, will) = session.end(Some(&mut batch));
        drop(sessions);
        drop(batch);
        self.unsubscribe(session, &filters);
        will
    }

    /// Ends sessions whose time is over, and collects the wills that are due.
    pub(crate) fn sweep(&self) -> Vec<Will> {
        let now = wall_ms();
        let away: Vec<Arc<Session>> = {
            let sessions = self.lock();
            let away = sessions.values().filter(|session| !session.is_online());
            away.cloned().collect()
        };
        let mut wills = Vec::new();
        for session in away {
            let will = if session.is_due(now) {
                self.end(&session)
            } else {
                session.due_will(now)
            };
            wills.extend(will.map(|will| *will));
        }
        wills
    }

    /// How many sessions there are, connected ones included.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Writes every session that is kept through `put`, one at a time.
    pub(crate) fn dump(&self, put: &mut dyn FnMut(&[u8])) {
        let all: Vec<Arc<Session>> = self.lock().values().cloned().collect();
        for session in all {
            let mut records = Vec::new();
            session.dump(&mut records);
            if !records.is_empty() {
                put(&records);
            }
        }
    }

    fn unsubscribe(&self, session: &Session, filters: &[String]) {
        for filter in filters {
            self.router.unsubscribe(filter, session.number);
        }
    }
}

fn opened(session: &Session, expiry: u32) -> Record {
    Record::Opened {
        session: session.number,
        expiry,
        user: session.user.clone(),
        client_id: session.client_id.clone(),
    }
}
