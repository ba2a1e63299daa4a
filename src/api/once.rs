//! A command has its effect once: key, effect and answer are one transaction of the store.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fieldwright_workorders::problem::{Family, Problem as Failure};
use fieldwright_workorders::store::idempotency::{self, Key, KeyError};
use fieldwright_workorders::store::{Ctx, Db, StoreError, Tx};
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use super::precondition::etag;

/// Says that the answer is the one of an earlier request with the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The answer to a command: the new state of a thing.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    body: Value,
    /// The collection that the thing belongs to, for `Location`.
    collection: &'static str,
    repeated: bool,
}

/// Why a command had no effect.
#[derive(Debug, thiserror::Error)]
pub enum OnceError<E: Failure> {
    /// The key was refused.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The command itself was refused.
    #[error(transparent)]
    Effect(E),
    /// The transaction failed.
    #[error(transparent)]
    Store(StoreError),
}

impl<E: Failure> From<StoreError> for OnceError<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl<E: Failure> Failure for OnceError<E> {
    fn family(&self) -> Family {
        match self {
            Self::Key(error) => error.family(),
            Self::Effect(error) => error.family(),
            Self::Store(error) => error.family(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Key(error) => error.code(),
            Self::Effect(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

/// Runs a command in one transaction; with a key that was seen, gives its first answer instead.
///
/// `effect` may run several times, so it changes nothing but the store; it says whether the thing
/// is new, and its new state as the API shows it.
///
/// **Errors**: the key stands for another request, or the command was refused.
pub async fn once<'a, T, E, F>(
    db: &Db,
    ctx: &'a Ctx,
    key: Option<&'a Key>,
    collection: &'static str,
    effect: &'a F,
) -> Result<Answer, OnceError<E>>
where
    T: Serialize + 'a,
    E: Failure + Send + 'static,
    F: for<'c> Fn(&'c mut Tx<'a>) -> BoxFuture<'c, Result<(bool, T), E>> + Sync,
{
    db.write(|tx| Box::pin(run(tx, ctx, key, collection, effect)))
        .await
}

async fn run<'a, T, E, F>(
    tx: &mut Tx<'a>,
    ctx: &'a Ctx,
    key: Option<&'a Key>,
    collection: &'static str,
    effect: &'a F,
) -> Result<Answer, OnceError<E>>
where
    T: Serialize + 'a,
    E: Failure + Send + 'static,
    F: for<'c> Fn(&'c mut Tx<'a>) -> BoxFuture<'c, Result<(bool, T), E>> + Sync,
{
    if let Some(key) = key
        && let Some(kept) = idempotency::claim(tx, key).await?
    {
        let status = StatusCode::from_u16(kept.status)
            .map_err(|error| StoreError::unreadable("idempotency.status", error))?;
        return Ok(Answer {
            status,
            body: kept.body,
            collection,
            repeated: true,
        });
    }
    let (is_new, body) = effect(tx).await.map_err(OnceError::Effect)?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let body = serde_json::to_value(body).expect("wire types are plain data");
    if let Some(key) = key {
        idempotency::keep(tx, ctx, key, status.as_u16(), &body).await?;
    }
    Ok(Answer {
        status,
        body,
        collection,
        repeated: false,
    })
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let version = self.body["version"].as_i64();
        let location = self.body["id"]
            .as_str()
            .filter(|_| self.status == StatusCode::CREATED)
            .map(|id| format!("{}{}/{id}", super::BASE, self.collection));
        let mut response = (self.status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        if let Some(version) = version {
            headers.insert(header::ETAG, etag(version));
        }
        if let Some(location) = location.and_then(|path| HeaderValue::try_from(path).ok()) {
            headers.insert(header::LOCATION, location);
        }
        if self.repeated {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}
