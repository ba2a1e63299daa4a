//! The price file: what is accepted, and that every mistake is named at once.

use crate::invoicing::{Catalog, CatalogError, DEFAULT_PRICES};
use crate::store::test_store::{TestStore, at, ctx};

#[test]
fn the_shipped_price_file_is_right() {
    let catalog = Catalog::parse(DEFAULT_PRICES).unwrap();
    assert_eq!(catalog.legal_entities[0].code, "FW");
    let list = &catalog.price_lists[0];
    assert!(list.travel.is_some());
    assert!(list.labor("mechanical").unwrap().per_hour > list.labor("?").unwrap().per_hour);
}

#[test]
fn every_mistake_is_named_at_once() {
    let text = r#"
[[price_list]]
name = "standard"
currency = "Euro"
valid_from = "2020-01-01"
labor = [{ skill = "a", per_hour = "1,50", minimum_minutes = 2000, step_minutes = 10 }]
part = [
  { code = "p", name = "P", price = "-1" },
  { code = "p", name = "P", price = "1.1234567" },
  { code = "q", name = "Q", price = "100000000000.5" },
]
[[tax_rate]]
country = "Germany"
category = "standard"
valid_from = "2020-01-01"
code = "DE-19"
rate = "19"
name = "19 %"
"#;
    let Err(CatalogError::Mistakes(mistakes)) = Catalog::parse(text) else {
        panic!("the file was taken")
    };
    let told = mistakes.join("\n");
    for part in [
        "nobody can bill",
        "\"Euro\" is no currency",
        "step_minutes is 10",
        "\"1,50\" is no decimal",
        "2000 is more than a day",
        "-1 must not be negative",
        "more than 6 decimals",
        "100000000000.5 is more than 100000000000",
        "part p stands twice",
        "\"Germany\" is no country",
        "write 0.19 for 19 %",
    ] {
        assert!(told.contains(part), "{part:?} is not among:\n{told}");
    }
    for wrong in ["price = 1.5", "[[price_list]]\nname = 1", "[[price]]"] {
        assert!(
            matches!(Catalog::parse(wrong), Err(CatalogError::Shape(_))),
            "{wrong}"
        );
    }
}

/// What is read back is what was written, and a second seeding changes nothing.
#[tokio::test]
async fn the_catalog_survives_the_store() {
    for store in TestStore::all().await {
        let ctx = &ctx(at("2026-03-02T07:00:00Z"));
        let shipped = &Catalog::parse(DEFAULT_PRICES).unwrap();
        let cheaper = &Catalog::parse(&DEFAULT_PRICES.replace("148.50", "1.00")).unwrap();
        for (catalog, time) in [(shipped, "first"), (cheaper, "second")] {
            let mut read = store
                .db
                .write(|tx| {
                    Box::pin(async move {
                        catalog.seed(tx, ctx).await?;
                        Catalog::load(tx).await
                    })
                })
                .await
                .unwrap();
            let mut expected = shipped.clone();
            for catalog in [&mut read, &mut expected] {
                for list in &mut catalog.price_lists {
                    list.labor.sort_by(|a, b| a.skill.cmp(&b.skill));
                    list.parts.sort_by(|a, b| a.code.cmp(&b.code));
                }
                catalog.tax_rates.sort_by(|a, b| {
                    (&a.country, &a.category, a.valid_from).cmp(&(
                        &b.country,
                        &b.category,
                        b.valid_from,
                    ))
                });
            }
            assert_eq!(read, expected, "{}: {time} seeding", store.kind);
        }
        store.drop_all().await;
    }
}
