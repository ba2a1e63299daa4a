//! Stores for tests: a SQLite file in a temporary folder, and PostgreSQL when one is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};

use super::{Ctx, Db, SeededIds};

/// The environment variable with the URL of a PostgreSQL database that tests may fill.
const POSTGRES: &str = "FIELDWRIGHT_TEST_POSTGRES";

/// A store of its own for one test.
pub(crate) struct TestStore {
    pub db: Db,
    pub url: String,
    pub kind: &'static str,
    schema: Option<(String, String)>,
    _folder: Option<tempfile::TempDir>,
}

impl TestStore {
    /// A fresh SQLite store.
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("store.db").display());
        Self {
            db: Db::open(&url).await.unwrap(),
            url,
            kind: "sqlite",
            schema: None,
            _folder: Some(folder),
        }
    }

    /// A fresh PostgreSQL schema, when a database is given.
    pub async fn postgres() -> Option<Self> {
        static SCHEMAS: AtomicU64 = AtomicU64::new(0);
        let Ok(base) = std::env::var(POSTGRES) else {
            eprintln!("PostgreSQL is NOT tested here: set {POSTGRES}=postgres://… to test it");
            return None;
        };
        sqlx::any::install_default_drivers();
        let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
        let schema = format!("fw_test_{}_{number}", std::process::id());
        let admin = sqlx::AnyPool::connect(&base).await.unwrap();
        for statement in [
            format!("DROP SCHEMA IF EXISTS {schema} CASCADE"),
            format!("CREATE SCHEMA {schema}"),
        ] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
                .execute(&admin)
                .await
                .unwrap();
        }
        admin.close().await;
        let joint = if base.contains('?') { '&' } else { '?' };
        let url = format!("{base}{joint}options[search_path]={schema}");
        Some(Self {
            db: Db::open(&url).await.unwrap(),
            url,
            kind: "postgres",
            schema: Some((base, schema)),
            _folder: None,
        })
    }

    /// Every store that this machine can test.
    pub async fn all() -> Vec<Self> {
        let mut stores = vec![Self::sqlite().await];
        stores.extend(Self::postgres().await);
        stores
    }

    /// Closes the store and drops what it made.
    pub async fn drop_all(self) {
        self.db.close().await;
        if let Some((base, schema)) = &self.schema {
            let admin = sqlx::AnyPool::connect(base).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE")))
                .execute(&admin)
                .await
                .unwrap();
            admin.close().await;
        }
    }
}

/// The instant of an RFC 3339 text.
pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A context at an instant, with ids that repeat.
pub(crate) fn ctx(now: DateTime<Utc>) -> Ctx {
    Ctx::new(now, now, "tester", Arc::new(SeededIds::new(1)))
}
