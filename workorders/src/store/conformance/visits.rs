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
