//! The pools, and the only place where transactions begin.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyConnection, AnyPool, Transaction};
use tokio::sync::{Mutex, watch};

use super::address::{file_url, without_password};
use super::error::worth_another_try;
use super::{StoreError, Tx, migrations};

/// How often one transaction is run again after a serialization failure.
const MAX_TRIES: usize = 20;
/// Connections of the service itself at most; each SQLite one is a thread.
const MAX_CONNECTIONS: u32 = 8;
/// Connections at most for those outside who only read, however long they read.
const MAX_READING_CONNECTIONS: u32 = 4;
/// How long one may wait for a connection, a store that does not answer included.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// What SQLite must be told on every new connection.
///
/// A commit that finds the write-ahead log long folds it into the file, and whoever waits for that
/// commit waits for several more syncs. The service folds it on the side ([`Db::fold_log`]), long
/// before it has these pages (40 MB).
const SQLITE_PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 30000; PRAGMA wal_autocheckpoint = 10000;";

/// What both are told besides on connections that only read.
const SQLITE_READ_ONLY: &str = "PRAGMA query_only = ON;";
const POSTGRES_READ_ONLY: &str = "SET default_transaction_read_only = on";

/// Which store stands behind the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    fn of(url: &str) -> Option<Self> {
        match url.split(':').next()? {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }

    fn begin_write(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN ISOLATION LEVEL SERIALIZABLE",
        }
    }

    fn begin_read(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN DEFERRED",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }
}

/// The operational store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pool: AnyPool,
    reading_pool: AnyPool,
    dialect: Dialect,
    gate: Arc<Mutex<()>>,
    events: Arc<watch::Sender<i64>>,
}

impl Db {
    /// Opens the store at `url`, makes it if it is a missing SQLite file, and migrates it.
    ///
    /// `url` is `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    ///
    /// **Errors** when the URL is not understood, the store is away, or its schema is not ours.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let shown = without_password(url);
        let dialect = Dialect::of(url).ok_or_else(|| StoreError::Url { url: shown.clone() })?;
        let full_url = match dialect {
            Dialect::Sqlite if !url.contains("mode=") => {
                let joint = if url.contains('?') { '&' } else { '?' };
                format!("{url}{joint}mode=rwc")
            }
            _ => url.to_owned(),
        };
        let away = |source| StoreError::Open {
            url: shown.clone(),
            source,
        };
        let pool = AnyPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A file does not go away like a server does; asking costs an alarm its time.
            .test_before_acquire(dialect != Dialect::Sqlite)
            .after_connect(move |connection, _| Box::pin(prepare(connection, dialect)));
        let reading_pool = AnyPoolOptions::new()
            .max_connections(MAX_READING_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |connection, _| Box::pin(prepare_to_read(connection, dialect)))
            .connect_lazy(&full_url);
        let pool = pool.connect(&full_url).await.map_err(away)?;
        let db = Self {
            pool,
            reading_pool: reading_pool.map_err(away)?,
            dialect,
            gate: Arc::new(Mutex::new(())),
            events: Arc::new(watch::Sender::new(0)),
        };
        migrations::run(&db).await?;
        db.events
            .send_replace(super::outbox::newest_seq(&db).await?);
        Ok(db)
    }

    /// Opens the SQLite file at `path`, whatever characters it has, and makes it if it is missing.
    ///
    /// **Errors** as [`Db::open`].
    pub async fn open_file(path: &Path) -> Result<Self, StoreError> {
        Self::open(&file_url(path)).await
    }

    /// The pool, for the service's own reading.
    ///
    /// Whoever writes through it must take [`Db::write_gate`] first.
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// The pool for those outside who read what and as long as they like, such as SQL by people.
    ///
    /// Its connections are its own, so readers never take one that a writer waits for, and the
    /// store refuses to write on them.
    pub fn reading_pool(&self) -> &AnyPool {
        &self.reading_pool
    }

    /// The queue in which writers of this process wait for their turn.
    pub fn write_gate(&self) -> Arc<Mutex<()>> {
        self.gate.clone()
    }

    /// The newest committed outbox seq; it changes after a commit, never before.
    pub fn events(&self) -> watch::Receiver<i64> {
        self.events.subscribe()
    }

    /// Whether the store is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        self.dialect == Dialect::Postgres
    }

    /// Begins a writing transaction once this process's other writers are done.
    ///
    /// Prefer [`Db::write`], which also tries again where the store asks for it.
    ///
    /// **Errors** when the store is away or locked by another program.
    pub async fn begin<'a>(&self) -> Result<Tx<'a>, StoreError> {
        let gate = self.gate.clone().lock_owned().await;
        let inner = self
            .pool
            .begin_with(self.dialect.begin_write())
            .await
            .map_err(StoreError::Begin)?;
        Ok(Tx::new(inner, self.events.clone(), gate))
    }

    /// Begins a reading transaction: everything read inside is of one moment.
    ///
    /// **Errors** when the store is away.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Any>, StoreError> {
        self.pool
            .begin_with(self.dialect.begin_read())
            .await
            .map_err(StoreError::Begin)
    }

    /// Runs `body` in one transaction and commits it; runs it again after a serialization failure.
    ///
    /// `body` may run several times, so it must change nothing but the store.
    ///
    /// **Errors** of the body take everything back.
    pub async fn write<'a, T, E, F>(&self, mut body: F) -> Result<T, E>
    where
        F: for<'c> FnMut(&'c mut Tx<'a>) -> BoxFuture<'c, Result<T, E>> + Send,
        E: From<StoreError> + std::error::Error + Send + 'static,
        T: Send,
    {
        let mut tries = 0;
        loop {
            tries += 1;
            let failure: E = match self.try_once(&mut body).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            if tries >= MAX_TRIES || !worth_another_try(&failure) {
                return Err(failure);
            }
            tracing::debug!(tries, "the store asked to run the transaction again");
            tokio::task::yield_now().await;
        }
    }

    async fn try_once<'a, T, E, F>(&self, body: &mut F) -> Result<T, E>
    where
        F: for<'c> FnMut(&'c mut Tx<'a>) -> BoxFuture<'c, Result<T, E>> + Send,
        E: From<StoreError> + std::error::Error + Send + 'static,
        T: Send,
    {
        let mut tx = self.begin().await?;
        match body(&mut tx).await {
            Ok(done) => {
                tx.commit().await?;
                Ok(done)
            }
            Err(failure) => {
                // The body's own error says more than a failed rollback would.
                if let Err(error) = tx.rollback().await {
                    tracing::debug!(%error, "rollback failed; the connection is dropped");
                }
                Err(failure)
            }
        }
    }

    /// Folds SQLite's write-ahead log into the file as far as no reader needs it; writers do not wait
    /// for it. Of PostgreSQL nothing is asked.
    ///
    /// **Errors** when the store is away.
    pub async fn fold_log(&self) -> Result<(), StoreError> {
        if self.dialect == Dialect::Sqlite {
            sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)")
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }

    /// Closes every connection; SQLite folds its write-ahead log into the file.
    pub async fn close(&self) {
        self.reading_pool.close().await;
        self.pool.close().await;
    }
}

async fn prepare(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), sqlx::Error> {
    if dialect == Dialect::Sqlite {
        sqlx::raw_sql(SQLITE_PRAGMAS).execute(connection).await?;
    }
    Ok(())
}

async fn prepare_to_read(
    connection: &mut AnyConnection,
    dialect: Dialect,
) -> Result<(), sqlx::Error> {
    prepare(connection, dialect).await?;
    let read_only = match dialect {
        Dialect::Sqlite => SQLITE_READ_ONLY,
        Dialect::Postgres => POSTGRES_READ_ONLY,
    };
    sqlx::raw_sql(read_only).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
