//! From the alarm to the paid invoice, with and without a verdict of telemetry.

use super::*;

#[tokio::test]
async fn from_alarm_to_paid_invoice() {
    for mut world in World::all().await {
        let (order, booking) = world.booked("alm_1", "pump-101").await;
        assert_eq!(
            world.raise("alm_1", "pump-101", "pca").await,
            Intake::AlreadySo
        );
        let attached = world.raise("alm_2", "pump-101", "bearing_hot").await;
        assert_eq!(attached, Intake::Attached(order.clone()));

        let planned = world.booking(&booking).await;
        assert_eq!(planned.asset.tag, "pump-101");
        assert!(
            (15..=40).contains(&planned.travel_minutes),
            "{}",
            planned.travel_minutes
        );
        let reasons = planned.explanation["resources"].as_array().unwrap().len();
        assert_eq!(reasons, 5, "each technician has a reason");

        world.pass(10);
        world.visit(&booking, Outcome::Fixed).await;
        let due = orders::verification_due(world.db()).await.unwrap();
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].causes, ["bearing_hot", "pca"]);
        assert_eq!(due[0].completed_at, world.ctx.now);

        let refused = world.post(&order, Basis::Passed, None).await.unwrap_err();
        assert_eq!(refused.code(), "not_verified");
        world.pass(20);
        world.returned("alm_1").await;
        world.returned("alm_2").await;
        assert!(world.verify(&order, passed()).await);
        assert!(
            !world.verify(&order, passed()).await,
            "a second verdict does nothing"
        );
        assert!(
            !world.verify(&order, failed()).await,
            "a late verdict does nothing"
        );

        let version = world.order(&order).await.order.version;
        let stale = world.post(&order, Basis::Passed, Some(version - 1)).await;
        assert_eq!(stale.unwrap_err().family(), Family::Stale);
        let posted = world
            .post(&order, Basis::Passed, Some(version))
            .await
            .unwrap();
        assert!(posted.changed);
        let again = world
            .post(&order, Basis::Passed, Some(version))
            .await
            .unwrap();
        assert!(!again.changed);
        assert_eq!(
            again.invoice, posted.invoice,
            "a repeat has the same invoice"
        );

        pay(&mut world, &order).await;
        assert_eq!(
            world.kinds().await,
            [
                "work_order.created",
                "booking.created",
                "work_order.scheduled",
                "work_order.attached",
                "booking.traveling",
                "work_order.started",
                "booking.started",
                "booking.completed",
                "work_order.completed",
                "work_order.verified",
                "work_order.posted",
                "alarm.labeled",
                "alarm.labeled",
                "invoice.posted",
                "receipt.recorded",
                "invoice.paid",
            ],
            "{}",
            world.store.kind
        );
        world.end().await;
    }
}

/// The customer pays the invoice of an order in full.
async fn pay(world: &mut World, order: &WorkOrderId) {
    world.pass(120);
    let invoice = crate::invoicing::invoice_of_order(world.db(), order)
        .await
        .unwrap()
        .expect("a posted order has an invoice");
    let new = &NewReceipt {
        account_id: invoice.account_id.clone(),
        amount: invoice.total,
        reference: invoice.number.clone().unwrap_or_default(),
        method: "bank_transfer".into(),
        received_on: None,
    };
    let ctx = &world.ctx;
    let receipt = world
        .db()
        .write(|tx| Box::pin(async move { record_receipt(tx, ctx, Some("pay-1"), new).await }))
        .await
        .unwrap();
    assert_eq!(receipt.applied, invoice.total);
}

#[tokio::test]
async fn a_failed_repair_reopens_and_is_billed_whole() {
    for mut world in World::all().await {
        let (order, booking) = world.booked("alm_1", "pump-101").await;
        world.visit(&booking, Outcome::Fixed).await;
        // The alarm comes again before telemetry has judged: still the same order.
        let again = world.raise("alm_2", "pump-101", "pca").await;
        assert_eq!(again, Intake::Attached(order.clone()));
        assert!(world.verify(&order, failed()).await);

        let reopened = world.order(&order).await;
        assert_eq!(reopened.order.status, Status::Unscheduled);
        assert_eq!(reopened.order.verification, Verification::Failed);
        assert_eq!(reopened.order.reopen_count, 1);
        assert!(reopened.tasks.iter().all(|task| task.done_at.is_none()));

        let report = scheduling::tick(world.db(), &world.ctx).await.unwrap();
        assert_eq!(report.booked.len(), 1);
        let second = report.booked[0].booking.clone();
        assert_ne!(second, booking);
        world.visit(&second, Outcome::Fixed).await;
        world.returned("alm_1").await;
        world.returned("alm_2").await;
        assert!(world.verify(&order, passed()).await);
        world.post(&order, Basis::Passed, None).await.unwrap();
        let detail = world.order(&order).await;
        assert_eq!(
            detail.work_lines.len(),
            6,
            "both visits: labor, travel, part"
        );
        assert_eq!(detail.alarms.len(), 2);
        assert!(
            world
                .kinds()
                .await
                .contains(&"work_order.reopened".to_owned())
        );

        // The condition was judged as repaired, so the next alarm is a new one.
        let next = world.raise("alm_3", "pump-101", "pca").await;
        assert!(matches!(next, Intake::Created(_)), "{next:?}");
        world.end().await;
    }
}

#[tokio::test]
async fn without_telemetry_a_reviewer_posts_by_name() {
    for mut world in World::all().await {
        let (order, booking) = world.booked("alm_1", "fan-201").await;
        world.visit(&booking, Outcome::Fixed).await;
        let basis = Basis::Unverified {
            reason: "no telemetry".into(),
        };
        world.post(&order, basis, None).await.unwrap();
        let detail = world.order(&order).await;
        assert_eq!(detail.order.verification, Verification::Unverified);
        assert_eq!(detail.order.posted_by.as_deref(), Some("Rita Reviewer"));
        use sqlx::Row;
        let row =
            sqlx::query("SELECT actor, detail FROM audit WHERE subject = $1 AND verb = 'post'")
                .bind(order.as_str())
                .fetch_one(world.db().pool())
                .await
                .unwrap();
        assert_eq!(row.try_get::<String, _>("actor").unwrap(), "Rita Reviewer");
        let detail: Value =
            serde_json::from_str(&row.try_get::<String, _>("detail").unwrap()).unwrap();
        assert_eq!(detail["unverified_reason"], "no telemetry");
        assert!(!world.verify(&order, passed()).await, "posted is final");
        world.end().await;
    }
}
