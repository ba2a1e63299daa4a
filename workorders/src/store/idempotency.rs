//! One key, one effect, one answer, kept in the same transaction as the effect.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::columns::{int, json, micros, text};
use super::{Ctx, Db, StoreError, Tx};
use crate::problem::{Family, Problem};

/// Characters of a key at most.
pub const MAX_KEY: usize = 200;

/// A key and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The caller's key, unique per operation and caller's wish.
    pub key: String,
    /// A digest of the request; the same key with another digest is a conflict.
    pub fingerprint: String,
}

impl Key {
    /// A key for a request: `operation` is method and path, `body` its bytes.
    pub fn new(key: impl Into<String>, operation: &str, body: &[u8]) -> Self {
        let mut whole = Vec::with_capacity(operation.len() + 1 + body.len());
        whole.extend_from_slice(operation.as_bytes());
        whole.push(0);
        whole.extend_from_slice(body);
        Self {
            key: key.into(),
            fingerprint: digest(&whole),
        }
    }
}

/// An answer, as given the first time.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Value,
    /// Whether the answer was kept from an earlier request with the same key.
    pub repeated: bool,
}

/// Why a key was not taken.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key stands for another request.
    #[error(
        "idempotency key `{key}` was used for another request: \
         use a new key for a new request, the same body for a repeat"
    )]
    Reused {
        /// The key.
        key: String,
    },
    /// The key is empty or too long.
    #[error("an idempotency key has 1 to {MAX_KEY} characters, this one has {length}")]
    Length {
        /// Characters of the key.
        length: usize,
    },
    /// The store failed.
    #[error("the idempotency key could not be checked")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for KeyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Problem for KeyError {
    fn family(&self) -> Family {
        match self {
            Self::Reused { .. } => Family::KeyReused,
            Self::Length { .. } => Family::Invalid,
            Self::Store(error) => error.family(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Reused { .. } => "idempotency_key_reused",
            Self::Length { .. } => "idempotency_key_length",
            Self::Store(error) => error.code(),
        }
    }
}

/// The kept answer for the key, or none when the caller is first and must go on.
///
/// **Errors** when the key stands for another request, or the store fails.
pub async fn claim(tx: &mut Tx<'_>, key: &Key) -> Result<Option<Answer>, KeyError> {
    let length = key.key.chars().count();
    if !(1..=MAX_KEY).contains(&length) {
        return Err(KeyError::Length { length });
    }
    let row = sqlx::query("SELECT fingerprint, status, response FROM idempotency WHERE key = $1")
        .bind(key.key.as_str())
        .fetch_optional(tx.conn())
        .await?;
    let Some(row) = row else { return Ok(None) };
    if text(&row, "fingerprint")? != key.fingerprint {
        return Err(KeyError::Reused {
            key: key.key.clone(),
        });
    }
    let status = int(&row, "status")?;
    Ok(Some(Answer {
        status: u16::try_from(status)
            .map_err(|error| StoreError::unreadable("idempotency.status", error))?,
        body: json(&row, "response")?,
        repeated: true,
    }))
}

/// Keeps the answer of a key that [`claim`] found free, beside the effect.
///
/// **Errors** when the store fails.
pub async fn keep(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    key: &Key,
    status: u16,
    body: &Value,
) -> Result<(), KeyError> {
    sqlx::query(
        "INSERT INTO idempotency (key, fingerprint, status, response, kept_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(key.key.as_str())
    .bind(key.fingerprint.as_str())
    .bind(i64::from(status))
    .bind(body.to_string())
    .bind(micros(ctx.wall))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets the keys kept before an instant of the machine's own clock; returns how many.
///
/// **Errors** when the store fails.
pub async fn forget_before(db: &Db, before: DateTime<Utc>) -> Result<u64, StoreError> {
    db.write(|tx| {
        Box::pin(async move {
            let done = sqlx::query("DELETE FROM idempotency WHERE kept_at < $1")
                .bind(micros(before))
                .execute(tx.conn())
                .await?;
            Ok(done.rows_affected())
        })
    })
    .await
}

/// A digest of bytes: SHA-1 behind a version 5 UUID. It tells repeats apart, it keeps no secret.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, bytes)
        .simple()
        .to_string()
}
