//! The reviewer: posts completed orders, by name.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{Patience, PeopleSettings, allowed, until_next_look};
use crate::api::records::{Changed, WorkOrder};
use crate::api::{ApiError, Command};
use crate::cancel::Cancel;
use crate::talk::Talk;
use crate::world::{World, minutes};

/// What the reviewer does about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing yet.
    Wait,
    /// Post: the repair is verified, or needs no verification.
    Post,
    /// Look whether any telemetry came after the work.
    AskForTelemetry,
    /// Send the technician again: telemetry says that the repair failed.
    SendBack,
}

/// Decides what to do about one order.
pub fn next_action(order: &WorkOrder, settings: &PeopleSettings, now: DateTime<Utc>) -> Action {
    let Some(completed_at) = order.completed_at.filter(|_| order.status == "completed") else {
        return Action::Wait;
    };
    let read = now >= completed_at + minutes(settings.review_after_minutes);
    let waited = now >= completed_at + minutes(settings.no_telemetry_after_hours * 60.0);
    let (verb, action) = match order.verification.as_str() {
        "passed" | "not_needed" if read => ("post", Action::Post),
        "pending" if waited => ("post", Action::AskForTelemetry),
        // The service reopens such an order by itself; a reviewer steps in where it does not.
        "failed" if waited => ("send-back", Action::SendBack),
        _ => return Action::Wait,
    };
    if allowed(&order.allowed_actions, verb) {
        action
    } else {
        Action::Wait
    }
}

/// The reviewer of the world.
pub struct Reviewer {
    world: World,
    settings: PeopleSettings,
    talk: Talk,
    cancel: Cancel,
    patience: Patience,
}

impl Reviewer {
    /// A reviewer with these habits.
    pub fn new(world: World, settings: PeopleSettings, talk: Talk, cancel: Cancel) -> Self {
        Self {
            world,
            settings,
            talk,
            cancel,
            patience: Patience::default(),
        }
    }

    /// Reviews until told to stop.
    pub async fn run(mut self) {
        loop {
            match self.look().await {
                Ok(()) | Err(ApiError::Canceled { .. }) => {}
                Err(error) => self
                    .talk
                    .say(format!("{}: {error}", self.settings.reviewer)),
            }
            let shortest = self.settings.look_milliseconds;
            if !until_next_look(&self.world.clock, 5.0, shortest, &self.cancel).await {
                return;
            }
        }
    }

    async fn look(&mut self) -> Result<(), ApiError> {
        let orders: Vec<WorkOrder> = self
            .world
            .api
            .list("/work-orders", &[("status", "completed")])
            .await?;
        for order in orders {
            let now = self.world.clock.now();
            if self.patience.rests(&order.id, now) {
                continue;
            }
            let body = match next_action(&order, &self.settings, now) {
                Action::Wait => continue,
                Action::Post => json!({ "verification": order.verification }),
                Action::AskForTelemetry if self.has_telemetry(&order).await? => continue,
                Action::AskForTelemetry => json!({ "unverified": { "reason": "no telemetry" } }),
                Action::SendBack => json!({ "reason": "telemetry is still out of its band" }),
            };
            let verb = if body.get("reason").is_some() {
                "send-back"
            } else {
                "post"
            };
            let command = command(&order, verb, &self.settings.reviewer, body);
            let outcome = self.world.api.post::<Changed>(&command).await;
            self.patience
                .judge(&self.settings.reviewer, &order.id, now, outcome, &self.talk);
        }
        Ok(())
    }

    /// True when the asset has reported since the work was completed.
    async fn has_telemetry(&self, order: &WorkOrder) -> Result<bool, ApiError> {
        let Some(query) = telemetry_query(order) else {
            return Ok(true);
        };
        let command = Command {
            path: "/sql".into(),
            body: json!({ "query": query }),
            idempotency_key: None,
            version: None,
        };
        let answer: Value = self.world.api.post(&command).await?;
        Ok(counted(&answer) != Some(0))
    }
}

fn telemetry_query(order: &WorkOrder) -> Option<String> {
    let tag = order.asset.tag.replace('\'', "''");
    let since = order
        .completed_at?
        .to_rfc3339_opts(SecondsFormat::Micros, true);
    Some(format!(
        "SELECT count(*) AS readings FROM readings \
         WHERE asset = '{tag}' AND time > TIMESTAMP '{since}'"
    ))
}

/// The single number of an answer.
fn counted(answer: &Value) -> Option<u64> {
    let cell = answer.pointer("/rows/0/0")?;
    cell.as_u64().or_else(|| cell.as_str()?.parse().ok())
}

fn command(order: &WorkOrder, verb: &str, actor: &str, mut body: Value) -> Command {
    body["actor"] = json!(actor);
    Command {
        path: format!("/work-orders/{}/{verb}", order.id),
        body,
        idempotency_key: Some(format!("review-{}-{verb}-{}", order.id, order.version)),
        version: Some(order.version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-10-05T08:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    fn order(status: &str, verification: &str) -> WorkOrder {
        let completed = (status != "in_progress").then(|| at(0));
        serde_json::from_value(json!({"id": "wo_1", "number": "WO-7", "status": status,
            "asset": {"id": "ast_1", "tag": "P'1"}, "verification": verification, "version": 4,
            "created_at": at(-300), "completed_at": completed}))
        .unwrap()
    }

    fn settings() -> PeopleSettings {
        crate::scenario::scenario("people").unwrap().people.unwrap()
    }

    #[test]
    fn the_desk_of_a_reviewer() {
        let check = |status: &str, verification: &str, minute: i64, expected: Action| {
            let found = next_action(&order(status, verification), &settings(), at(minute));
            assert_eq!(found, expected, "{status} {verification} at {minute}");
        };
        check("completed", "passed", 9, Action::Wait);
        check("completed", "passed", 10, Action::Post);
        check("completed", "not_needed", 10, Action::Post);
        check("completed", "pending", 119, Action::Wait);
        check("completed", "pending", 120, Action::AskForTelemetry);
        check("completed", "failed", 119, Action::Wait);
        check("completed", "failed", 120, Action::SendBack);
        check("in_progress", "pending", 500, Action::Wait);
        check("posted", "passed", 500, Action::Wait);
    }

    #[test]
    fn only_allowed_verbs_are_tried() {
        let mut order = order("completed", "passed");
        order.allowed_actions = vec!["send_back".into()];
        assert_eq!(next_action(&order, &settings(), at(60)), Action::Wait);
        order.allowed_actions.push("post".into());
        assert_eq!(next_action(&order, &settings(), at(60)), Action::Post);
    }

    #[test]
    fn the_question_for_telemetry_and_its_answer() {
        let query = telemetry_query(&order("completed", "pending")).unwrap();
        assert!(
            query.ends_with("asset = 'P''1' AND time > TIMESTAMP '2026-10-05T08:00:00.000000Z'")
        );
        for (rows, expected) in [
            (json!([[0]]), Some(0)),
            (json!([["12"]]), Some(12)),
            (json!([]), None),
        ] {
            assert_eq!(counted(&json!({ "rows": rows })), expected);
        }
    }

    #[test]
    fn the_request_names_the_reviewer_and_the_version() {
        let body = json!({ "unverified": { "reason": "no telemetry" } });
        let command = command(&order("completed", "pending"), "post", "Ruth", body);
        assert_eq!(command.path, "/work-orders/wo_1/post");
        assert_eq!(command.body["actor"], "Ruth");
        assert_eq!(command.body["unverified"]["reason"], "no telemetry");
        assert_eq!(
            command.idempotency_key.as_deref(),
            Some("review-wo_1-post-4")
        );
        assert_eq!(command.version, Some(4));
    }
}
