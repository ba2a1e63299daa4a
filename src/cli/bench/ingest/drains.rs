//! The ways in which messages are taken.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use fieldwright_ingest::clock::{process_now, process_sleep};
use fieldwright_ingest::mqtt::{Consumer, ConsumerConfig};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};

use super::super::Failure;
use super::super::feeder::{Fed, Feed, feed_as_broker, feed_as_client};
use super::super::pipeline::Pipeline;
use super::peers::Mosquitto;

/// What everybody subscribes to.
const TOPICS: &str = "influx/#";
/// A receiver that got nothing for so long gets nothing more.
const STALLED: Duration = Duration::from_secs(30);

/// The baseline: receive, acknowledge by itself, drop.
pub(super) async fn dropped(feed: Feed) -> Result<Fed, Failure> {
    let (listener, address) = listen()?;
    let feeding = std::thread::spawn(move || feed_as_broker(&listener, feed));
    let mut events = subscribed(address, "drop").await?;
    let mut received = 0u64;
    while !feeding.is_finished() {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(_))) => received += 1,
            Ok(_) => {}
            // The feeder closes when everything is acknowledged.
            Err(_) if received > 0 => break,
            Err(error) => return Err(Failure::failed(error)),
        }
    }
    fed(feeding).await
}

/// The same behind a broker: until all that the broker took has arrived.
pub(super) async fn dropped_behind(broker: &Mosquitto, feed: Feed) -> Result<Fed, Failure> {
    let mut events = subscribed(broker.address(), "drop").await?;
    // The subscription stands when it is acknowledged.
    loop {
        match events.poll().await.map_err(Failure::failed)? {
            Event::Incoming(Packet::SubAck(_)) => break,
            _ => continue,
        }
    }
    let address = broker.address();
    let began = process_now();
    let feeding = std::thread::spawn(move || feed_as_client(address, feed));
    let (mut received, mut all) = (0u64, None);
    let mut feeding = Some(feeding);
    while all.is_none_or(|all| received < all) {
        if let Ok(event) = tokio::time::timeout(Duration::from_secs(1), events.poll()).await
            && let Event::Incoming(Packet::Publish(_)) = event.map_err(Failure::failed)?
        {
            received += 1;
        }
        if feeding
            .as_ref()
            .is_some_and(|feeding| feeding.is_finished())
            && let Some(feeding) = feeding.take()
        {
            all = Some(fed(feeding).await?.acknowledged);
        }
    }
    Ok(Fed {
        acknowledged: received,
        elapsed: began.elapsed(),
    })
}

/// Our consumer of the feeder, durable.
pub(super) async fn consumer(feed: Feed, disk: &Path) -> Result<Fed, Failure> {
    let (listener, address) = listen()?;
    let feeding = std::thread::spawn(move || feed_as_broker(&listener, feed));
    let pipeline = Pipeline::start(disk)?;
    let consumer = consuming(&pipeline, address)?;
    let result = fed(feeding).await;
    consumer.shutdown().await;
    pipeline.stop(result.as_ref().ok()).await?;
    result
}

/// Our consumer behind a broker: until all that the broker took is durable.
pub(super) async fn consumer_behind(
    broker: &Mosquitto,
    feed: Feed,
    disk: &Path,
) -> Result<Fed, Failure> {
    let pipeline = Pipeline::start(disk)?;
    let consumer = consuming(&pipeline, broker.address())?;
    while !consumer.is_connected() {
        process_sleep(Duration::from_millis(20)).await;
    }
    // The SUBACK follows the connection.
    process_sleep(Duration::from_millis(200)).await;
    let address = broker.address();
    let began = process_now();
    let all = fed(std::thread::spawn(move || feed_as_client(address, feed))).await?;
    let accepted = || pipeline.ingest.stats().accepted_messages;
    let (mut last, mut moved) = (accepted(), process_now());
    while last < all.acknowledged {
        process_sleep(Duration::from_millis(10)).await;
        let now = accepted();
        if now > last {
            (last, moved) = (now, process_now());
        } else if moved.elapsed() > STALLED {
            let all = all.acknowledged;
            return Err(Failure::Failed(format!(
                "{last} of {all} messages arrived behind mosquitto, then nothing for 30 s"
            )));
        }
    }
    let fed = Fed {
        acknowledged: all.acknowledged,
        elapsed: began.elapsed(),
    };
    consumer.shutdown().await;
    pipeline.stop(None).await?;
    Ok(fed)
}

/// Our endpoint with the feeder as its client, durable.
pub(super) async fn endpoint(feed: Feed, disk: &Path) -> Result<Fed, Failure> {
    let pipeline = Pipeline::start(disk)?;
    let endpoint = pipeline.endpoint().await?;
    let address = endpoint.local_addr();
    let result = fed(std::thread::spawn(move || feed_as_client(address, feed))).await;
    endpoint.shutdown().await;
    pipeline.stop(result.as_ref().ok()).await?;
    result
}

fn consuming(pipeline: &Pipeline, address: SocketAddr) -> Result<Consumer, Failure> {
    let config = ConsumerConfig {
        url: format!("mqtt://{address}"),
        topics: vec![TOPICS.into()],
        client_id: "bench".into(),
        ..ConsumerConfig::default()
    };
    Consumer::start(config, pipeline.ingest.intake(), pipeline.clock.clone())
        .map_err(Failure::failed)
}

async fn subscribed(address: SocketAddr, name: &str) -> Result<EventLoop, Failure> {
    let mut options = MqttOptions::new(name, address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(60));
    let (client, events) = AsyncClient::new(options, 10);
    client
        .subscribe(TOPICS, QoS::AtLeastOnce)
        .await
        .map_err(Failure::failed)?;
    Ok(events)
}

/// A port of our own for a peer to connect to.
pub(super) fn listen() -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::failed)?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    Ok((listener, address))
}

/// A feeder at work.
pub(super) type Feeding = std::thread::JoinHandle<std::io::Result<Fed>>;

/// Waits for a feeder.
pub(super) async fn fed(feeding: Feeding) -> Result<Fed, Failure> {
    let joined = tokio::task::spawn_blocking(move || feeding.join());
    let joined = joined.await.map_err(Failure::failed)?;
    let fed = joined.map_err(|_| Failure::Failed("the feeder panicked".into()))?;
    fed.map_err(Failure::failed)
}
