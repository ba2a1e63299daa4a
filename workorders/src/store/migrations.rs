//! The schema's history: numbered files, each applied once and never changed afterwards.

use sqlx::Row;

use super::idempotency::digest;
use super::{Db, StoreError};

/// One step of the schema.
struct Migration {
    version: i64,
    name: &'static str,
    /// Runs on both stores.
    sql: &'static str,
    /// What only SQLite needs after it, such as its own words for a trigger.
    sqlite: &'static str,
    /// What only PostgreSQL needs after it.
    postgres: &'static str,
}

/// Every step, oldest first. Add at the end; never change one that was released.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "operations",
        sql: include_str!("migrations/0001_operations.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 2,
        name: "money",
        sql: include_str!("migrations/0002_money.sql"),
        sqlite: include_str!("migrations/0002_money.sqlite.sql"),
        postgres: include_str!("migrations/0002_money.postgres.sql"),
    },
    Migration {
        version: 3,
        name: "urgency",
        sql: include_str!("migrations/0003_urgency.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 4,
        name: "identity",
        sql: include_str!("migrations/0004_identity.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 5,
        name: "triage",
        sql: include_str!("migrations/0005_triage.sql"),
        sqlite: include_str!("migrations/0005_triage.sqlite.sql"),
        postgres: include_str!("migrations/0005_triage.postgres.sql"),
    },
    Migration {
        version: 6,
        name: "limits",
        sql: include_str!("migrations/0006_limits.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 7,
        name: "forecasts",
        sql: include_str!("migrations/0007_forecasts.sql"),
        sqlite: "",
        postgres: "",
    },
];

impl Migration {
    fn sql_for(&self, db: &Db) -> String {
        let own = if db.is_postgres() {
            self.postgres
        } else {
            self.sqlite
        };
        format!("{}\n{}", self.sql, own)
    }
}

/// Brings the store to the newest version; does nothing when it is there already.
///
/// **Errors** when the store is newer than the program or was made by another history.
pub(super) async fn run(db: &Db) -> Result<(), StoreError> {
    db.write(|tx| {
        Box::pin(async move {
            sqlx::raw_sql(
                "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY, \
                 name TEXT NOT NULL, checksum TEXT NOT NULL)",
            )
            .execute(tx.conn())
            .await?;
            let rows = sqlx::query("SELECT version, name, checksum FROM schema_migrations")
                .fetch_all(tx.conn())
                .await?;
            let mut applied = Vec::with_capacity(rows.len());
            for row in rows {
                let version: i64 = row.try_get("version")?;
                check_applied(db, version, row.try_get("name")?, row.try_get("checksum")?)?;
                applied.push(version);
            }
            for step in MIGRATIONS.iter().filter(|m| !applied.contains(&m.version)) {
                let sql = step.sql_for(db);
                let migrate = |source| StoreError::Migrate {
                    version: step.version,
                    name: step.name,
                    source,
                };
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone()))
                    .execute(tx.conn())
                    .await
                    .map_err(migrate)?;
                sqlx::query(
                    "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                )
                .bind(step.version)
                .bind(step.name)
                .bind(digest(sql.as_bytes()))
                .execute(tx.conn())
                .await
                .map_err(migrate)?;
            }
            Ok(())
        })
    })
    .await
}

fn check_applied(db: &Db, version: i64, name: String, checksum: String) -> Result<(), StoreError> {
    let known = MIGRATIONS.last().map_or(0, |step| step.version);
    if version > known {
        return Err(StoreError::SchemaTooNew {
            found: version,
            known,
        });
    }
    let same = MIGRATIONS
        .iter()
        .any(|step| step.version == version && digest(step.sql_for(db).as_bytes()) == checksum);
    if !same {
        return Err(StoreError::MigrationDiffers { version, name });
    }
    Ok(())
}
