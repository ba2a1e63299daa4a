//! The plant's sensors: history first, then one reading per asset and interval, over MQTT.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{SharedPlant, topic};
use crate::cancel::Cancel;
use crate::clock::within;
use crate::endpoint::Endpoint;
use crate::mqtt::{Outbound, Publisher, PublisherOptions, Stopped};
use crate::seeded;
use crate::talk::Talk;
use crate::world::WorldClock;

/// Messages that wait for their acknowledgement at a time.
const WINDOW: usize = 1_000;

/// A wait for the broker that is longer than this is told.
const QUIET_WAIT: Duration = Duration::from_secs(5);

/// How the sensors report.
#[derive(Debug, Clone)]
pub struct SensorOptions {
    /// How far back the history reaches.
    pub history: TimeDelta,
    /// Time indexes between two readings of the history.
    pub history_stride: i64,
    /// Time indexes between two live readings.
    pub live_stride: i64,
    /// Live readings end at this age of the live phase.
    pub live_for: Option<TimeDelta>,
}

/// What the sensors did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Readings of the history.
    pub history: u64,
    /// Live readings.
    pub live: u64,
    /// When the history had caught up with the business clock.
    pub live_since: Option<DateTime<Utc>>,
}

/// The sensors of a plant.
#[derive(Debug)]
pub struct Sensors {
    /// The plant that they watch.
    pub plant: SharedPlant,
    /// The world's seed.
    pub seed: u64,
    /// Where they publish.
    pub broker: Endpoint,
    /// The business clock.
    pub clock: WorldClock,
    /// How they report.
    pub options: SensorOptions,
    /// Where lines for people go.
    pub talk: Talk,
    /// Stops them.
    pub cancel: Cancel,
}

impl Sensors {
    /// Publishes history and live readings until `live_for` is over or it is told to stop.
    ///
    /// `on_live` is called once, before the first live reading is made.
    ///
    /// **Errors**: stopped before everything was acknowledged.
    pub async fn publish(self, on_live: impl FnOnce(DateTime<Utc>)) -> Result<Published, Stopped> {
        let client = seeded::pick(&mut seeded::stream(self.seed, "plant:client"), 1 << 30);
        let options = PublisherOptions {
            client_id: format!("plant-{client:08x}"),
            window: WINDOW,
        };
        let publisher = Publisher::open(self.broker.clone(), options, self.cancel.clone(), |()| ());
        if within(QUIET_WAIT, publisher.connected()).await.is_none() {
            let failure = publisher
                .progress()
                .borrow()
                .last_failure
                .clone()
                .unwrap_or_default();
            self.talk.say(format!(
                "plant: still waiting for the MQTT endpoint ({failure})"
            ));
        }
        publisher.connected().await?;
        Shift {
            sensors: self,
            publisher,
        }
        .run(on_live)
        .await
    }
}

/// Sensors that are connected.
struct Shift {
    sensors: Sensors,
    publisher: Publisher<()>,
}

impl Shift {
    async fn run(self, on_live: impl FnOnce(DateTime<Utc>)) -> Result<Published, Stopped> {
        let Sensors {
            plant,
            clock,
            options,
            talk,
            cancel,
            ..
        } = &self.sensors;
        let mut published = Published::default();
        let stride = options.history_stride;
        // On the stride's own grid, so that a second run says the same again.
        let first = plant.index_from(clock.now() - options.history);
        let first = first.div_euclid(stride) * stride + stride;
        let mut index = self.history(first, &mut published).await?;

        let live_since = plant.time(index);
        published.live_since = Some(live_since);
        on_live(live_since);
        let assets = plant.machines().len();
        talk.say(format!(
            "plant: the history of {assets} assets is sent ({} readings), live since {live_since}",
            published.history,
        ));
        let end = options.live_for.map(|length| live_since + length);
        while end.is_none_or(|end| plant.time(index) <= end) {
            if !clock.wait_until(plant.time(index), cancel).await {
                return Err(Stopped);
            }
            published.live += self.slot(index).await?;
            index += options.live_stride;
        }
        self.publisher.finish().await?;
        Ok(published)
    }

    /// Sends the past in time order until it has caught up; the index of the first live reading.
    async fn history(&self, first: i64, published: &mut Published) -> Result<i64, Stopped> {
        let Sensors {
            plant,
            clock,
            options,
            talk,
            ..
        } = &self.sensors;
        let total = (plant.index_from(clock.now()) - first).max(1);
        let mut told = 0;
        let mut index = first;
        while plant.time(index) <= clock.now() {
            published.history += self.slot(index).await?;
            index += options.history_stride;
            let quarter = (index - first) * 4 / total;
            if quarter > told && quarter < 4 {
                told = quarter;
                talk.say(format!("plant: {} % of the history is sent", quarter * 25));
            }
        }
        Ok(index)
    }

    /// One reading of every machine.
    async fn slot(&self, index: i64) -> Result<u64, Stopped> {
        let plant = &self.sensors.plant;
        for machine in plant.machines() {
            let reading = plant.reading(machine, index);
            let message = Outbound {
                topic: topic(machine.class.name(), &machine.tag),
                payload: reading.payload(machine.class).into(),
                tag: (),
            };
            self.publisher.send(message).await?;
        }
        Ok(plant.machines().len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::cancel::CancelSource;
    use crate::clock::process_now;
    use crate::mqtt::tests::TinyBroker;
    use crate::plant::Plant;

    #[tokio::test]
    async fn history_and_live_readings_come_in_time_order_without_a_gap() {
        let broker = TinyBroker::start(500).await;
        let now: DateTime<Utc> = "2026-10-05T07:00:10Z".parse().unwrap();
        let clock = WorldClock::new(now, 3600.0, process_now());
        let plant = Plant::new(1, [("P-1", "pump"), ("F-1", "fan")], now);
        let (_source, cancel) = CancelSource::new();
        let sensors = Sensors {
            plant: Arc::new(plant),
            seed: 1,
            broker: broker.address.as_str().into(),
            clock: clock.clone(),
            options: SensorOptions {
                history: TimeDelta::hours(3),
                history_stride: 2,
                live_stride: 1,
                live_for: Some(TimeDelta::minutes(20)),
            },
            talk: Talk::silent(),
            cancel,
        };
        let mut told = None;
        let published = sensors.publish(|at| told = Some(at)).await.unwrap();
        let live_since = published.live_since.unwrap();
        assert_eq!(told, Some(live_since));
        assert!(live_since > now && live_since + TimeDelta::minutes(20) <= clock.now());
        assert_eq!(published.live, 2 * 41);

        let mut times: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
        for (topic, payload) in broker.acknowledged() {
            let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            times
                .entry(topic)
                .or_default()
                .push(payload["time"].as_str().unwrap().parse().unwrap());
        }
        assert_eq!(
            times.keys().collect::<Vec<_>>(),
            ["fieldwright/fan/F-1", "fieldwright/pump/P-1"]
        );
        for times in times.values_mut() {
            // What a dead connection left open comes again; its identity is the same.
            times.dedup();
            let mut sorted = times.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert!(sorted.len() as u64 == (published.history + published.live) / 2);
            let begin = sorted[0] + TimeDelta::hours(3);
            assert!(begin >= now && begin <= live_since + TimeDelta::minutes(1));
            for pair in sorted.windows(2) {
                let spacing = if pair[1] <= live_since { 60 } else { 30 };
                assert_eq!(pair[1] - pair[0], TimeDelta::seconds(spacing), "{pair:?}");
            }
        }
    }
}
