//! Alarms and assets come in, from one process or from two.

use super::*;

#[tokio::test]
async fn alarms_wait_for_an_asset_with_a_site() {
    for mut world in World::all().await {
        let waiting = world.raise("alm_1", "rig-1", "pca").await;
        assert_eq!(
            waiting,
            Intake::Waiting("the asset is not registered".into())
        );
        assert_eq!(
            world.raise("alm_1", "rig-1", "pca").await,
            Intake::AlreadySo
        );
        world.raise("alm_2", "rig-1", "hot").await;
        world.raise("alm_3", "rig-1", "gone").await;
        alarm_returned(world.db(), &world.ctx, "alm_3", world.ctx.now)
            .await
            .unwrap();
        register(&world, "rig-1", None).await;
        world.raise("alm_4", "rig-1", "later").await;
        assert_eq!(world.count("waiting_alarms").await, 3);
        assert_eq!(world.count("work_orders").await, 0);

        world.pass(5);
        register(&world, "rig-1", Some("pankow-plant")).await;
        assert_eq!(world.count("waiting_alarms").await, 0);
        assert_eq!(
            world.count("work_orders").await,
            1,
            "one condition, one order"
        );
        assert_eq!(world.count("work_order_alarms").await, 3);
        assert_eq!(
            world.raise("alm_1", "rig-1", "pca").await,
            Intake::AlreadySo
        );
        world.end().await;
    }
}

async fn register(world: &World, tag: &str, site: Option<&str>) {
    let new = &NewAsset {
        tag: tag.into(),
        class: "skab".into(),
        site: site.map(str::to_owned),
        ..NewAsset::default()
    };
    let ctx = &world.ctx;
    world
        .db()
        .write(|tx| Box::pin(async move { assets::create(tx, ctx, new).await }))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_tag_names_one_asset() {
    for world in World::all().await {
        register(&world, "rig-1", Some("pankow-plant")).await;
        register(&world, "rig-1", Some("pankow-plant")).await;
        assert_eq!(world.count("assets").await, 25);
        let ctx = &world.ctx;
        let other = &NewAsset {
            tag: "rig-1".into(),
            class: "pump".into(),
            ..NewAsset::default()
        };
        let refused = world
            .db()
            .write(|tx| Box::pin(async move { assets::create(tx, ctx, other).await }))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), "tag_taken");
        let site = sites::first(world.db()).await.unwrap();
        assert_eq!(site.unwrap().name, "Tegel waterworks");
        world.end().await;
    }
}

/// Two processes take the same alarms in and book at once: still one order, one booking each.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_make_one_order_and_one_booking_each() {
    for world in World::all().await {
        let other = Db::open(&world.store.url).await.unwrap();
        let mut ctx = world.ctx.clone();
        ctx.ids = Arc::new(RandomIds::new());
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..24 {
            let tag = format!(
                "{}-{}",
                ["pump", "fan"][number % 2],
                101 + 100 * (number % 2) + number / 2 % 4
            );
            for (db, cause) in [(world.db(), "pca"), (&other, "hot")] {
                let (db, ctx) = (db.clone(), ctx.clone());
                let report = report(&format!("alm_{number}_{cause}"), &tag, cause, ctx.now);
                tasks.spawn(async move {
                    alarm(&db, &ctx, report).await.unwrap();
                    scheduling::tick(&db, &ctx).await.unwrap();
                });
            }
        }
        tasks.join_all().await;
        other.close().await;
        assert_eq!(world.count("work_orders").await, 8, "{}", world.store.kind);
        assert_eq!(world.count("bookings").await, 8, "{}", world.store.kind);
        assert_eq!(
            world.count("work_order_alarms").await,
            48,
            "{}",
            world.store.kind
        );
        let page = PageRequest::new(Some(100), None);
        let all = BookingFilter::default();
        let bookings = execution::views::list(world.db(), &all, &page).await;
        let bookings = bookings.unwrap().items;
        for one in &bookings {
            for two in bookings.iter().filter(|two| two.id != one.id) {
                let apart = one.ends_at <= two.travel_from || two.ends_at <= one.travel_from;
                assert!(
                    one.resource_id != two.resource_id || apart,
                    "{one:?} {two:?}"
                );
            }
        }
        world.end().await;
    }
}
