//! What alarms come to before and beside orders.

use super::*;
use crate::cases::views::{CaseFilter, CaseView};
use crate::cases::{self, CaseError, CaseStatus, CloseOut, Worse};
use crate::store::ids::CaseId;
use crate::triage::Tier;

impl World {
    /// Raises an alarm that began `minutes` ago.
    pub(super) async fn tell(
        &self,
        alarm: &str,
        tag: &str,
        cause: &str,
        severity: &str,
        minutes: i64,
    ) -> Intake {
        let mut report = report(alarm, tag, cause, self.ctx.now);
        report.severity = severity.into();
        report.began_at = Some(self.ctx.now - TimeDelta::minutes(minutes));
        crate::orders::intake::alarm(self.db(), &self.ctx, report)
            .await
            .unwrap()
    }

    pub(super) async fn case(&self, id: &CaseId) -> CaseView {
        let mut conn = self.db().pool().acquire().await.unwrap();
        cases::views::get(&mut conn, id).await.unwrap()
    }

    /// Decides everything that is due, as if readings went up to now.
    async fn decide_due(&self) {
        for due in cases::due(self.db(), self.ctx.now).await.unwrap() {
            cases::decide_again(self.db(), &self.ctx, &due.case, (self.ctx.now, None))
                .await
                .unwrap();
        }
    }

    async fn worse(&self, alarm: &str, severity: &str) {
        let more = &Worse {
            at: self.ctx.now,
            severity: severity.into(),
            confidence_bp: 9_500,
            failure_ppm: None,
            ratio_milli: Some(4_500),
            summary: "far worse".into(),
            forecast: None,
        };
        let ctx = &self.ctx;
        self.db()
            .write(|tx| Box::pin(async move { cases::worse(tx, ctx, alarm, more).await }))
            .await
            .unwrap();
    }

    async fn close(&self, id: &CaseId, reason: &str, version: i64) -> Result<(), CaseError> {
        let ctx = &self.ctx.acting_as("Ada");
        self.db()
            .write(|tx| {
                Box::pin(async move {
                    let code = CloseOut::NoFaultFound;
                    cases::close(tx, ctx, id, code, reason, Some(version)).await?;
                    Ok(())
                })
            })
            .await
    }
}

#[track_caller]
pub(super) fn kept(intake: Intake, tier: Tier) -> CaseId {
    match intake {
        Intake::Kept(case, kept) if kept == tier => case,
        other => panic!("{tier}: {other:?}"),
    }
}

#[tokio::test]
async fn what_lasts_climbs_to_one_order() {
    for mut world in World::all().await {
        let case = kept(
            world.tell("alm_1", "pump-101", "pca", "high", 10).await,
            Tier::Watch,
        );
        let again = world.tell("alm_1", "pump-101", "pca", "high", 10).await;
        assert_eq!(again, Intake::AlreadySo);
        world.decide_due().await;
        assert_eq!(world.count("work_orders").await, 0);
        world.pass(51);
        // Silence is no proof that it lasts.
        let heard = world.ctx.now - TimeDelta::minutes(50);
        cases::decide_again(world.db(), &world.ctx, &case, (heard, None))
            .await
            .unwrap();
        assert_eq!(world.count("work_orders").await, 0);
        world.pass(5);
        world.decide_due().await;
        world.decide_due().await;
        assert_eq!(world.count("work_orders").await, 1, "{}", world.store.kind);
        let ordered = world.case(&case).await.case;
        assert_eq!(
            (ordered.status, ordered.tier),
            (CaseStatus::Ordered, Tier::Dispatch)
        );
        let order = world.order(&ordered.work_order_id.unwrap()).await;
        assert_eq!(order.order.tier, Some(Tier::Dispatch));
        assert_eq!(order.order.due_at, Some(world.ctx.now + TimeDelta::days(1)));
        assert_eq!(order.alarms.len(), 1);
        let attached = world.tell("alm_2", "pump-101", "hot", "high", 10).await;
        assert_eq!(attached, Intake::Attached(order.order.id));
        world.end().await;
    }
}

#[tokio::test]
async fn a_second_detector_makes_an_order_of_a_remote_check() {
    for world in World::all().await {
        let told = world.tell("alm_1", "pump-101", "pca", "medium", 90).await;
        let case = kept(told, Tier::RemoteCheck);
        let next = world.tell("alm_2", "pump-101", "hot", "medium", 5).await;
        let Intake::Created(order) = next else {
            panic!("{next:?}")
        };
        assert_eq!(
            world.case(&case).await.case.work_order_id,
            Some(order.clone())
        );
        assert_eq!(world.order(&order).await.alarms.len(), 2);
        assert!(world.kinds().await.contains(&"case.opened".to_owned()));
        world.end().await;
    }
}

#[tokio::test]
async fn a_person_closes_or_escalates_a_remote_check() {
    for world in World::all().await {
        let told = world.tell("alm_1", "pump-101", "pca", "medium", 90).await;
        let first = kept(told, Tier::RemoteCheck);
        assert_eq!(
            world.close(&first, "seen", 7).await.unwrap_err().code(),
            "stale_version"
        );
        assert_eq!(
            world.close(&first, " ", 1).await.unwrap_err().code(),
            "reason_missing"
        );
        world.close(&first, "cleaning", 1).await.unwrap();
        let refused = world.close(&first, "again", 2).await.unwrap_err();
        assert_eq!(refused.code(), "not_allowed_now");
        let seen = world.case(&first).await;
        assert_eq!(seen.case.close_out, Some(CloseOut::NoFaultFound));
        assert_eq!(seen.case.closed_by.as_deref(), Some("Ada"));
        assert!(seen.allowed_actions.is_empty());

        let told = world.tell("alm_1#2", "pump-101", "pca", "medium", 90).await;
        let second = kept(told, Tier::RemoteCheck);
        assert!(
            world.case(&second).await.case.facts.confidence_bp < 9_000,
            "it was wrong before"
        );
        let ctx = &world.ctx.acting_as("Ada");
        let id = &second;
        let order: Result<_, CaseError> = world
            .db()
            .write(|tx| {
                Box::pin(async move {
                    cases::escalate(tx, ctx, id, Tier::Dispatch, "I hear it", Some(1)).await
                })
            })
            .await;
        let order = world.order(&order.unwrap()).await;
        assert_eq!(order.order.source, "alarm");
        assert_eq!(order.order.verification, Verification::Pending);
        let filter = CaseFilter {
            status: Some(CaseStatus::Ordered),
            asset: Some("pump-101".into()),
            ..CaseFilter::default()
        };
        let page = PageRequest::default();
        let listed = cases::views::list(world.db(), &filter, &page)
            .await
            .unwrap();
        assert_eq!(listed.items.len(), 1);
        assert!(listed.items[0].case.reason.starts_with("escalated by Ada"));
        let labels = world.kinds().await;
        assert_eq!(
            labels
                .iter()
                .filter(|kind| *kind == "alarm.labeled")
                .count(),
            1
        );
        world.end().await;
    }
}

#[tokio::test]
async fn what_returns_by_itself_ends() {
    for world in World::all().await {
        let case = kept(
            world.tell("alm_1", "pump-101", "pca", "high", 10).await,
            Tier::Watch,
        );
        world.tell("alm_2", "pump-101", "hot", "high", 10).await;
        world.returned("alm_1").await;
        assert_eq!(world.case(&case).await.case.status, CaseStatus::Open);
        world.returned("alm_2").await;
        world.returned("alm_2").await;
        assert_eq!(world.case(&case).await.case.status, CaseStatus::Closed);
        assert_eq!(world.case(&case).await.case.close_out, None);
        let next = kept(
            world.tell("alm_1#2", "pump-101", "pca", "high", 1).await,
            Tier::Watch,
        );
        assert_ne!(next, case);
        world.end().await;
    }
}

#[tokio::test]
async fn a_planned_inspection_becomes_a_dispatch_on_the_same_order() {
    for world in World::all().await {
        let told = world.tell("alm_1", "pump-103", "pca", "high", 90).await;
        let Intake::Created(order) = told else {
            panic!("{told:?}")
        };
        let planned = world.order(&order).await.order;
        assert_eq!(planned.tier, Some(Tier::PlannedInspection));
        world.worse("alm_1", "high").await;
        assert_eq!(world.order(&order).await.order.tier, planned.tier);
        world.worse("alm_1", "critical").await;
        let sent = world.order(&order).await.order;
        assert_eq!(sent.tier, Some(Tier::Dispatch));
        assert!(sent.priority < planned.priority);
        assert!(sent.due_at < planned.due_at);
        assert_eq!(world.count("work_orders").await, 1);
        assert!(
            world
                .kinds()
                .await
                .contains(&"work_order.escalated".to_owned())
        );
        world.end().await;
    }
}

#[tokio::test]
async fn a_case_says_what_was_ordered_when_its_order_is_over() {
    for world in World::all().await {
        let told = world.tell("alm_1", "pump-103", "pca", "high", 90).await;
        let Intake::Created(order) = told else {
            panic!("{told:?}")
        };
        let (ctx, id) = (&world.ctx, &order);
        world
            .db()
            .write(|tx| Box::pin(async move { orders::cancel(tx, ctx, id, "sold", None).await }))
            .await
            .unwrap();
        world.worse("alm_1", "critical").await;
        let kept = world.order(&order).await;
        assert_eq!(kept.order.status, Status::Canceled);
        assert_eq!(kept.order.tier, Some(Tier::PlannedInspection));
        let (filter, page) = (CaseFilter::default(), PageRequest::default());
        let cases = cases::views::list(world.db(), &filter, &page)
            .await
            .unwrap();
        assert_eq!(cases.items.len(), 1);
        assert_eq!(cases.items[0].case.tier, Tier::PlannedInspection);
        world.end().await;
    }
}

#[tokio::test]
async fn a_year_has_a_budget_of_orders() {
    for mut world in World::all().await {
        for round in 0..6 {
            let told = world
                .tell(&format!("alm_{round}"), "pump-103", "pca", "high", 90)
                .await;
            match (round, told) {
                (0..4, Intake::Created(order)) => {
                    let booked = scheduling::tick(world.db(), &world.ctx).await.unwrap();
                    world.visit(&booked.booked[0].booking, Outcome::Fixed).await;
                    world.returned(&format!("alm_{round}")).await;
                    assert!(world.verify(&order, passed()).await);
                }
                (4, Intake::Kept(_, Tier::Watch)) => {
                    world.returned("alm_4").await;
                    world.pass(366 * 24 * 60);
                }
                (5, Intake::Created(_)) => {}
                (_, told) => panic!("{round}: {told:?}"),
            }
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_persons_order_takes_the_case_over() {
    for world in World::all().await {
        let case = kept(
            world.tell("alm_1", "fan-202", "pca", "high", 10).await,
            Tier::Watch,
        );
        let new = &NewOrder {
            asset: "fan-202".into(),
            summary: "squeaks".into(),
            ..NewOrder::default()
        };
        let ctx = &world.ctx;
        let made = world
            .db()
            .write(|tx| Box::pin(async move { orders::create(tx, ctx, new).await }))
            .await
            .unwrap();
        assert_eq!(made.verification, Verification::Pending);
        assert_eq!(world.order(&made.id).await.alarms.len(), 1);
        assert_eq!(world.case(&case).await.case.work_order_id, Some(made.id));
        world.end().await;
    }
}

#[tokio::test]
async fn labels_propose_a_limit_that_a_person_promotes() {
    use crate::tuning::{self, ProposalError, ProposalStatus};

    for world in World::all().await {
        for round in 0..10 {
            let alarm = format!("alm_{round}");
            let told = world.tell(&alarm, "pump-103", "pca", "medium", 90).await;
            // A detector that is often wrong is soon only watched.
            let Intake::Kept(case, _) = told else {
                panic!("{round}: {told:?}")
            };
            if round >= 8 {
                world.worse(&alarm, "low").await;
            }
            let version = world.case(&case).await.case.version;
            world.close(&case, "nothing", version).await.unwrap();
        }
        let ctx = &world.ctx.acting_as("Ada");
        let weigh = async || {
            let made = world
                .db()
                .write(|tx| Box::pin(async move { tuning::refresh(tx, ctx).await }));
            made.await.unwrap()
        };
        let made = weigh().await;
        let [id] = &made[..] else {
            panic!("one class, one detector: {made:?}")
        };
        assert!(weigh().await.is_empty(), "the same is proposed once");
        let decide = async |version| {
            let done: Result<_, ProposalError> = world
                .db()
                .write(|tx| Box::pin(async move { tuning::promote(tx, ctx, id, version).await }))
                .await;
            done
        };
        assert_eq!(decide(Some(9)).await.unwrap_err().code(), "stale_version");
        let promoted = decide(Some(1)).await.unwrap();
        assert_eq!(promoted.status, ProposalStatus::Promoted);
        assert_eq!(promoted.decided_by.as_deref(), Some("Ada"));
        assert_eq!(promoted.factor_milli, 3_500);
        assert!(
            weigh().await.is_empty(),
            "what was weighed is not weighed again"
        );
        assert!(
            world
                .kinds()
                .await
                .contains(&"limit_proposal.promoted".to_owned())
        );
        let page = tuning::list(world.db(), None, &PageRequest::default()).await;
        assert_eq!(page.unwrap().items.len(), 1);

        let back = async |version| {
            let done: Result<_, ProposalError> = world
                .db()
                .write(|tx| Box::pin(async move { tuning::take_back(tx, ctx, id, version).await }))
                .await;
            done
        };
        assert!(tuning::promoted(world.db()).await.unwrap()[0].is_in_force());
        assert_eq!(back(Some(1)).await.unwrap_err().code(), "stale_version");
        let taken = back(Some(2)).await.unwrap();
        assert_eq!(taken.taken_back_by.as_deref(), Some("Ada"));
        assert_eq!(back(None).await.unwrap(), taken, "a repeat changes nothing");
        let known = tuning::promoted(world.db()).await.unwrap();
        assert_eq!((known.len(), known[0].is_in_force()), (1, false));
        let told = world.kinds().await;
        assert!(told.contains(&"limit_proposal.taken_back".to_owned()));
        world.end().await;
    }
}

#[tokio::test]
async fn detector_performance_counts_conditions() {
    use sqlx::Row;

    for mut world in World::all().await {
        let (order, booking) = world.booked("alm_1", "pump-101").await;
        world.tell("alm_2", "pump-101", "pca", "high", 90).await;
        world.visit(&booking, Outcome::Fixed).await;
        for alarm in ["alm_1", "alm_2"] {
            world.returned(alarm).await;
        }
        world.verify(&order, passed()).await;
        world.post(&order, Basis::Passed, None).await.unwrap();
        let (wrong, booking) = world.booked("alm_3", "pump-104").await;
        world.visit(&booking, Outcome::NoFaultFound).await;
        world.returned("alm_3").await;
        world.verify(&wrong, passed()).await;
        world.post(&wrong, Basis::Passed, None).await.unwrap();
        let row = sqlx::query(
            "SELECT version, cases, ordered, confirmed, no_fault_found, missed, precision_ppm, \
             recall_ppm, visits_cost, wasted_cost FROM detector_performance \
             WHERE class = 'pump' AND cause = 'pca'",
        )
        .fetch_one(world.db().pool())
        .await
        .unwrap();
        assert_eq!(row.try_get::<String, _>(0).unwrap(), "pca-1");
        let figures: Vec<i64> = (1..10).map(|at| row.try_get(at).unwrap()).collect();
        assert_eq!(
            figures,
            [2, 2, 1, 1, 0, 500_000, 1_000_000, 100_000, 50_000],
            "{}",
            world.store.kind
        );
        world.end().await;
    }
}

#[tokio::test]
async fn evidence_is_frozen_once() {
    use crate::orders::evidence;

    for mut world in World::all().await {
        let told = world.tell("alm_1", "pump-101", "pca", "high", 90).await;
        let Intake::Created(order) = told else {
            panic!("{told:?}")
        };
        let waiting = evidence::unfrozen(world.db()).await.unwrap();
        assert_eq!(waiting.len(), 1);
        assert_eq!(waiting[0].began_at, world.ctx.now - TimeDelta::minutes(90));
        for flow in [7, 8] {
            let readings = json!({ "columns": ["flow"], "rows": [[flow]] });
            evidence::freeze(world.db(), &world.ctx, &order, readings)
                .await
                .unwrap();
        }
        assert!(evidence::unfrozen(world.db()).await.unwrap().is_empty());
        let pack = world.order(&order).await.evidence.unwrap();
        assert_eq!(pack["readings"]["rows"], json!([[7]]));
        assert_eq!(pack["alarms"][0]["evidence"]["t2"], 41.5);
        assert_eq!(pack["alarms"][0]["model"], "pca-1");
        assert_eq!(pack["decision"]["tier"], "dispatch");
        assert_eq!(pack["similar"], json!([]));
        for change in [
            "UPDATE evidence_packs SET pack = '{}'",
            "DELETE FROM evidence_packs",
        ] {
            let refused = sqlx::query(change).execute(world.db().pool()).await;
            assert!(refused.is_err(), "{}: {change}", world.store.kind);
        }

        // The next order of the kind knows what this one turned out to be.
        let booked = scheduling::tick(world.db(), &world.ctx).await.unwrap();
        world
            .visit(&booked.booked[0].booking, Outcome::OtherFault)
            .await;
        world.returned("alm_1").await;
        world.verify(&order, passed()).await;
        world.post(&order, Basis::Passed, None).await.unwrap();
        assert_eq!(
            world.order(&order).await.order.close_out,
            Some(CloseOut::OtherFault)
        );
        let told = world.tell("alm_2", "pump-104", "pca", "high", 90).await;
        let Intake::Created(next) = told else {
            panic!("{told:?}")
        };
        evidence::freeze(world.db(), &world.ctx, &next, Value::Null)
            .await
            .unwrap();
        let pack = world.order(&next).await.evidence.unwrap();
        assert_eq!(pack["similar"][0]["close_out"], "other_fault");
        assert_eq!(pack["similar"][0]["asset"], "pump-101");
        world.end().await;
    }
}
