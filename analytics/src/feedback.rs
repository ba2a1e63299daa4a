//! What the field says of alarms: labels from close-out codes, and limits that people promoted.
//!
//! Plain rows in the operational store, without any money. [`FieldFeedback::limits`] are the factors
//! in force: detection is told them at its start and whenever one changes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::{AnyPool, Row};
use tokio::sync::Mutex;

const STATEMENTS: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS alarm_labels (alarm_id TEXT PRIMARY KEY, asset TEXT NOT NULL, \
     class TEXT NOT NULL, cause TEXT NOT NULL, model TEXT, label TEXT NOT NULL, \
     verification TEXT, labeled_at BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS limit_factors (proposal TEXT PRIMARY KEY, class TEXT NOT NULL, \
     cause TEXT NOT NULL, factor_milli BIGINT NOT NULL, promoted_by TEXT NOT NULL, \
     promoted_at BIGINT NOT NULL, taken_back BIGINT NOT NULL)",
    // What a former release kept: the last factor alone, which no detector ever used.
    "DROP TABLE IF EXISTS promoted_limits",
];

/// What an alarm turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The alarm; `#2` and so on tell a later occurrence.
    pub alarm_id: String,
    /// Tag of the asset.
    pub asset: String,
    /// Class of the asset.
    pub class: String,
    /// The detector or rule.
    pub cause: String,
    /// The very model behind it.
    pub model: Option<String>,
    /// `confirmed`, `no_fault_found` or `other_fault`.
    pub label: String,
    /// What telemetry said of the repair, where there was one.
    pub verification: Option<String>,
    /// When a person said so.
    pub labeled_at: DateTime<Utc>,
}

/// A limit that a person promoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromotedLimit {
    /// The proposal that says so: told twice, it counts once.
    pub proposal: String,
    /// Class of the assets.
    pub class: String,
    /// The detector.
    pub cause: String,
    /// By what the limit that was in force is multiplied. **Units** thousandths.
    pub factor_milli: i64,
    /// Name of the person.
    pub promoted_by: String,
    /// When.
    pub promoted_at: DateTime<Utc>,
    /// Whether a person took it back since.
    pub taken_back: bool,
}

/// By what the limit of a detector is multiplied, all promoted limits together.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitFactor {
    /// Class of the assets.
    pub class: String,
    /// The detector.
    pub cause: String,
    /// The product of what is in force; 1 when all was taken back.
    pub factor: f64,
}

/// Labels and promoted limits in the operational store.
#[derive(Debug, Clone)]
pub struct FieldFeedback {
    pool: AnyPool,
    gate: Arc<Mutex<()>>,
}

impl FieldFeedback {
    /// The feedback behind `pool`; makes its tables where they are missing.
    ///
    /// `gate` is the queue of this process's writers, shared with all who write to the same store.
    ///
    /// **Errors** when the store is away.
    pub async fn open(pool: AnyPool, gate: Arc<Mutex<()>>) -> Result<Self, sqlx::Error> {
        let turn = gate.lock().await;
        for statement in STATEMENTS {
            sqlx::query(statement).execute(&pool).await?;
        }
        drop(turn);
        Ok(Self { pool, gate })
    }

    /// Keeps a label; a later one of the same alarm takes its place.
    ///
    /// **Errors** when the store fails.
    pub async fn label(&self, label: &Label) -> Result<(), sqlx::Error> {
        let _turn = self.gate.lock().await;
        sqlx::query(
            "INSERT INTO alarm_labels (alarm_id, asset, class, cause, model, label, \
             verification, labeled_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (alarm_id) DO UPDATE SET label = excluded.label, \
             verification = excluded.verification, labeled_at = excluded.labeled_at",
        )
        .bind(label.alarm_id.as_str())
        .bind(label.asset.as_str())
        .bind(label.class.as_str())
        .bind(label.cause.as_str())
        .bind(label.model.as_deref())
        .bind(label.label.as_str())
        .bind(label.verification.as_deref())
        .bind(label.labeled_at.timestamp_micros())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes note of a promoted limit, or that it was taken back.
    ///
    /// **Errors** when the store fails.
    pub async fn promote(&self, limit: &PromotedLimit) -> Result<(), sqlx::Error> {
        let _turn = self.gate.lock().await;
        sqlx::query(
            "INSERT INTO limit_factors (proposal, class, cause, factor_milli, promoted_by, \
             promoted_at, taken_back) VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (proposal) DO UPDATE SET taken_back = excluded.taken_back \
             WHERE limit_factors.taken_back = 0",
        )
        .bind(limit.proposal.as_str())
        .bind(limit.class.as_str())
        .bind(limit.cause.as_str())
        .bind(limit.factor_milli)
        .bind(limit.promoted_by.as_str())
        .bind(limit.promoted_at.timestamp_micros())
        .bind(i64::from(limit.taken_back))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// By what the limits of classes and detectors are multiplied, by class and detector; those
    /// whose promoted limits were all taken back are among them with 1.
    ///
    /// **Errors** when the store fails.
    pub async fn limits(&self) -> Result<Vec<LimitFactor>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT class, cause, factor_milli, taken_back FROM limit_factors \
             ORDER BY class, cause, proposal",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut limits: Vec<LimitFactor> = Vec::new();
        for row in &rows {
            let (class, cause): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let milli = match row.try_get::<i64, _>(3)? {
                0 => row.try_get(2)?,
                _ => 1_000,
            };
            let known = limits.last_mut();
            match known.filter(|known| known.class == class && known.cause == cause) {
                Some(known) => known.factor *= thousandths(milli),
                None => limits.push(LimitFactor {
                    class,
                    cause,
                    factor: thousandths(milli),
                }),
            }
        }
        Ok(limits)
    }

    /// How the alarms of a class and detector were labeled: label and how many, by label.
    ///
    /// **Errors** when the store fails.
    pub async fn labels_of(
        &self,
        class: &str,
        cause: &str,
    ) -> Result<Vec<(String, i64)>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT label, COUNT(*) FROM alarm_labels WHERE class = $1 AND cause = $2 \
             GROUP BY label ORDER BY label",
        )
        .bind(class)
        .bind(cause)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "factors are a few thousand thousandths"
)]
fn thousandths(milli: i64) -> f64 {
    milli as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(url: &str) {
        sqlx::any::install_default_drivers();
        let pool = AnyPool::connect(url).await.unwrap();
        let gate = Arc::new(Mutex::new(()));
        let feedback = FieldFeedback::open(pool.clone(), gate.clone())
            .await
            .unwrap();
        let mut label = Label {
            alarm_id: "alm_feedback".into(),
            asset: "pump-101".into(),
            class: "pump-of-feedback".into(),
            cause: "pca".into(),
            model: None,
            label: "no_fault_found".into(),
            verification: Some("passed".into()),
            labeled_at: DateTime::UNIX_EPOCH,
        };
        feedback.label(&label).await.unwrap();
        label.label = "confirmed".into();
        feedback.label(&label).await.unwrap();
        let again = FieldFeedback::open(pool, gate).await.unwrap();
        let labels = again.labels_of("pump-of-feedback", "pca").await.unwrap();
        assert_eq!(labels, [("confirmed".to_owned(), 1)]);
        let factor = async || {
            let all = again.limits().await.unwrap();
            let mut own = all.iter().filter(|one| one.class == "pump-of-feedback");
            let found = own.next().map(|one| (one.cause.clone(), one.factor));
            assert_eq!(own.next(), None, "one line a detector");
            found
        };
        assert_eq!(factor().await, None);
        let limit = |proposal: &str, factor_milli, taken_back| PromotedLimit {
            proposal: proposal.to_owned(),
            class: "pump-of-feedback".into(),
            cause: "pca".into(),
            factor_milli,
            promoted_by: "Ada".into(),
            promoted_at: DateTime::UNIX_EPOCH,
            taken_back,
        };
        // Told in any order and any number of times.
        for (proposal, milli, taken_back, expected) in [
            ("lpr_f1", 1_500, false, 1.5),
            ("lpr_f1", 1_500, false, 1.5),
            ("lpr_f2", 2_000, false, 3.0),
            ("lpr_f1", 1_500, true, 2.0),
            ("lpr_f1", 1_500, false, 2.0),
            ("lpr_f2", 2_000, true, 1.0),
        ] {
            let told = limit(proposal, milli, taken_back);
            again.promote(&told).await.unwrap();
            assert_eq!(factor().await, Some(("pca".to_owned(), expected)));
        }
    }

    #[tokio::test]
    async fn labels_and_limits_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        check(&format!(
            "sqlite:{}?mode=rwc",
            dir.path().join("store.db").display()
        ))
        .await;
        if let Some(url) = crate::outside::postgres() {
            check(&url).await;
        }
    }
}
