//! The operator: sees when a machine has failed and asks for somebody.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::plant::SharedYear;
use crate::api::records::{Changed, WorkOrder};
use crate::api::{ApiError, Command};
use crate::cancel::Cancel;
use crate::people::until_next_look;
use crate::talk::Talk;
use crate::world::World;

/// How long a machine stands until somebody asks for a repair by hand.
const NOTICED_AFTER: TimeDelta = TimeDelta::hours(24);
/// Between two looks around. **Units**: business minutes.
const LOOK_EVERY: f64 = 360.0;
/// Shortest time between two looks. **Units**: milliseconds of the wall.
const SHORTEST_LOOK: u64 = 500;
/// Statuses of an order on which somebody will come.
const COMING: [&str; 3] = ["unscheduled", "scheduled", "in_progress"];

/// The operator of the plant.
#[derive(Debug)]
pub struct Operator {
    /// The plant.
    pub plant: SharedYear,
    /// The world.
    pub world: World,
    /// Where lines for people go.
    pub talk: Talk,
    /// Sends home.
    pub cancel: Cancel,
}

impl Operator {
    /// Looks around until told to stop.
    pub async fn run(self) {
        let mut asked = BTreeSet::new();
        while until_next_look(&self.world.clock, LOOK_EVERY, SHORTEST_LOOK, &self.cancel).await {
            match self.look(&mut asked).await {
                Ok(()) | Err(ApiError::Canceled { .. }) => {}
                Err(error) => self.talk.say(format!("operator: {error}")),
            }
        }
    }

    async fn look(&self, asked: &mut BTreeSet<usize>) -> Result<(), ApiError> {
        let now = self.world.clock.now();
        for fault in standing(&self.plant, now) {
            if asked.contains(&fault) || self.somebody_comes(fault).await? {
                continue;
            }
            let outcome = self.world.api.post::<Changed>(&self.request(fault)).await;
            match outcome {
                Ok(_) => drop(asked.insert(fault)),
                Err(error) if error.is_stale() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn somebody_comes(&self, fault: usize) -> Result<bool, ApiError> {
        let tag = self.tag(fault);
        let orders: Vec<WorkOrder> = self
            .world
            .api
            .list("/work-orders", &[("asset", tag)])
            .await?;
        Ok(orders
            .iter()
            .any(|order| COMING.contains(&order.status.as_str())))
    }

    fn request(&self, fault: usize) -> Command {
        let tag = self.tag(fault);
        Command {
            path: "/work-orders".to_owned(),
            body: json!({"actor": "Shift lead", "asset": tag, "priority": 1,
                "summary": format!("{tag} has failed and stands")}),
            idempotency_key: Some(format!("failed-{}-{tag}-{fault}", self.plant.plan().seed)),
            version: None,
        }
    }

    fn tag(&self, fault: usize) -> &str {
        &self.plant.machines()[self.plant.plan().faults[fault].asset].tag
    }
}

/// Faults whose machine has failed, was not repaired, and stands for long enough.
fn standing(plant: &SharedYear, now: DateTime<Utc>) -> Vec<usize> {
    let repairs = plant.repairs();
    let faults = plant.plan().faults.iter().enumerate();
    let stands = faults.filter(|(number, fault)| {
        repairs[*number].is_none() && plant.after(fault.failure) + NOTICED_AFTER <= now
    });
    stands.map(|(number, _)| number).collect()
}
