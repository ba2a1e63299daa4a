//! The sensors of the year: every machine reports every ten minutes of business time, over MQTT.

use chrono::TimeDelta;

use super::plant::SharedYear;
use crate::cancel::Cancel;
use crate::endpoint::Endpoint;
use crate::mqtt::{Outbound, Publisher, PublisherOptions, Stopped};
use crate::plant::topic;
use crate::talk::Talk;
use crate::world::WorldClock;

/// Messages that wait for their acknowledgement at a time.
const WINDOW: usize = 4_000;
/// Days between two lines for people.
const TELL_EVERY: i64 = 30;

/// The sensors.
#[derive(Debug)]
pub struct YearSensors {
    /// The plant that they watch.
    pub plant: SharedYear,
    /// Where they publish.
    pub broker: Endpoint,
    /// The business clock.
    pub clock: WorldClock,
    /// Where lines for people go.
    pub talk: Talk,
    /// Stops them.
    pub cancel: Cancel,
}

/// What the sensors did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reported {
    /// Readings that were acknowledged.
    pub readings: u64,
    /// How far the sensors were behind the business clock at worst.
    pub largest_lag: TimeDelta,
}

impl YearSensors {
    /// Publishes the year; returns when its last reading is acknowledged, or with what was sent
    /// when it is told to stop.
    pub async fn publish(self) -> Reported {
        let options = PublisherOptions {
            client_id: format!("year-{:x}", self.plant.plan().seed),
            window: WINDOW,
        };
        let publisher = Publisher::open(self.broker.clone(), options, self.cancel.clone(), |()| ());
        let mut reported = Reported::default();
        if self.send(&publisher, &mut reported).await.is_err() {
            tracing::debug!("the year was stopped with messages on their way");
            return reported;
        }
        if let Ok(acknowledged) = publisher.finish().await {
            reported.readings = acknowledged;
        }
        reported
    }

    async fn send(
        &self,
        publisher: &Publisher<()>,
        reported: &mut Reported,
    ) -> Result<(), Stopped> {
        let per_day = 86_400 / super::STEP_SECONDS;
        for index in 0..self.plant.readings() {
            let time = self.plant.time(index);
            // A service that falls behind is not pushed: the window fills, and this waits for it.
            if !self.clock.wait_until(time, &self.cancel).await {
                return Err(Stopped);
            }
            for machine in self.plant.machines() {
                let message = Outbound {
                    topic: topic(machine.class.name(), &machine.tag),
                    payload: self.plant.payload(machine, index).into(),
                    tag: (),
                };
                publisher.send(message).await?;
                reported.readings += 1;
            }
            let lag = self.clock.now() - time;
            reported.largest_lag = reported.largest_lag.max(lag);
            if index > 0 && index % (TELL_EVERY * per_day) == 0 {
                self.talk.say(format!(
                    "plant: day {}, {} readings, {} min behind the clock",
                    index / per_day,
                    reported.readings,
                    lag.num_minutes()
                ));
            }
        }
        Ok(())
    }
}
