//! What dispatchers do and see.

use super::*;

#[tokio::test]
async fn people_create_schedule_send_back_and_cancel() {
    for mut world in World::all().await {
        let ctx = &world.ctx;
        let new = &NewOrder {
            asset: "fan-202".into(),
            summary: "squeaks".into(),
            ..NewOrder::default()
        };
        let create = || {
            let db = world.db();
            db.write(move |tx| Box::pin(async move { orders::create(tx, ctx, new).await }))
        };
        let order = create().await.unwrap();
        let refused = create().await.unwrap_err();
        assert_eq!(refused.code(), "another_order_open");
        assert_eq!(order.verification, Verification::NotNeeded);

        let id = &order.id;
        let later = &ScheduleRequest {
            start_after: Some(world.ctx.now + TimeDelta::hours(2)),
            ..ScheduleRequest::default()
        };
        let schedule = || {
            let db = world.db();
            db.write(move |tx| {
                Box::pin(async move { scheduling::schedule(tx, ctx, id, later, Some(1)).await })
            })
        };
        let booking = schedule().await.unwrap();
        assert_eq!(
            schedule().await.unwrap(),
            booking,
            "a repeat keeps the booking"
        );
        assert!(world.booking(&booking).await.starts_at >= world.ctx.now + TimeDelta::hours(2));
        world.pass(120);
        world.visit(&booking, Outcome::Fixed).await;

        let ctx = &world.ctx;
        let sent_back = world
            .db()
            .write(|tx| {
                Box::pin(async move { orders::send_back(tx, ctx, id, "photo missing", None).await })
            })
            .await
            .unwrap();
        assert_eq!(sent_back.order.status, Status::Unscheduled);
        let second = scheduling::tick(world.db(), ctx).await.unwrap().booked[0].clone();
        let canceled = world
            .db()
            .write(|tx| Box::pin(async move { orders::cancel(tx, ctx, id, "sold", None).await }))
            .await
            .unwrap();
        assert_eq!(canceled.order.status, Status::Canceled);
        let withdrawn = world.booking(&second.booking).await;
        assert_eq!(withdrawn.status.as_str(), "canceled");
        assert!(withdrawn.allowed_actions.is_empty());
        world.end().await;
    }
}

async fn orders_of(world: &World, filter: OrderFilter, page: &PageRequest) -> Page<WorkOrderView> {
    orders::views::list(world.db(), &filter, page)
        .await
        .unwrap()
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    for world in World::all().await {
        for number in 1..=7 {
            world
                .raise(&format!("alm_{number}"), &format!("pump-10{number}"), "pca")
                .await;
        }
        scheduling::tick(world.db(), &world.ctx).await.unwrap();
        let mut seen = BTreeSet::new();
        let mut page = PageRequest::new(Some(3), None);
        let mut pages = 0;
        loop {
            let list = orders_of(&world, OrderFilter::default(), &page).await;
            pages += 1;
            seen.extend(list.items.into_iter().map(|order| order.number));
            match list.next_cursor {
                Some(cursor) => page.after = Some(cursor),
                None => break,
            }
        }
        assert_eq!((pages, seen.len()), (3, 7));
        let of_asset = OrderFilter {
            asset: Some("pump-103".into()),
            status: Some(Status::Scheduled),
        };
        let first = PageRequest::default();
        let list = orders_of(&world, of_asset, &first).await;
        assert_eq!(list.items.len(), 1);
        let shown = serde_json::to_value(&list.items[0]).unwrap();
        assert_eq!(shown["allowed_actions"], json!(["cancel"]));
        assert_eq!(shown["status"], "scheduled");
        let none = OrderFilter {
            status: Some(Status::Posted),
            ..OrderFilter::default()
        };
        assert!(orders_of(&world, none, &first).await.items.is_empty());
        world.end().await;
    }
}

/// Nobody can come: the reason stands beside the order, and its version stays.
#[tokio::test]
async fn an_order_says_why_nobody_is_booked() {
    for world in World::all().await {
        sqlx::query("UPDATE resources SET active = 0")
            .execute(world.db().pool())
            .await
            .unwrap();
        let Intake::Created(order) = world.raise("alm_1", "pump-101", "pca").await else {
            panic!("a first alarm creates an order");
        };
        for _ in 0..2 {
            let report = scheduling::tick(world.db(), &world.ctx).await.unwrap();
            assert_eq!(report.unbooked, 1);
        }
        let view = world.order(&order).await.order;
        assert_eq!(
            view.unbooked_reason.as_deref(),
            Some("there is no active resource")
        );
        assert_eq!(view.version, 1);
        sqlx::query("UPDATE resources SET active = 1")
            .execute(world.db().pool())
            .await
            .unwrap();
        let report = scheduling::tick(world.db(), &world.ctx).await.unwrap();
        assert_eq!(report.booked.len(), 1);
        assert_eq!(world.order(&order).await.order.unbooked_reason, None);
        world.end().await;
    }
}
