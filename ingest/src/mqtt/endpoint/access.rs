//! Who may come in, and what they may do.
//!
//! With users configured everybody needs a name and a password, and may do what is written there
//! and nothing else. Without users the service's token is everybody's password; without a token,
//! too, only clients on this machine come in, and may do everything.

mod password;
#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::mqtt::topic;

pub use password::{HashError, hash_password};

use password::StoredHash;

/// Passwords that are checked at once: each costs a core for a while, and memory, and at most half
/// of the cores are for strangers.
fn checked_at_once() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    (cores / 2).max(1)
}

/// A device, a dashboard, a person: whoever connects with a name and a password.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Its name.
    pub name: String,
    /// An argon2id hash in PHC form, as `fieldwright mqtt hash-password` prints it.
    pub password_hash: String,
    /// Topics that it may publish to: filters with `+` and `#`; `{user}` and `{client}` stand for
    /// its own names.
    #[serde(default)]
    pub publish: Vec<String>,
    /// Filters that it may subscribe to, or any part of one.
    #[serde(default)]
    pub subscribe: Vec<String>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("password_hash", &"***")
            .field("publish", &self.publish)
            .field("subscribe", &self.subscribe)
            .finish()
    }
}

/// Why users cannot be used as they are configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// No name.
    #[error("an MQTT user has no name")]
    NoName,
    /// A name that comes twice.
    #[error("the MQTT user {0:?} is configured twice")]
    Twice(String),
    /// Not a hash that can be checked.
    #[error(
        "the password hash of the MQTT user {0:?} is not an argon2id hash in PHC form: \
         make one with `fieldwright mqtt hash-password`"
    )]
    Hash(String),
    /// Not a filter.
    #[error("the MQTT user {name:?} has the topic {pattern:?}, which is not a filter")]
    Pattern {
        /// Whose.
        name: String,
        /// What stands there.
        pattern: String,
    },
}

impl User {
    /// What is wrong with a list of users, each mistake once.
    pub fn mistakes(users: &[Self]) -> Vec<UserError> {
        let mut found = Vec::new();
        for (at, user) in users.iter().enumerate() {
            if user.name.is_empty() {
                found.push(UserError::NoName);
            }
            if users[..at].iter().any(|other| other.name == user.name) {
                found.push(UserError::Twice(user.name.clone()));
            }
            if StoredHash::read(&user.password_hash).is_none() {
                found.push(UserError::Hash(user.name.clone()));
            }
            for pattern in user.publish.iter().chain(&user.subscribe) {
                if topic::check_filter(pattern, usize::MAX, usize::MAX).is_err() {
                    found.push(UserError::Pattern {
                        name: user.name.clone(),
                        pattern: pattern.clone(),
                    });
                }
            }
        }
        found
    }
}

/// What a client may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    /// `None`: everything.
    publish: Option<Vec<String>>,
    subscribe: Option<Vec<String>>,
}

impl Rights {
    #[cfg(test)]
    pub(super) fn of(publish: &[String], subscribe: &[String]) -> Self {
        Self {
            publish: Some(publish.to_vec()),
            subscribe: Some(subscribe.to_vec()),
        }
    }

    /// Whether a message may be published on a topic.
    pub(super) fn may_publish(&self, name: &str) -> bool {
        let selects = |pattern: &String| topic::matches(pattern, name);
        self.publish
            .as_ref()
            .is_none_or(|patterns| patterns.iter().any(selects))
    }

    /// Whether a filter, without its group, may be subscribed to.
    pub(super) fn may_subscribe(&self, filter: &str) -> bool {
        let covers = |pattern: &String| topic::covers(pattern, filter);
        self.subscribe
            .as_ref()
            .is_none_or(|patterns| patterns.iter().any(covers))
    }
}

/// Why somebody does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("the user name or the password is missing or wrong")]
    Credentials,
    #[error("without users and without a token only clients on this machine may connect")]
    NotLocal,
}

/// The doorkeeper.
pub(super) struct Access {
    token: Option<String>,
    users: HashMap<String, Known>,
    /// Checked for names that nobody has, so that they take as long as any.
    nobody: Option<StoredHash>,
    checking: Arc<Semaphore>,
    /// Right passwords by user, as a keyed hash under a key that never leaves the process: a fleet
    /// that comes back after a cut does not pay for every password again.
    seen: Mutex<HashMap<String, u64>>,
    key: RandomState,
}

struct Known {
    hash: StoredHash,
    publish: Vec<String>,
    subscribe: Vec<String>,
}

impl Access {
    pub(super) fn new(users: &[User], token: Option<String>) -> Result<Self, UserError> {
        if let Some(mistake) = User::mistakes(users).into_iter().next() {
            return Err(mistake);
        }
        let mut known = HashMap::new();
        for user in users {
            let hash = StoredHash::read(&user.password_hash)
                .ok_or_else(|| UserError::Hash(user.name.clone()))?;
            let entry = Known {
                hash,
                publish: user.publish.clone(),
                subscribe: user.subscribe.clone(),
            };
            known.insert(user.name.clone(), entry);
        }
        Ok(Self {
            token,
            nobody: known.values().next().map(|user| user.hash.clone()),
            users: known,
            checking: Arc::new(Semaphore::new(checked_at_once())),
            seen: Mutex::default(),
            key: RandomState::new(),
        })
    }

    /// Whether a session that was kept may go on: its user must still be there.
    pub(super) fn knows(&self, user: Option<&str>) -> bool {
        match user {
            Some(name) => self.users.contains_key(name),
            None => self.users.is_empty(),
        }
    }

    /// What a client of a known user may do.
    pub(super) fn rights(&self, user: Option<&str>, client_id: &str) -> Rights {
        let Some((name, known)) = user.and_then(|name| Some((name, self.users.get(name)?))) else {
            return Rights::default();
        };
        let fill = |patterns: &[String]| {
            let filled = patterns.iter().filter_map(|one| fill(one, name, client_id));
            Some(filled.collect())
        };
        Rights {
            publish: fill(&known.publish),
            subscribe: fill(&known.subscribe),
        }
    }

    /// Lets a client in, or not; a password is checked off the threads that serve connections.
    pub(super) async fn admit(
        &self,
        user: Option<&str>,
        password: Option<&[u8]>,
        peer: IpAddr,
    ) -> Result<Option<String>, Denied> {
        let password = password.unwrap_or_default();
        if !self.users.is_empty() {
            let name = user.ok_or(Denied::Credentials)?;
            return match self.check(name, password).await {
                true => Ok(Some(name.to_owned())),
                false => Err(Denied::Credentials),
            };
        }
        match &self.token {
            Some(token) if same(token.as_bytes(), password) => Ok(None),
            Some(_) => Err(Denied::Credentials),
            None if peer.is_loopback() => Ok(None),
            None => Err(Denied::NotLocal),
        }
    }

    async fn check(&self, name: &str, password: &[u8]) -> bool {
        let digest = self.key.hash_one((name, password));
        let known = self.users.get(name);
        if known.is_some() && self.seen().get(name) == Some(&digest) {
            return true;
        }
        let Some(hash) = known.map(|user| &user.hash).or(self.nobody.as_ref()) else {
            return false;
        };
        let Ok(turn) = self.checking.clone().acquire_owned().await else {
            return false;
        };
        let (hash, password) = (hash.clone(), password.to_vec());
        let checking = tokio::task::spawn_blocking(move || {
            // Over when the check is, not when its client has gone.
            let _turn = turn;
            hash.is_of(&password)
        });
        let checked = checking.await;
        let right = known.is_some() && checked.unwrap_or(false);
        if right {
            // One entry per configured user.
            self.seen().insert(name.to_owned(), digest);
        }
        right
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pattern with the names filled in; `None` when a name would change what it selects.
fn fill(pattern: &str, user: &str, client_id: &str) -> Option<String> {
    let mut filled = pattern.to_owned();
    for (place, name) in [("{user}", user), ("{client}", client_id)] {
        if pattern.contains(place) {
            if name.is_empty() || name.contains(['/', '+', '#']) {
                return None;
            }
            filled = filled.replace(place, name);
        }
    }
    Some(filled)
}

/// Compares without telling by its time which byte was wrong.
fn same(expected: &[u8], given: &[u8]) -> bool {
    let pairs = expected.iter().zip(given);
    let differences = pairs.fold(0, |sum, (one, other)| sum | (one ^ other));
    expected.len() == given.len() && differences == 0
}
