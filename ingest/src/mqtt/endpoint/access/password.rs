//! Password hashes: argon2id, written in PHC form.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};

/// Why a password cannot be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Nothing to hash.
    #[error("the password is empty")]
    Empty,
    /// The system has no randomness, or the password is too long.
    #[error("the password cannot be hashed")]
    Failed,
}

/// A hash for a user's `password_hash`, in PHC form, with a salt of its own.
///
/// **Errors**: see [`HashError`].
pub fn hash_password(password: &str) -> Result<String, HashError> {
    if password.is_empty() {
        return Err(HashError::Empty);
    }
    let hashed = Argon2::default().hash_password(password.as_bytes());
    Ok(hashed.map_err(|_| HashError::Failed)?.to_string())
}

/// A hash that passwords are checked against.
#[derive(Clone)]
pub(super) struct StoredHash(PasswordHash);

impl StoredHash {
    /// `None` when it is not an argon2id hash.
    pub(super) fn read(text: &str) -> Option<Self> {
        let hash = PasswordHash::new(text).ok()?;
        let is_whole = hash.hash.is_some() && hash.salt.is_some();
        (hash.algorithm.as_str() == "argon2id" && is_whole).then_some(Self(hash))
    }

    /// Whether it is the hash of a password. Takes a core for a while.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        Argon2::default().verify_password(password, &self.0).is_ok()
    }
}
