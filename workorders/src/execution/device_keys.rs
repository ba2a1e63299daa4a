//! Each command of a device once, by the device's own key.

use chrono::{DateTime, Utc};

use super::report::DeviceStamp;
use super::{BookingError, BookingVerb, Refusal};
use crate::store::columns::{micros, text};
use crate::store::ids::BookingId;
use crate::store::{Ctx, StoreError, Tx};

/// Characters of a device key at most.
const MAX_KEY: usize = 200;

/// Whether the device sent this very command before.
///
/// **Errors** when its key was used for another command, or the store fails.
pub(super) async fn is_repeated(
    tx: &mut Tx<'_>,
    id: &BookingId,
    verb: BookingVerb,
    stamp: &DeviceStamp,
) -> Result<bool, BookingError> {
    let Some(key) = &stamp.key else {
        return Ok(false);
    };
    if key.is_empty() || key.chars().count() > MAX_KEY {
        return Err(BookingError::BadReport(format!(
            "a device key has 1 to {MAX_KEY} characters"
        )));
    }
    let row = sqlx::query("SELECT booking_id, verb FROM booking_commands WHERE device_key = $1")
        .bind(key.as_str())
        .fetch_optional(tx.conn())
        .await?;
    let Some(row) = row else { return Ok(false) };
    let (known_id, known_verb) = (text(&row, "booking_id")?, text(&row, "verb")?);
    if known_id == id.as_str() && known_verb == verb.as_str() {
        return Ok(true);
    }
    Err(Refusal::KeyReused {
        key: key.clone(),
        id: known_id,
        verb: known_verb,
    }
    .into())
}

/// Keeps the key of a command, with the device's own time.
pub(super) async fn remember(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &BookingId,
    verb: BookingVerb,
    key: &str,
    device_time: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO booking_commands (device_key, booking_id, verb, device_time, received_at, \
         actor) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(key)
    .bind(id.as_str())
    .bind(verb.as_str())
    .bind(micros(device_time))
    .bind(micros(ctx.now))
    .bind(ctx.actor.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}
