//! One writing transaction.

use std::marker::PhantomData;
use std::sync::Arc;

use sqlx::{Any, AnyConnection, Transaction};
use tokio::sync::{OwnedMutexGuard, watch};

use super::StoreError;

/// A writing transaction; dropped uncommitted it changes nothing.
///
/// The lifetime is that of what the body of [`super::Db::write`] borrows.
pub struct Tx<'a> {
    inner: Transaction<'static, Any>,
    /// The newest outbox seq written in this transaction.
    pub(super) newest_event: Option<i64>,
    told: Arc<watch::Sender<i64>>,
    // Released after `inner`: fields drop in the order of their declaration.
    _gate: OwnedMutexGuard<()>,
    _borrows: PhantomData<&'a ()>,
}

impl Tx<'_> {
    pub(super) fn new(
        inner: Transaction<'static, Any>,
        told: Arc<watch::Sender<i64>>,
        gate: OwnedMutexGuard<()>,
    ) -> Self {
        Self {
            inner,
            newest_event: None,
            told,
            _gate: gate,
            _borrows: PhantomData,
        }
    }

    /// The connection inside the transaction, for `sqlx` calls.
    pub fn conn(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }

    /// Makes everything durable, then tells those who wait for events.
    ///
    /// **Errors** when the store refuses; nothing was changed then.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.inner.commit().await.map_err(StoreError::Commit)?;
        if let Some(seq) = self.newest_event {
            self.told.send_modify(|known| *known = seq.max(*known));
        }
        Ok(())
    }

    /// Takes everything back.
    ///
    /// **Errors** when the store is away; nothing was changed in any case.
    pub async fn rollback(self) -> Result<(), StoreError> {
        self.inner.rollback().await?;
        Ok(())
    }
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx")
            .field("newest_event", &self.newest_event)
            .finish_non_exhaustive()
    }
}
