//! When telemetry may confirm a repair, and of which orders.

use super::*;

impl World {
    /// An order that a person made.
    async fn made_by_hand(&self, tag: &str) -> WorkOrderId {
        let new = &NewOrder {
            asset: tag.into(),
            summary: "squeaks".into(),
            ..NewOrder::default()
        };
        let ctx = &self.ctx;
        let made = self
            .db()
            .write(|tx| Box::pin(async move { orders::create(tx, ctx, new).await }));
        made.await.unwrap().id
    }

    async fn verification(&self, id: &WorkOrderId) -> (Status, Verification) {
        let order = self.order(id).await.order;
        (order.status, order.verification)
    }
}

/// An alarm that is active on a finished order would bring nobody: the order waits for its end.
#[tokio::test]
async fn a_repair_passes_only_when_its_alarms_are_over() {
    for mut world in World::all().await {
        let (order, booking) = world.booked("alm_1", "pump-101").await;
        world.returned("alm_1").await;
        world.visit(&booking, Outcome::Fixed).await;
        // It comes again between the verdict's evidence and the verdict.
        let again = world.raise("alm_1#2", "pump-101", "pca").await;
        assert_eq!(again, Intake::Attached(order.clone()));
        let waiting = (Status::Completed, Verification::Pending);
        assert!(!world.verify(&order, passed()).await);
        assert_eq!(world.verification(&order).await, waiting);
        let due = orders::verification_due(world.db()).await.unwrap();
        assert_eq!(due[0].order, order, "it is judged again");

        world.returned("alm_1#2").await;
        assert!(world.verify(&order, passed()).await);
        let next = world.raise("alm_1#3", "pump-101", "pca").await;
        assert!(matches!(next, Intake::Created(_)), "{next:?}");
        world.end().await;
    }
}

/// Whether a teller says *returned*, *closed* or both, in this order, the end is known once.
#[tokio::test]
async fn an_alarm_ends_once_however_often_it_is_told() {
    for mut world in World::all().await {
        let (order, booking) = world.booked("alm_1", "pump-101").await;
        world.visit(&booking, Outcome::Fixed).await;
        let ended = world.ctx.now;
        world.returned("alm_1").await;
        world.pass(10);
        world.returned("alm_1").await;
        world.returned("alm_of_nobody").await;
        assert_eq!(world.order(&order).await.alarms[0].returned_at, Some(ended));
        assert!(world.verify(&order, passed()).await);
        world.end().await;
    }
}

/// A failed repair is known at once: an active alarm only confirms it.
#[tokio::test]
async fn a_repair_fails_whatever_its_alarms_say() {
    for mut world in World::all().await {
        let (order, booking) = world.booked("alm_1", "pump-101").await;
        world.visit(&booking, Outcome::Fixed).await;
        assert!(world.verify(&order, failed()).await);
        assert_eq!(
            world.verification(&order).await,
            (Status::Unscheduled, Verification::Failed)
        );
        world.end().await;
    }
}

#[tokio::test]
async fn an_alarm_on_a_persons_order_is_verified() {
    for mut world in World::all().await {
        let order = world.made_by_hand("fan-202").await;
        let view = world.order(&order).await.order;
        assert_eq!(view.verification, Verification::NotNeeded);
        let cause = &view.failure_mode;
        let attached = world.raise("alm_1", "fan-202", cause).await;
        assert_eq!(attached, Intake::Attached(order.clone()), "{cause}");
        assert_eq!(
            world.verification(&order).await,
            (Status::Unscheduled, Verification::Pending)
        );
        let report = scheduling::tick(world.db(), &world.ctx).await.unwrap();
        let booking = report.booked[0].booking.clone();
        world.visit(&booking, Outcome::Fixed).await;
        let due = orders::verification_due(world.db()).await.unwrap();
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].causes, [cause.as_str()]);
        let refused = world.post(&order, Basis::Passed, None).await.unwrap_err();
        assert_eq!(refused.code(), "not_verified");
        world.returned("alm_1").await;
        assert!(world.verify(&order, passed()).await);
        world.post(&order, Basis::Passed, None).await.unwrap();
        world.end().await;
    }
}

/// However many orders wait for a verdict, all of them are told.
#[tokio::test]
async fn no_order_is_too_far_behind_to_be_judged() {
    const MANY: usize = 1_203;
    for mut world in World::all().await {
        let (order, booking) = world.booked("alm_1", "pump-101").await;
        world.visit(&booking, Outcome::Fixed).await;
        world.copy_order(&order, MANY - 1).await;
        sqlx::query(
            "INSERT INTO work_order_alarms (alarm_id, work_order_id, cause, severity, summary, \
             evidence, raised_at, attached_at) SELECT 'alm-of-' || id, id, 'hot', 'high', 's', \
             '{}', 0, 0 FROM work_orders",
        )
        .execute(world.db().pool())
        .await
        .unwrap();
        let due = orders::verification_due(world.db()).await.unwrap();
        assert_eq!(due.len(), MANY, "{}", world.store.kind);
        assert!(due.is_sorted_by(|one, two| one.order < two.order));
        let (ours, copies): (Vec<_>, Vec<_>) = due.iter().partition(|one| one.order == order);
        assert_eq!(ours[0].causes, ["hot", "pca"]);
        assert!(copies.iter().all(|one| one.causes == ["hot"]));
        world.store.drop_all().await;
    }
}
