//! One store serves one data folder, on one clock, in one running service at a time.
//!
//! The row says to which folder the store belongs: the readings, the alarms' models and the clock
//! of another folder would make nonsense of its orders. The lock keeps a copy of that folder away
//! while the service runs; it ends with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;
use std::sync::Mutex;

use chrono::{DateTime, Utc};
use sqlx::{AnyConnection, Connection};

use super::columns::{micros, text};
use super::{Db, StoreError, Tx};

/// How long a start waits for the lock of a service that just ended.
///
/// PostgreSQL lets go of it when it notices that the session is gone, a moment after a kill.
const PATIENCE: &str = "SET lock_timeout = '3s'";
/// PostgreSQL's code for a lock that was not free in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// Our locks among all advisory locks of a database; the lower half is the table that is locked.
const LOCK_SPACE: i64 = 0x4657_0001 << 32;

/// The store is ours until this is released or dropped.
#[derive(Debug)]
#[must_use = "the store is free again once the claim is dropped"]
pub struct StoreClaim {
    hold: Hold,
}

#[derive(Debug)]
enum Hold {
    /// The lock file beside a SQLite file; the kernel lets it go with the process.
    File { _lock: File },
    /// A session of PostgreSQL that holds the lock. The mutex makes it shareable; nobody waits.
    Session(Mutex<AnyConnection>),
    /// A store in memory, which nobody else can open.
    Nothing,
}

impl StoreClaim {
    /// Lets the store go, and waits until another service may claim it.
    pub async fn release(self) {
        if let Hold::Session(session) = self.hold {
            let session = session
                .into_inner()
                .expect("nobody locks it, so none panics");
            if let Err(error) = session.close().await {
                tracing::debug!(%error, "the store's lock ends with its connection");
            }
        }
    }
}

impl Db {
    /// Claims the store for a data folder and its clock, and for this process.
    ///
    /// `folder` is the lasting identity of the data folder, not its path; `clock` says which clock
    /// its times come from. The first claim ever writes both into the store. Whoever only reads
    /// claims nothing. Keep the claim as long as the service runs.
    ///
    /// **Errors** when the store belongs to another folder or clock, when another running service
    /// holds it, or when it is away.
    pub async fn claim(
        &self,
        folder: &str,
        clock: &str,
        now: DateTime<Utc>,
    ) -> Result<StoreClaim, StoreError> {
        // The lock first: two that start at once on a fresh store must not both be the first.
        let hold = if self.is_postgres() {
            lock_session(self).await?
        } else {
            lock_file(self).await?
        };
        let claim = StoreClaim { hold };
        let belongs = self
            .write(|tx| Box::pin(async move { belong(tx, folder, clock, now).await }))
            .await;
        match belongs {
            Ok(()) => Ok(claim),
            Err(refused) => {
                claim.release().await;
                Err(refused)
            }
        }
    }
}

async fn belong(
    tx: &mut Tx<'_>,
    folder: &str,
    clock: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT folder, clock FROM store_identity")
        .fetch_optional(tx.conn())
        .await?;
    let Some(row) = row else {
        sqlx::query(
            "INSERT INTO store_identity (one, folder, clock, made_at) VALUES (1, $1, $2, $3)",
        )
        .bind(folder)
        .bind(clock)
        .bind(micros(now))
        .execute(tx.conn())
        .await?;
        return Ok(());
    };
    let (its_folder, its_clock) = (text(&row, "folder")?, text(&row, "clock")?);
    if its_folder != folder {
        return Err(StoreError::OtherFolder {
            owner: its_folder,
            clock: its_clock,
            asking: folder.to_owned(),
        });
    }
    if its_clock != clock {
        return Err(StoreError::OtherClock {
            owner: its_clock,
            asking: clock.to_owned(),
        });
    }
    Ok(())
}

async fn lock_session(db: &Db) -> Result<Hold, StoreError> {
    let mut session = db.pool().acquire().await?.detach();
    sqlx::raw_sql(PATIENCE).execute(&mut session).await?;
    // The table's own number: two stores in two schemas of one database do not meet. As text,
    // because the portable driver knows no empty type.
    let locked = sqlx::query(
        "SELECT pg_advisory_lock($1 + 'store_identity'::regclass::oid::bigint)::text AS locked",
    )
    .bind(LOCK_SPACE)
    .fetch_one(&mut session)
    .await;
    match locked {
        Ok(_) => Ok(Hold::Session(Mutex::new(session))),
        Err(sqlx::Error::Database(error))
            if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) =>
        {
            let row = sqlx::query("SELECT current_database()::text AS name")
                .fetch_one(&mut session)
                .await?;
            Err(StoreError::InUse {
                store: format!("PostgreSQL database {}", text(&row, "name")?),
            })
        }
        Err(error) => Err(error.into()),
    }
}

async fn lock_file(db: &Db) -> Result<Hold, StoreError> {
    // SQLite knows its file better than the URL that named it.
    let row = sqlx::query("SELECT file FROM pragma_database_list WHERE name = 'main'")
        .fetch_one(db.pool())
        .await?;
    let file = text(&row, "file")?;
    if file.is_empty() {
        return Ok(Hold::Nothing);
    }
    let file = PathBuf::from(file);
    // Two names of one file are one store.
    let mut path = file.canonicalize().unwrap_or(file).into_os_string();
    path.push(".lock");
    let path = PathBuf::from(path);
    let fail = |source| StoreError::Lock {
        path: path.clone(),
        source,
    };
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(fail)?;
    match lock.try_lock() {
        Ok(()) => Ok(Hold::File { _lock: lock }),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
            store: path.with_extension("").display().to_string(),
        }),
        Err(TryLockError::Error(source)) => Err(fail(source)),
    }
}

#[cfg(test)]
mod tests;
