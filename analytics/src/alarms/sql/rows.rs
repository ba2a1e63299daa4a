//! Rows of the store to alarms and back.

use chrono::{DateTime, Utc};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Row};

use super::super::alarm::{Acknowledgement, Alarm, Shelving};
use super::super::event::AlarmEvent;
use super::super::rate::Raise;
use super::super::store::{AlarmStoreError, Progress};
use super::failed;

/// A new alarm; its bindings are those of [`bind_alarm`].
macro_rules! insert_alarm {
    () => {
        "INSERT INTO alarms (id, asset, class, cause, open_key, severity, summary, evidence, \
         active, acknowledged_by, acknowledged_at, shelved_by, shelved_until, closed_by, \
         closed_at, began_at, raised_at, returned_at, occurrences, evidence_updates, version, \
         shelved_reason, chattering_since, first_out) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, \
         $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)"
    };
}

/// The beginning of an entry of the feed.
macro_rules! insert_event {
    () => {
        "INSERT INTO alarm_events (seq, alarm_id, kind, time, asset, class, cause, severity, \
         summary, actor, occurrence, data) VALUES "
    };
}

/// The beginning and the end of progress that is saved.
macro_rules! insert_progress {
    () => {
        "INSERT INTO detector_progress (asset, class, scored_through, state) VALUES "
    };
}
macro_rules! over_former_progress {
    () => {
        " ON CONFLICT (asset) DO UPDATE SET class = excluded.class, \
         scored_through = excluded.scored_through, state = excluded.state"
    };
}

/// Makes a new alarm; does nothing where its identity or its open key is taken.
pub(super) const INSERT: &str = concat!(insert_alarm!(), " ON CONFLICT DO NOTHING");

/// Replaces an alarm of the version before; does nothing where it is another one.
pub(super) const UPDATE: &str = "UPDATE alarms SET asset = $2, class = $3, cause = $4, \
    open_key = $5, severity = $6, summary = $7, evidence = $8, active = $9, \
    acknowledged_by = $10, acknowledged_at = $11, shelved_by = $12, shelved_until = $13, \
    closed_by = $14, closed_at = $15, began_at = $16, raised_at = $17, returned_at = $18, \
    occurrences = $19, evidence_updates = $20, version = $21, shelved_reason = $22, \
    chattering_since = $23, first_out = $24 \
    WHERE id = $1 AND version = $21 - 1";

/// Appends to the feed.
pub(super) const INSERT_EVENT: &str = concat!(
    insert_event!(),
    "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
);

/// The text of a raise, with more behind it.
macro_rules! raise {
    ($($more:expr),*) => {
        concat!(
            "BEGIN IMMEDIATE; ",
            insert_alarm!(),
            "; UPDATE alarm_counters SET value = value + 1 WHERE name = 'events' RETURNING value; ",
            insert_event!(),
            "((SELECT value FROM alarm_counters WHERE name = 'events'), $25, $26, $27, $28, $29, \
             $30, $31, $32, $33, $34, $35)",
            $($more,)*
            "; COMMIT"
        )
    };
}

/// A transaction with a new alarm, its place in the feed and its news in one text, for a store that
/// runs several statements at once (SQLite): a raise waits for one answer instead of five. Where its
/// identity or its open key is taken, it fails, and the transaction is open until it is rolled back.
/// The bindings are those of [`INSERT`], then of [`INSERT_EVENT`] without the place.
pub(super) const RAISE: &str = raise!();

/// The same with the progress of one asset behind it.
pub(super) const RAISE_WITH_PROGRESS: &str = raise!(
    "; ",
    insert_progress!(),
    "($36, $37, $38, $39)",
    over_former_progress!()
);

/// Saves the progress of so many assets.
pub(super) fn progress_upsert(assets: usize) -> String {
    let values = (0..assets).map(|asset| {
        let [a, b, c, d] = [1, 2, 3, 4].map(|place| 4 * asset + place);
        format!("(${a}, ${b}, ${c}, ${d})")
    });
    let values = values.collect::<Vec<_>>().join(", ");
    [insert_progress!(), &values, over_former_progress!()].concat()
}

pub(super) type Statement<'q> = Query<'q, Any, AnyArguments>;

pub(super) fn bind_alarm<'q>(statement: Statement<'q>, alarm: &Alarm) -> Statement<'q> {
    let micros = |at: DateTime<Utc>| at.timestamp_micros();
    statement
        .bind(alarm.id.as_str().to_owned())
        .bind(alarm.asset.clone())
        .bind(alarm.class.clone())
        .bind(alarm.cause.clone())
        .bind(alarm.open_key())
        .bind(alarm.severity.as_str())
        .bind(alarm.summary.clone())
        .bind(alarm.evidence.to_string())
        .bind(i64::from(alarm.active))
        .bind(alarm.acknowledged.as_ref().map(|known| known.by.clone()))
        .bind(alarm.acknowledged.as_ref().map(|known| micros(known.at)))
        .bind(alarm.shelved.as_ref().map(|shelving| shelving.by.clone()))
        .bind(
            alarm
                .shelved
                .as_ref()
                .map(|shelving| micros(shelving.until)),
        )
        .bind(alarm.closed.as_ref().map(|closed| closed.by.clone()))
        .bind(alarm.closed.as_ref().map(|closed| micros(closed.at)))
        .bind(micros(alarm.began_at))
        .bind(micros(alarm.raised_at))
        .bind(alarm.returned_at.map(micros))
        .bind(i64::from(alarm.occurrences))
        .bind(i64::from(alarm.evidence_updates))
        .bind(alarm.version)
        .bind(
            alarm
                .shelved
                .as_ref()
                .map(|shelving| shelving.reason.clone()),
        )
        .bind(alarm.chattering_since.map(micros))
        .bind(alarm.first_out.as_ref().map(|id| id.as_str().to_owned()))
}

pub(super) fn bind_event<'q>(
    statement: Statement<'q>,
    seq: i64,
    event: &AlarmEvent,
) -> Statement<'q> {
    bind_news(statement.bind(seq), event)
}

/// All of an event but its place.
pub(super) fn bind_news<'q>(statement: Statement<'q>, event: &AlarmEvent) -> Statement<'q> {
    statement
        .bind(event.alarm.as_str().to_owned())
        .bind(event.kind.as_str())
        .bind(event.time.timestamp_micros())
        .bind(event.asset.clone())
        .bind(event.class.clone())
        .bind(event.cause.clone())
        .bind(event.severity.as_str())
        .bind(event.summary.clone())
        .bind(event.actor.clone())
        .bind(i64::from(event.occurrence))
        .bind(event.data.to_string())
}

/// The progress of assets, one after the other.
pub(super) fn bind_progress<'q>(
    mut statement: Statement<'q>,
    progress: &[Progress],
) -> Statement<'q> {
    for one in progress {
        statement = statement
            .bind(one.asset.clone())
            .bind(one.class.clone())
            .bind(one.scored_through.timestamp_micros())
            .bind(one.state.clone());
    }
    statement
}

pub(super) fn alarm(row: &AnyRow) -> Result<Alarm, AlarmStoreError> {
    let of = Columns {
        table: "alarms",
        row,
    };
    let who = |by: &'static str, at: &'static str| {
        let by: Option<String> = of.maybe_text(by)?;
        let at = of.maybe_instant(at)?;
        Ok::<_, AlarmStoreError>(by.zip(at))
    };
    Ok(Alarm {
        id: of.parsed("id")?,
        asset: of.text("asset")?,
        class: of.text("class")?,
        cause: of.text("cause")?,
        severity: of.parsed("severity")?,
        summary: of.text("summary")?,
        evidence: of.json("evidence")?,
        active: of.int("active")? != 0,
        acknowledged: who("acknowledged_by", "acknowledged_at")?
            .map(|(by, at)| Acknowledgement { by, at }),
        shelved: match who("shelved_by", "shelved_until")? {
            Some((by, until)) => Some(Shelving {
                until,
                by,
                reason: of.maybe_text("shelved_reason")?.unwrap_or_default(),
            }),
            None => None,
        },
        closed: who("closed_by", "closed_at")?.map(|(by, at)| Acknowledgement { by, at }),
        began_at: of.instant("began_at")?,
        raised_at: of.instant("raised_at")?,
        returned_at: of.maybe_instant("returned_at")?,
        occurrences: of.count("occurrences")?,
        evidence_updates: of.count("evidence_updates")?,
        chattering_since: of.maybe_instant("chattering_since")?,
        first_out: of.maybe_parsed("first_out")?,
        version: of.int("version")?,
    })
}

pub(super) fn event(row: &AnyRow) -> Result<AlarmEvent, AlarmStoreError> {
    let of = Columns {
        table: "alarm_events",
        row,
    };
    Ok(AlarmEvent {
        seq: of.int("seq")?,
        alarm: of.parsed("alarm_id")?,
        kind: of.parsed("kind")?,
        time: of.instant("time")?,
        asset: of.text("asset")?,
        class: of.text("class")?,
        cause: of.text("cause")?,
        severity: of.parsed("severity")?,
        summary: of.text("summary")?,
        actor: of.text("actor")?,
        occurrence: of.count("occurrence")?,
        data: of.json("data")?,
    })
}

pub(super) fn raise(row: &AnyRow) -> Result<Raise, AlarmStoreError> {
    let of = Columns {
        table: "alarm_events",
        row,
    };
    Ok(Raise {
        alarm: of.parsed("alarm_id")?,
        asset: of.text("asset")?,
        cause: of.text("cause")?,
        severity: of.parsed("severity")?,
        at: of.instant("time")?,
    })
}

pub(super) fn progress(row: &AnyRow) -> Result<Progress, AlarmStoreError> {
    let of = Columns {
        table: "detector_progress",
        row,
    };
    Ok(Progress {
        asset: of.text("asset")?,
        class: of.text("class")?,
        scored_through: of.instant("scored_through")?,
        state: of.text("state")?,
    })
}

/// A number of rows as the store counts them.
pub(super) fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A row of a table, read column by column.
pub(super) struct Columns<'a> {
    pub(super) table: &'static str,
    pub(super) row: &'a AnyRow,
}

impl Columns<'_> {
    pub(super) fn text(&self, column: &'static str) -> Result<String, AlarmStoreError> {
        self.row
            .try_get(column)
            .map_err(failed("read a row of alarms"))
    }

    pub(super) fn maybe_text(
        &self,
        column: &'static str,
    ) -> Result<Option<String>, AlarmStoreError> {
        self.row
            .try_get(column)
            .map_err(failed("read a row of alarms"))
    }

    pub(super) fn int(&self, column: &'static str) -> Result<i64, AlarmStoreError> {
        self.row
            .try_get(column)
            .map_err(failed("read a row of alarms"))
    }

    fn count(&self, column: &'static str) -> Result<u32, AlarmStoreError> {
        let number = self.int(column)?;
        u32::try_from(number).map_err(|_| self.unreadable(column, &number.to_string()))
    }

    pub(super) fn maybe_instant(
        &self,
        column: &'static str,
    ) -> Result<Option<DateTime<Utc>>, AlarmStoreError> {
        let micros: Option<i64> = self
            .row
            .try_get(column)
            .map_err(failed("read a row of alarms"))?;
        let Some(micros) = micros else {
            return Ok(None);
        };
        let instant = DateTime::from_timestamp_micros(micros);
        instant
            .map(Some)
            .ok_or_else(|| self.unreadable(column, &micros.to_string()))
    }

    pub(super) fn instant(&self, column: &'static str) -> Result<DateTime<Utc>, AlarmStoreError> {
        let instant = self.maybe_instant(column)?;
        instant.ok_or_else(|| self.unreadable(column, "no value"))
    }

    pub(super) fn json(&self, column: &'static str) -> Result<serde_json::Value, AlarmStoreError> {
        let text = self.text(column)?;
        serde_json::from_str(&text).map_err(|error| self.unreadable(column, &error.to_string()))
    }

    pub(super) fn parsed<T>(&self, column: &'static str) -> Result<T, AlarmStoreError>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        let found = self.maybe_parsed(column)?;
        found.ok_or_else(|| self.unreadable(column, "no value"))
    }

    pub(super) fn maybe_parsed<T>(&self, column: &'static str) -> Result<Option<T>, AlarmStoreError>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        let text = self.maybe_text(column)?;
        let parsed = text.map(|text| text.parse()).transpose();
        parsed.map_err(|error: T::Err| self.unreadable(column, &error.to_string()))
    }

    pub(super) fn unreadable(&self, column: &'static str, found: &str) -> AlarmStoreError {
        AlarmStoreError::Unreadable {
            table: self.table,
            column,
            found: found.to_owned(),
        }
    }
}
