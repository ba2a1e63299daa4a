//! Alarms in the operational store: the same SQL on SQLite and PostgreSQL.
//!
//! Every alarm has one row; its `open_key` is asset and cause while it is open and its own id
//! afterwards, so a unique index is what keeps two open alarms of one cause apart.

mod rows;
mod rules;
mod schema;
mod suppressions;
mod tables;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Row, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::alarm::{Alarm, AlarmId};
use super::event::AlarmEvent;
use super::moves::Change;
use super::rate::Raise;
use super::store::{
    AlarmFilter, AlarmStore, AlarmStoreError, AlarmWrite, MAX_PAGE, MAX_RAISES, Progress,
    RaiseFilter, RuleMemory, RuleWrite, SuppressedFilter, SuppressedWrite, SuppressionFilter,
};
use super::suppression::{Suppressed, Suppression, SuppressionId};

/// How often SQLite or PostgreSQL may ask for another try of one transaction.
const MAX_TRIES: usize = 20;

/// Rows of progress that one statement saves.
const PROGRESS_ROWS: usize = 32;

/// How a writing transaction begins on SQLite.
const SQLITE_BEGIN: &str = "BEGIN IMMEDIATE";

/// Alarms in the operational store.
#[derive(Debug, Clone)]
pub struct SqlAlarmStore {
    pool: AnyPool,
    gate: Arc<Mutex<()>>,
    begin: &'static str,
}

impl SqlAlarmStore {
    /// The alarms behind `pool`; makes the tables where they are missing.
    ///
    /// `gate` is the queue of this process's writers, shared with all who write to the same store.
    ///
    /// **Errors** when the store is away or its tables were made by a newer release.
    pub async fn open(pool: AnyPool, gate: Arc<Mutex<()>>) -> Result<Self, AlarmStoreError> {
        let connection = pool.acquire().await.map_err(failed("connect"))?;
        let begin = match connection.backend_name() {
            "SQLite" => SQLITE_BEGIN,
            _ => "BEGIN",
        };
        drop(connection);
        let store = Self { pool, gate, begin };
        schema::migrate(&store).await?;
        Ok(store)
    }

    /// A writing transaction, after this process's other writers.
    async fn begin(&self) -> Result<Writing, AlarmStoreError> {
        let turn = Arc::clone(&self.gate).lock_owned().await;
        let begun = self.pool.begin_with(self.begin).await;
        Ok(Writing {
            inner: begun.map_err(failed("begin a transaction"))?,
            _turn: turn,
        })
    }
}

/// A transaction that holds its turn.
struct Writing {
    inner: Transaction<'static, Any>,
    _turn: OwnedMutexGuard<()>,
}

impl Writing {
    async fn commit(self) -> Result<(), AlarmStoreError> {
        self.inner.commit().await.map_err(failed("commit"))
    }
}

#[async_trait]
impl AlarmStore for SqlAlarmStore {
    async fn save(&self, write: &AlarmWrite) -> Result<i64, AlarmStoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_save(write).await {
                Err(AlarmStoreError::Unavailable { source, .. })
                    if tries < MAX_TRIES && is_worth_another_try(&source) => {}
                saved => return saved,
            }
        }
    }

    async fn get(&self, id: &AlarmId) -> Result<Option<Alarm>, AlarmStoreError> {
        let row = sqlx::query("SELECT * FROM alarms WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read an alarm"))?;
        row.as_ref().map(rows::alarm).transpose()
    }

    async fn open_alarm(&self, asset: &str, cause: &str) -> Result<Option<Alarm>, AlarmStoreError> {
        let row = sqlx::query("SELECT * FROM alarms WHERE open_key = $1")
            .bind(format!("{asset}|{cause}"))
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read an open alarm"))?;
        row.as_ref().map(rows::alarm).transpose()
    }

    async fn list(&self, filter: &AlarmFilter) -> Result<Vec<Alarm>, AlarmStoreError> {
        let found = sqlx::query(
            "SELECT * FROM alarms WHERE ($1 IS NULL OR asset = $1) \
             AND ($2 IS NULL OR active = $2) \
             AND ($3 IS NULL OR (CASE WHEN closed_at IS NULL THEN 1 ELSE 0 END) = $3) \
             AND ($4 IS NULL OR shelved_until <= $4) \
             AND ($5 IS NULL OR id < $5) AND ($6 IS NULL OR cause = $6) \
             ORDER BY id DESC LIMIT $7",
        )
        .bind(filter.asset.clone())
        .bind(filter.active.map(i64::from))
        .bind(filter.open.map(i64::from))
        .bind(filter.shelved_until.map(|until| until.timestamp_micros()))
        .bind(filter.before.as_ref().map(|id| id.as_str().to_owned()))
        .bind(filter.cause.clone())
        .bind(rows::as_i64(filter.bounded_limit()))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list alarms"))?;
        found.iter().map(rows::alarm).collect()
    }

    async fn events_after(
        &self,
        seq: i64,
        limit: usize,
    ) -> Result<Vec<AlarmEvent>, AlarmStoreError> {
        let found = sqlx::query("SELECT * FROM alarm_events WHERE seq > $1 ORDER BY seq LIMIT $2")
            .bind(seq)
            .bind(rows::as_i64(limit.clamp(1, MAX_PAGE)))
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the events of alarms"))?;
        found.iter().map(rows::event).collect()
    }

    async fn last_seq(&self) -> Result<i64, AlarmStoreError> {
        let row = sqlx::query("SELECT value FROM alarm_counters WHERE name = 'events'")
            .fetch_one(&self.pool)
            .await
            .map_err(failed("read the newest event of alarms"))?;
        row.try_get(0)
            .map_err(failed("read the newest event of alarms"))
    }

    async fn save_progress(&self, progress: &[Progress]) -> Result<(), AlarmStoreError> {
        for page in progress.chunks(MAX_PAGE) {
            let mut writing = self.begin().await?;
            for some in page.chunks(PROGRESS_ROWS) {
                put_progress(&mut writing.inner, some).await?;
            }
            writing.commit().await?;
        }
        Ok(())
    }

    async fn progress(&self) -> Result<Vec<Progress>, AlarmStoreError> {
        let found = sqlx::query("SELECT * FROM detector_progress ORDER BY asset")
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the progress of detection"))?;
        found.iter().map(rows::progress).collect()
    }

    async fn save_suppression(&self, suppression: &Suppression) -> Result<(), AlarmStoreError> {
        suppressions::save(self, suppression).await
    }

    async fn suppression(
        &self,
        id: &SuppressionId,
    ) -> Result<Option<Suppression>, AlarmStoreError> {
        suppressions::get(self, id).await
    }

    async fn suppressions(
        &self,
        filter: &SuppressionFilter,
    ) -> Result<Vec<Suppression>, AlarmStoreError> {
        suppressions::list(self, filter).await
    }

    async fn covering(
        &self,
        asset: &str,
        class: &str,
        cause: &str,
        at: DateTime<Utc>,
    ) -> Result<Vec<Suppression>, AlarmStoreError> {
        suppressions::covering(self, asset, class, cause, at).await
    }

    async fn save_suppressed(&self, write: &SuppressedWrite) -> Result<(), AlarmStoreError> {
        let mut writing = self.begin().await?;
        suppressions::put_suppressed(&mut writing.inner, &write.suppressed).await?;
        put_progress(&mut writing.inner, write.progress.as_slice()).await?;
        writing.commit().await
    }

    async fn suppressed(
        &self,
        filter: &SuppressedFilter,
    ) -> Result<Vec<Suppressed>, AlarmStoreError> {
        suppressions::list_suppressed(self, filter).await
    }

    async fn raises(&self, filter: &RaiseFilter) -> Result<Vec<Raise>, AlarmStoreError> {
        let limit = filter.limit.clamp(1, MAX_RAISES);
        let found = sqlx::query(
            "SELECT alarm_id, asset, cause, severity, time FROM alarm_events \
             WHERE kind = 'raised' AND time > $1 AND time <= $2 AND ($3 IS NULL OR asset = $3) \
             ORDER BY time DESC, seq DESC LIMIT $4",
        )
        .bind(filter.after.timestamp_micros())
        .bind(filter.through.timestamp_micros())
        .bind(filter.asset.clone())
        .bind(rows::as_i64(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read the raises of alarms"))?;
        found.iter().rev().map(rows::raise).collect()
    }

    async fn rule_memory(
        &self,
        rule: &str,
        definition: &str,
    ) -> Result<Vec<RuleMemory>, AlarmStoreError> {
        rules::read(self, rule, definition).await
    }

    async fn save_rule_memory(&self, write: &RuleWrite) -> Result<(), AlarmStoreError> {
        rules::save(self, write).await
    }

    async fn keep_rules(&self, names: &[String]) -> Result<(), AlarmStoreError> {
        rules::keep(self, names).await
    }
}

impl SqlAlarmStore {
    async fn try_save(&self, write: &AlarmWrite) -> Result<i64, AlarmStoreError> {
        let is_new = write.change.alarm.version == 1 && write.released.is_none();
        if is_new && self.begin == SQLITE_BEGIN {
            return self.raise_apart(write).await;
        }
        let mut writing = self.begin().await?;
        let seq = put_change(&mut writing.inner, &write.change).await?;
        put_progress(&mut writing.inner, write.progress.as_slice()).await?;
        if let Some(released) = &write.released {
            suppressions::put_suppressed(&mut writing.inner, released).await?;
        }
        writing.commit().await?;
        Ok(seq)
    }

    /// [`raise_at_once`] on a task of its own: whoever waits may give up, the transaction goes on to
    /// its end, and its connection never comes back with one that is open.
    async fn raise_apart(&self, write: &AlarmWrite) -> Result<i64, AlarmStoreError> {
        let (store, write) = (self.clone(), write.clone());
        let raised = tokio::spawn(async move {
            let _turn = store.gate.lock().await;
            let mut connection = store.pool.acquire().await.map_err(failed("connect"))?;
            let raised = raise_at_once(&mut connection, &write).await;
            if raised.is_err() {
                let rolled_back = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await;
                if rolled_back.is_err() {
                    connection.close_on_drop();
                }
            }
            raised
        });
        let gone = |_| failed("raise an alarm")(sqlx::Error::WorkerCrashed);
        raised.await.map_err(gone)?
    }
}

/// Writes a new alarm, its news and the progress in one transaction that is sent as one text; gives
/// the place of the news.
async fn raise_at_once(
    connection: &mut AnyConnection,
    write: &AlarmWrite,
) -> Result<i64, AlarmStoreError> {
    let (change, progress) = (&write.change, write.progress.as_slice());
    let statement = match progress {
        [] => sqlx::query(rows::RAISE),
        _ => sqlx::query(rows::RAISE_WITH_PROGRESS),
    };
    let statement = rows::bind_alarm(statement, &change.alarm);
    let statement = rows::bind_news(statement, &AlarmEvent::of(change));
    let written = rows::bind_progress(statement, progress)
        .fetch_all(connection)
        .await;
    match written {
        Ok(found) => match found.first() {
            Some(row) => row.try_get(0).map_err(failed("raise an alarm")),
            None => Err(failed("raise an alarm")(sqlx::Error::RowNotFound)),
        },
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(AlarmStoreError::Conflict)
        }
        Err(source) => Err(failed("raise an alarm")(source)),
    }
}

/// Writes a new alarm or a new version of one, and its news; gives the place of the news.
async fn put_change(
    connection: &mut AnyConnection,
    change: &Change,
) -> Result<i64, AlarmStoreError> {
    let statement = if change.alarm.version == 1 {
        rows::INSERT
    } else {
        rows::UPDATE
    };
    let written = rows::bind_alarm(sqlx::query(statement), &change.alarm)
        .execute(&mut *connection)
        .await;
    match written {
        Ok(done) if done.rows_affected() == 1 => {}
        Ok(_) => return Err(AlarmStoreError::Conflict),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            return Err(AlarmStoreError::Conflict);
        }
        Err(source) => return Err(failed("save an alarm")(source)),
    }
    let seq = next_seq(&mut *connection).await?;
    rows::bind_event(
        sqlx::query(rows::INSERT_EVENT),
        seq,
        &AlarmEvent::of(change),
    )
    .execute(connection)
    .await
    .map_err(failed("save the event of an alarm"))?;
    Ok(seq)
}

/// The counter's row stays locked until the commit: the order of places is the order of commits.
async fn next_seq(connection: &mut AnyConnection) -> Result<i64, AlarmStoreError> {
    let row = sqlx::query(
        "UPDATE alarm_counters SET value = value + 1 WHERE name = 'events' RETURNING value",
    )
    .fetch_one(connection)
    .await
    .map_err(failed("take the next place in the feed of alarms"))?;
    row.try_get(0)
        .map_err(failed("take the next place in the feed of alarms"))
}

/// Saves the progress of assets, each of them once, in one statement: whoever raises an alarm
/// meanwhile waits for as few answers as can be.
async fn put_progress(
    connection: &mut AnyConnection,
    progress: &[Progress],
) -> Result<(), AlarmStoreError> {
    if progress.is_empty() {
        return Ok(());
    }
    // Only numbers of bindings are put in, no text from outside.
    let statement = sqlx::query(AssertSqlSafe(rows::progress_upsert(progress.len())));
    rows::bind_progress(statement, progress)
        .execute(connection)
        .await
        .map_err(failed("save the progress of detection"))?;
    Ok(())
}

fn failed(operation: &'static str) -> impl FnOnce(sqlx::Error) -> AlarmStoreError {
    move |source| AlarmStoreError::Unavailable { operation, source }
}

/// SQLite: busy or locked. PostgreSQL: serialization failure or deadlock.
fn is_worth_another_try(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else {
        return false;
    };
    matches!(
        error.code().as_deref(),
        Some("5" | "6" | "517" | "40001" | "40P01")
    )
}
