use std::collections::BTreeSet;

use super::files::World;
use super::*;
use crate::registry::assets::{self, AssetFilter};
use crate::registry::{accounts, catalog, resources, sites};
use crate::store::page::PageRequest;
use crate::store::test_store::{TestStore, at, ctx};

#[tokio::test]
async fn the_seeded_world_is_there_once() {
    for store in TestStore::all().await {
        let ctx = ctx(at("2026-03-02T07:00:00Z"));
        assert!(seed(&store.db, &ctx).await.unwrap());
        assert!(
            !seed(&store.db, &ctx).await.unwrap(),
            "a second start seeds nothing"
        );
        let all = PageRequest::new(Some(100), None);
        assert_eq!(
            accounts::list(&store.db, &all).await.unwrap().items.len(),
            4
        );
        assert_eq!(
            sites::list(&store.db, None, &all)
                .await
                .unwrap()
                .items
                .len(),
            5
        );
        assert_eq!(
            resources::list(&store.db, &all).await.unwrap().items.len(),
            5
        );
        for class in ["pump", "fan", "compressor"] {
            let filter = AssetFilter {
                class: Some(class.into()),
                ..AssetFilter::default()
            };
            let page = assets::list(&store.db, &filter, &all).await.unwrap();
            assert_eq!(page.items.len(), 8, "{class}");
        }
        store.drop_all().await;
    }
}

#[tokio::test]
async fn pages_follow_each_other() {
    let store = TestStore::sqlite().await;
    seed(&store.db, &ctx(at("2026-03-02T07:00:00Z")))
        .await
        .unwrap();
    let mut request = PageRequest::new(Some(10), None);
    let mut sizes = Vec::new();
    let mut tags = BTreeSet::new();
    loop {
        let page = assets::list(&store.db, &AssetFilter::default(), &request)
            .await
            .unwrap();
        sizes.push(page.items.len());
        tags.extend(page.items.into_iter().map(|asset| asset.tag));
        match page.next_cursor {
            Some(cursor) => request = PageRequest::new(Some(10), Some(cursor)),
            None => break,
        }
    }
    assert_eq!(sizes, [10, 10, 4]);
    assert_eq!(tags.len(), 24);
}

/// Whoever can be needed is on shift, from 06:00 to 22:00 on every day.
#[test]
fn shifts_cover_every_skill_on_every_day() {
    let world = World::compiled_in().unwrap();
    let skills: BTreeSet<_> = world
        .catalog
        .incident_type
        .iter()
        .flat_map(|it| it.skills.clone())
        .collect();
    for skill in skills {
        for weekday in 1..=7 {
            let mut minute = 6 * 60;
            while minute < 22 * 60 {
                let on_shift = world.resources.resource.iter().any(|resource| {
                    resource.skills.contains(&skill)
                        && resource.shift.iter().any(|shift| {
                            let (from, until) = shift.minutes().unwrap();
                            shift.weekday_numbers().unwrap().contains(&weekday)
                                && (from..until).contains(&minute)
                        })
                });
                assert!(
                    on_shift,
                    "nobody with {skill} on weekday {weekday}, minute {minute}"
                );
                minute += 15;
            }
        }
    }
}

/// What the catalog names is priced, and causes that show one condition share a failure mode.
#[tokio::test]
async fn the_catalog_is_whole() {
    let world = World::compiled_in().unwrap();
    let prices = DEFAULT_PRICES;
    for it in &world.catalog.incident_type {
        for code in it.parts.iter().chain([&it.labor_code]) {
            assert!(
                prices.contains(&format!("\"{code}\"")),
                "{code} has no price"
            );
        }
        assert!(!it.tasks.is_empty() && !it.skills.is_empty(), "{}", it.key);
    }
    let store = TestStore::sqlite().await;
    seed(&store.db, &ctx(at("2026-03-02T07:00:00Z")))
        .await
        .unwrap();
    let mut conn = store.db.pool().acquire().await.unwrap();
    for (class, cause, expected) in [
        ("pump", "pca", "pump-out-of-band"),
        ("pump", "bearing_hot", "pump-out-of-band"),
        ("fan", "pca", "fan-out-of-band"),
        ("compressor", "anything", "compressor-out-of-band"),
        ("skab", "pca", "rig-out-of-band"),
        ("undeclared", "pca", "out-of-band"),
    ] {
        let mode = catalog::failure_mode(&mut conn, class, cause)
            .await
            .unwrap();
        assert_eq!(mode.key, expected, "{class}, {cause}");
        let known = catalog::incident_type(&mut conn, &mode.incident_type).await;
        assert!(known.is_ok(), "{}", mode.incident_type);
    }
}

/// Every site is a realistic drive away from every home.
#[test]
fn sites_are_a_drive_away() {
    use crate::scheduling::travel::{Place, trip};
    let world = World::compiled_in().unwrap();
    let place = |latitude: &str, longitude: &str| Place {
        latitude: latitude.parse().unwrap(),
        longitude: longitude.parse().unwrap(),
    };
    for resource in &world.resources.resource {
        for site in &world.accounts.site {
            let home = place(&resource.latitude, &resource.longitude);
            let there = place(&site.latitude, &site.longitude);
            let minutes = trip(home, there, resource.speed_kmh).minutes;
            let (who, at) = (&resource.name, &site.name);
            assert!((15..=45).contains(&minutes), "{who} to {at}: {minutes} min");
        }
    }
}
