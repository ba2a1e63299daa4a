//! The scheduler's rounds: nobody stands in the way of somebody else.

use std::time::Duration;

use super::*;
use crate::scheduling::TickReport;

impl World {
    async fn tick(&self) -> TickReport {
        scheduling::tick(self.db(), &self.ctx).await.unwrap()
    }

    async fn sql(&self, statement: &'static str) {
        sqlx::raw_sql(statement)
            .execute(self.db().pool())
            .await
            .unwrap();
    }

    async fn created(&self, alarm_id: &str, tag: &str) -> WorkOrderId {
        match self.raise(alarm_id, tag, "pca").await {
            Intake::Created(order) => order,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn orders_that_nobody_can_take_hold_nobody_up() {
    const MANY: usize = 437;
    for world in World::all().await {
        world
            .sql("UPDATE incident_types SET skills = '[\"diving\"]' WHERE key = 'pump-repair'")
            .await;
        let stuck = world.created("alm_1", "pump-101").await;
        world.sql("UPDATE work_orders SET priority = 1").await;
        world.copy_order(&stuck, MANY - 1).await;
        let behind = world.created("alm_2", "fan-201").await;
        world
            .sql("UPDATE work_orders SET priority = 5 WHERE incident_type = 'fan-repair'")
            .await;
        let report = world.tick().await;
        assert_eq!(report.unbooked, MANY, "{}", world.store.kind);
        assert_eq!(report.booked.len(), 1, "{}", world.store.kind);
        assert_eq!(report.booked[0].order, behind);

        // All reasons are known: another round has nothing to write, so it never asks to.
        let gate = world.db().write_gate().lock_owned().await;
        let report = tokio::time::timeout(Duration::from_secs(60), world.tick()).await;
        drop(gate);
        let report = report.expect("a round without news does not wait for its turn to write");
        assert_eq!((report.unbooked, report.booked.len()), (MANY, 0));
        world.store.drop_all().await;
    }
}

#[tokio::test]
async fn an_order_that_fails_leaves_the_others_alone() {
    for world in World::all().await {
        let broken = world.created("alm_1", "pump-101").await;
        let mut others = vec![
            world.created("alm_2", "fan-201").await,
            world.created("alm_3", "fan-202").await,
        ];
        for statement in [
            "UPDATE work_orders SET priority = 1 WHERE number = 'WO-000001'",
            // A site of its own, whose place nobody can read.
            "INSERT INTO sites SELECT 'sit_ffffffffffffffffffffffffffffffff', 'nowhere', \
             account_id, name, 'north', longitude, country, time_zone, created_at, version \
             FROM sites WHERE key = 'pankow-plant'",
            "UPDATE work_orders SET site_id = 'sit_ffffffffffffffffffffffffffffffff' \
             WHERE number = 'WO-000001'",
        ] {
            world.sql(statement).await;
        }
        let report = world.tick().await;
        let mut booked: Vec<_> = report.booked.into_iter().map(|one| one.order).collect();
        booked.sort();
        others.sort();
        assert_eq!(booked, others, "{}", world.store.kind);
        assert_eq!((report.failed, report.unbooked), (1, 0));
        assert_eq!(world.order(&broken).await.order.status, Status::Unscheduled);
        world.store.drop_all().await;
    }
}

/// A store that is away is one error, not one for each order.
#[tokio::test]
async fn a_round_ends_when_the_store_is_away() {
    for world in World::all().await {
        world.created("alm_1", "pump-101").await;
        world.db().close().await;
        let failed = scheduling::tick(world.db(), &world.ctx).await.unwrap_err();
        assert_eq!(failed.family(), Family::Unavailable);
        world.store.drop_all().await;
    }
}
