//! What the field says of alarms: labels from close-out codes, and limits that people promoted.
//!
//! Plain rows in the operational store, without any money. [`FieldFeedback::limit_of`] is the factor
//! in force; no detector asks for it yet (docs/limits.md).

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::{AnyPool, Row};
use tokio::sync::Mutex;

const STATEMENTS: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS alarm_labels (alarm_id TEXT PRIMARY KEY, asset TEXT NOT NULL, \
     class TEXT NOT NULL, cause TEXT NOT NULL, model TEXT, label TEXT NOT NULL, \
     verification TEXT, labeled_at BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS promoted_limits (class TEXT NOT NULL, cause TEXT NOT NULL, \
     factor_milli BIGINT NOT NULL, promoted_by TEXT NOT NULL, promoted_at BIGINT NOT NULL, \
     PRIMARY KEY (class, cause))",
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
    /// Class of the assets.
    pub class: String,
    /// The detector.
    pub cause: String,
    /// By what the alarm limit is multiplied. **Units** thousandths.
    pub factor_milli: i64,
    /// Name of the person.
    pub promoted_by: String,
    /// When.
    pub promoted_at: DateTime<Utc>,
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

    /// Puts a promoted limit in force for its class and detector.
    ///
    /// **Errors** when the store fails.
    pub async fn promote(&self, limit: &PromotedLimit) -> Result<(), sqlx::Error> {
        let _turn = self.gate.lock().await;
        sqlx::query(
            "INSERT INTO promoted_limits (class, cause, factor_milli, promoted_by, promoted_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (class, cause) DO UPDATE SET \
             factor_milli = excluded.factor_milli, promoted_by = excluded.promoted_by, \
             promoted_at = excluded.promoted_at",
        )
        .bind(limit.class.as_str())
        .bind(limit.cause.as_str())
        .bind(limit.factor_milli)
        .bind(limit.promoted_by.as_str())
        .bind(limit.promoted_at.timestamp_micros())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// By what the limit of a class and detector is multiplied, where a person promoted it.
    ///
    /// **Units** thousandths. **Errors** when the store fails.
    pub async fn limit_of(&self, class: &str, cause: &str) -> Result<Option<i64>, sqlx::Error> {
        let row =
            sqlx::query("SELECT factor_milli FROM promoted_limits WHERE class = $1 AND cause = $2")
                .bind(class)
                .bind(cause)
                .fetch_optional(&self.pool)
                .await?;
        row.map(|row| row.try_get(0)).transpose()
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
        for factor_milli in [1_200, 900] {
            let limit = PromotedLimit {
                class: "pump-of-feedback".into(),
                cause: "pca".into(),
                factor_milli,
                promoted_by: "Ada".into(),
                promoted_at: DateTime::UNIX_EPOCH,
            };
            again.promote(&limit).await.unwrap();
        }
        assert_eq!(
            again.limit_of("pump-of-feedback", "pca").await.unwrap(),
            Some(900)
        );
        assert_eq!(
            again.limit_of("pump-of-feedback", "hot").await.unwrap(),
            None
        );
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
