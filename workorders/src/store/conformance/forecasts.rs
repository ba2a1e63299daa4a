//! Forecasts decide cases, and lives are told.

use super::cases::kept;
use super::*;
use crate::cases::{self, CaseError, CaseStatus, CloseOut};
use crate::triage::Tier;

#[tokio::test]
async fn a_forecast_decides_again_and_is_kept() {
    use crate::triage::{Forecast, ForecastBasis};

    for world in World::all().await {
        let told = world.tell("alm_1", "pump-101", "pca", "medium", 90).await;
        let case = kept(told, Tier::RemoteCheck);
        let seen = world.case(&case).await.case;
        assert_eq!(seen.facts.forecast, None);
        assert!(
            seen.reason.contains("there is no forecast"),
            "{}",
            seen.reason
        );
        let decide = async |ppm, basis| {
            let forecast = Some(Forecast { ppm, basis });
            let with = (world.ctx.now, forecast);
            cases::decide_again(world.db(), &world.ctx, &case, with)
                .await
                .unwrap();
            let seen = world.case(&case).await.case;
            assert_eq!(seen.facts.forecast, forecast, "{}", world.store.kind);
            seen
        };
        let aged = decide(1_000, ForecastBasis::Age).await;
        assert_eq!(
            (aged.status, aged.tier),
            (CaseStatus::Open, Tier::RemoteCheck)
        );
        let failing = decide(950_000, ForecastBasis::Trend).await;
        assert_eq!(failing.status, CaseStatus::Ordered);
        assert!(
            failing.reason.contains("by the trend"),
            "{}",
            failing.reason
        );
        world.end().await;
    }
}

#[tokio::test]
async fn lives_know_what_was_confirmed() {
    use crate::registry::lives;

    for mut world in World::all().await {
        let of = async |world: &World, tag: &str| {
            let all = lives::all(world.db()).await.unwrap();
            all.into_iter().find(|one| one.tag == tag).unwrap()
        };
        let before = of(&world, "pump-103").await;
        assert_eq!((before.class.as_str(), before.failures.len()), ("pump", 0));
        for (round, code) in [CloseOut::NoFaultFound, CloseOut::Confirmed]
            .into_iter()
            .enumerate()
        {
            world.pass(60);
            let alarm = format!("alm_{round}");
            let told = world.tell(&alarm, "pump-103", "pca", "medium", 90).await;
            let Intake::Kept(case, _) = told else {
                panic!("{told:?}")
            };
            let ctx = &world.ctx.acting_as("Ada");
            let (case, closing) = (&case, world.db());
            closing
                .write(|tx| {
                    Box::pin(async move {
                        cases::close(tx, ctx, case, code, "looked", None).await?;
                        Ok::<_, CaseError>(())
                    })
                })
                .await
                .unwrap();
        }
        let after = of(&world, "pump-103").await;
        assert_eq!(after.failures, [world.ctx.now]);
        assert_eq!(after.registered_at, before.registered_at);
        world.end().await;
    }
}
