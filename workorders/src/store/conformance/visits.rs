//! What devices report, in order and out of it.

use super::*;

#[tokio::test]
async fn a_device_may_repeat_itself_and_come_late() {
    for mut world in World::all().await {
        let (order, booking) = world.booked("alm_1", "pump-102").await;
        assert!(world.device(&booking, "travel", Some("k1")).await.unwrap());
        assert!(!world.device(&booking, "travel", Some("k1")).await.unwrap());
        let reused = world
            .device(&booking, "start", Some("k1"))
            .await
            .unwrap_err();
        assert_eq!(reused.code(), "device_key_reused");
        world.pass(20);
        assert!(world.device(&booking, "start", Some("k2")).await.unwrap());
        assert!(!world.device(&booking, "travel", Some("k1")).await.unwrap());
        world.pass(40);
        assert!(
            world
                .finish(&booking, Outcome::Fixed, Some("k3"))
                .await
                .unwrap()
        );
        assert!(
            !world
                .finish(&booking, Outcome::Fixed, Some("k3"))
                .await
                .unwrap()
        );
        assert!(
            !world
                .finish(&booking, Outcome::Fixed, Some("k4"))
                .await
                .unwrap()
        );
        assert_eq!(world.order(&order).await.work_lines.len(), 3, "billed once");
        world.end().await;
    }
}

#[tokio::test]
async fn visits_without_a_repair_lead_to_another() {
    for mut world in World::all().await {
        let (order, first) = world.booked("alm_1", "pump-103").await;
        world.device(&first, "cancel", None).await.unwrap();
        let freed = world.order(&order).await.order;
        assert_eq!(freed.status, Status::Unscheduled);
        assert_eq!(freed.last_reason.as_deref(), Some("booking canceled: ill"));
        assert_eq!(world.count("booking_slots").await, 0, "its time is free");

        let next = async |world: &World| {
            let report = scheduling::tick(world.db(), &world.ctx).await.unwrap();
            report.booked[0].booking.clone()
        };
        let second = next(&world).await;
        world.device(&second, "travel", None).await.unwrap();
        world.device(&second, "no_access", None).await.unwrap();
        let third = next(&world).await;
        world.visit(&third, Outcome::Incomplete).await;
        assert_eq!(world.order(&order).await.order.status, Status::Unscheduled);
        let fourth = next(&world).await;
        world.visit(&fourth, Outcome::Fixed).await;
        assert_eq!(world.order(&order).await.order.status, Status::Completed);
        assert_eq!(world.count("bookings").await, 4);
        world.end().await;
    }
}

/// Whoever asks for time that is taken is refused, and the store's own key refuses it as well.
#[tokio::test]
async fn nobody_is_booked_twice() {
    for world in World::all().await {
        let (order, booking) = world.booked("alm_1", "pump-104").await;
        world.raise("alm_2", "pump-105", "pca").await;
        let taken = world.booking(&booking).await;
        let slot = &Slot {
            resource_id: taken.resource_id.clone(),
            travel_from: taken.ends_at - TimeDelta::minutes(5),
            starts_at: taken.ends_at,
            ends_at: taken.ends_at + TimeDelta::minutes(60),
            travel_minutes: 5,
            distance_m: 100,
        };
        let ctx = &world.ctx;
        let order = &order;
        let refused = world
            .db()
            .write(|tx| {
                Box::pin(async move {
                    let order = &orders::load(tx.conn(), order).await?;
                    let explanation = json!({});
                    let new = NewBooking {
                        order,
                        slot,
                        explanation,
                    };
                    execution::insert(tx, ctx, &new).await
                })
            })
            .await
            .unwrap_err();
        assert_eq!(refused.code(), "overlap");
        let doubled = sqlx::query(
            "INSERT INTO booking_slots SELECT resource_id, slot, booking_id FROM booking_slots",
        )
        .execute(world.db().pool())
        .await
        .unwrap_err();
        assert!(crate::store::is_unique_violation(&doubled));
        world.end().await;
    }
}

#[tokio::test]
async fn a_part_without_a_price_is_refused_at_once() {
    for mut world in World::all().await {
        let (order, booking) = world.booked("alm_1", "pump-104").await;
        world.device(&booking, "start", None).await.unwrap();
        world.pass(30);
        let report = &WorkReport {
            outcome: Outcome::Fixed,
            notes: None,
            minutes_worked: None,
            parts: vec![PartUsed {
                part: "flux-capacitor".into(),
                quantity: Decimal::ONE,
            }],
        };
        let (ctx, id) = (&world.ctx, &booking);
        let refused = world
            .db()
            .write(|tx| {
                Box::pin(async move {
                    execution::complete(tx, ctx, id, &DeviceStamp::default(), report, None).await
                })
            })
            .await
            .unwrap_err();
        assert_eq!(refused.family(), Family::Invalid);
        assert!(refused.to_string().contains("seal-kit"), "{refused}");
        assert_eq!(world.booking(&booking).await.status.as_str(), "in_progress");
        assert!(world.order(&order).await.work_lines.is_empty());
        world.end().await;
    }
}
