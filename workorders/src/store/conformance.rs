//! What every store must do: the whole life of orders, run on each store that the machine has.

mod life;

mod cases;
mod forecasts;

mod intake;

mod visits;

mod people;

mod repair;

mod rounds;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::test_store::{TestStore, at, ctx};
use super::{Ctx, Db, RandomIds, StoreError, outbox};
use crate::execution::views::{BookingFilter, BookingView};
use crate::execution::{
    self, BookingError, DeviceStamp, NewBooking, Outcome, PartUsed, WorkReport,
};
use crate::invariants;
use crate::orders::intake::{AlarmReport, Intake, alarm, alarm_returned};
use crate::orders::views::{OrderFilter, WorkOrderDetail, WorkOrderView};
use crate::orders::{self, Basis, NewOrder, OrderError, Status, Verdict, Verification};
use crate::payments::{NewReceipt, record_receipt};
use crate::problem::{Family, Problem};
use crate::registry::assets::{self, NewAsset};
use crate::registry::{seed, sites};
use crate::scheduling::solver::Slot;
use crate::scheduling::{self, ScheduleRequest};
use crate::store::ids::{BookingId, WorkOrderId};
use crate::store::page::{Page, PageRequest};

/// Monday, 09:00 in Berlin.
const MORNING: &str = "2026-03-02T08:00:00Z";

/// A seeded store and a clock that a test moves.
struct World {
    store: TestStore,
    ctx: Ctx,
}

impl World {
    async fn all() -> Vec<Self> {
        let mut worlds = Vec::new();
        for store in TestStore::all().await {
            let ctx = ctx(at(MORNING));
            assert!(seed::seed(&store.db, &ctx).await.unwrap());
            worlds.push(Self { store, ctx });
        }
        worlds
    }

    fn db(&self) -> &Db {
        &self.store.db
    }

    fn pass(&mut self, minutes: i64) {
        self.ctx.now += TimeDelta::minutes(minutes);
    }

    async fn order(&self, id: &WorkOrderId) -> WorkOrderDetail {
        orders::views::get(self.db(), id).await.unwrap()
    }

    async fn booking(&self, id: &BookingId) -> BookingView {
        let mut conn = self.db().pool().acquire().await.unwrap();
        execution::views::get(&mut conn, id).await.unwrap()
    }

    async fn kinds(&self) -> Vec<String> {
        let events = outbox::events_after(self.db(), 0, 1_000).await.unwrap();
        events.into_iter().map(|event| event.kind).collect()
    }

    async fn count(&self, table: &'static str) -> i64 {
        use sqlx::Row;
        let query = format!("SELECT COUNT(*) FROM {table}");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .fetch_one(self.db().pool())
            .await
            .unwrap();
        row.try_get(0).unwrap()
    }

    async fn raise(&self, alarm_id: &str, tag: &str, cause: &str) -> Intake {
        let report = report(alarm_id, tag, cause, self.ctx.now);
        alarm(self.db(), &self.ctx, report).await.unwrap()
    }

    async fn returned(&self, alarm_id: &str) {
        alarm_returned(self.db(), &self.ctx, alarm_id, self.ctx.now)
            .await
            .unwrap();
    }

    /// Copies an order `many` times under ids that sort before it; the copies hold no condition.
    async fn copy_order(&self, order: &WorkOrderId, many: usize) {
        const OTHERS: &str = "source, asset_id, site_id, account_id, incident_type, failure_mode, \
             status, verification, summary, priority, priority_reason, outcome, reopen_count, \
             created_at, completed_at, version";
        let copy = &format!(
            "INSERT INTO work_orders (id, number, {OTHERS}) \
             SELECT $1, $2, {OTHERS} FROM work_orders WHERE id = $3"
        );
        let done: Result<(), StoreError> = self
            .db()
            .write(|tx| {
                Box::pin(async move {
                    for number in 0..many {
                        sqlx::query(sqlx::AssertSqlSafe(copy.clone()))
                            .bind(format!("wo_{number:032x}"))
                            .bind(format!("COPY-{number}"))
                            .bind(order.as_str())
                            .execute(tx.conn())
                            .await?;
                    }
                    Ok(())
                })
            })
            .await;
        done.unwrap();
    }

    /// Raises an alarm and books somebody.
    async fn booked(&self, alarm_id: &str, tag: &str) -> (WorkOrderId, BookingId) {
        let Intake::Created(order) = self.raise(alarm_id, tag, "pca").await else {
            panic!("a first alarm creates an order");
        };
        let report = scheduling::tick(self.db(), &self.ctx).await.unwrap();
        let booked = report.booked.into_iter().find(|one| one.order == order);
        (order, booked.expect("somebody can come").booking)
    }

    async fn visit(&mut self, booking: &BookingId, outcome: Outcome) {
        self.device(booking, "travel", None).await.unwrap();
        self.pass(25);
        self.device(booking, "start", None).await.unwrap();
        self.pass(45);
        self.finish(booking, outcome, None).await.unwrap();
    }

    async fn device(
        &self,
        id: &BookingId,
        verb: &str,
        key: Option<&str>,
    ) -> Result<bool, BookingError> {
        let stamp = &stamp(key, self.ctx.now);
        let ctx = &self.ctx;
        self.db()
            .write(|tx| {
                Box::pin(async move {
                    let done = match verb {
                        "travel" => execution::travel(tx, ctx, id, stamp, None).await,
                        "start" => execution::start(tx, ctx, id, stamp, None).await,
                        "no_access" => execution::no_access(tx, ctx, id, stamp, None).await,
                        "cancel" => execution::cancel(tx, ctx, id, stamp, "ill", None).await,
                        other => panic!("{other}"),
                    };
                    Ok(done?.changed)
                })
            })
            .await
    }

    async fn finish(
        &self,
        id: &BookingId,
        outcome: Outcome,
        key: Option<&str>,
    ) -> Result<bool, BookingError> {
        let stamp = &stamp(key, self.ctx.now);
        let report = &WorkReport {
            outcome,
            notes: Some("bearing worn".into()),
            minutes_worked: Some(45),
            parts: vec![PartUsed {
                part: "bearing-set".into(),
                quantity: Decimal::ONE,
            }],
        };
        let ctx = &self.ctx;
        self.db()
            .write(|tx| {
                Box::pin(async move {
                    let done = execution::complete(tx, ctx, id, stamp, report, None).await;
                    Ok(done?.changed)
                })
            })
            .await
    }

    async fn post(
        &self,
        id: &WorkOrderId,
        basis: Basis,
        version: Option<i64>,
    ) -> Result<orders::Reviewed, OrderError> {
        let basis = &basis;
        let ctx = &self.ctx.acting_as("Rita Reviewer");
        self.db()
            .write(|tx| {
                Box::pin(
                    async move { orders::post(tx, ctx, id, basis.clone(), None, version).await },
                )
            })
            .await
    }

    async fn verify(&self, id: &WorkOrderId, verdict: Verdict) -> bool {
        let done = orders::verify(self.db(), &self.ctx, id, verdict).await;
        done.unwrap().changed
    }

    /// Every promise holds; then the store is dropped.
    async fn end(self) {
        for result in invariants::verify(self.db()).await.unwrap() {
            assert!(result.ok, "{}: {result:?}", self.store.kind);
        }
        self.store.drop_all().await;
    }
}

fn report(alarm_id: &str, tag: &str, cause: &str, raised_at: DateTime<Utc>) -> AlarmReport {
    AlarmReport {
        alarm_id: alarm_id.into(),
        asset_tag: tag.into(),
        class: "pump".into(),
        cause: cause.into(),
        severity: "high".into(),
        raised_at,
        summary: "vibration far above its band".into(),
        evidence: json!({ "t2": 41.5, "limit": 12.0 }),
        began_at: Some(raised_at - TimeDelta::hours(2)),
        confidence_bp: 9_000,
        failure_ppm: None,
        watching: 2,
        model: Some("pca-1".into()),
        ratio_milli: Some(2_500),
        forecast: None,
    }
}

fn stamp(key: Option<&str>, time: DateTime<Utc>) -> DeviceStamp {
    DeviceStamp {
        key: key.map(str::to_owned),
        time: Some(time),
    }
}

fn passed() -> Verdict {
    Verdict::Passed {
        evidence: json!({ "windows": 3 }),
    }
}

fn failed() -> Verdict {
    Verdict::Failed {
        evidence: json!({ "windows": 3 }),
    }
}
