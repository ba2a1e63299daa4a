//! The consumer and the whole pipeline behind it against a real Mosquitto.
//!
//! Skipped with a line where Mosquitto is not installed. `FIELDWRIGHT_BROKER_KILLS=50` makes the
//! full run of the kills; by default there are 5 of each kind.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{AsyncClient, Event, EventLoop, Incoming, MqttOptions, Outgoing as Sent, QoS};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Consumer, ConsumerConfig, ConsumerLimits};
use crate::clock::{RealClock, process_now, process_sleep};
use crate::commands::Outgoing;
use crate::readings;
use crate::{Feed, Ingest, IngestConfig};

/// The event time of message 0.
const START: i64 = 1_772_434_800_000;
/// After the port is back the consumer receives again within this time.
const RESUME: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(120);

async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, future)
        .await
        .expect("it happens in time")
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            process_sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, met).await.is_ok(), "{what}");
}

/// A Mosquitto on a port of its own.
struct Mosquitto {
    config: PathBuf,
    address: SocketAddr,
    process: tokio::process::Child,
}

impl Mosquitto {
    /// `None`, with a line that says so, where it is not installed.
    async fn start(folder: &Path, persistence: bool) -> Option<Self> {
        // The port is free now; nobody else on this machine is told of it.
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\npersistence {persistence}\n\
             persistence_location {}/\nautosave_on_changes true\nautosave_interval 1\n\
             max_queued_messages 0\nmax_inflight_messages 0\nuser root\n",
            address.port(),
            folder.display()
        );
        std::fs::write(&config, text).unwrap();
        let process = Self::spawn(&config)?;
        let broker = Self {
            config,
            address,
            process,
        };
        broker.listens().await;
        Some(broker)
    }

    fn spawn(config: &Path) -> Option<tokio::process::Child> {
        let found = ["mosquitto", "/usr/sbin/mosquitto"]
            .iter()
            .find_map(|name| {
                tokio::process::Command::new(name)
                    .arg("-c")
                    .arg(config)
                    .stdout(std::process::Stdio::null())
                    .stderr(std::process::Stdio::null())
                    .kill_on_drop(true)
                    .spawn()
                    .ok()
            });
        if found.is_none() {
            let required = std::env::var("FIELDWRIGHT_REQUIRE").unwrap_or_default();
            assert!(
                !required.contains("mosquitto"),
                "mosquitto is required and not installed"
            );
            eprintln!("SKIPPED: mosquitto is not installed (apt-get install mosquitto)");
        }
        found
    }

    /// Waits until its port is there.
    async fn listens(&self) {
        within(LONG, async {
            while TcpStream::connect(self.address).await.is_err() {
                process_sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// `kill -9`, a while without a broker, then a new process on what is on disk.
    async fn kill_and_restart(&mut self, away: Duration) {
        self.process.kill().await.unwrap();
        process_sleep(away).await;
        self.process = Self::spawn(&self.config).expect("it was there a moment ago");
    }

    fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }
}

/// Stands between the consumer and the broker and keeps a ledger of its own: what the consumer
/// acknowledged, and how often the broker had lost the session.
struct Wire {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    acknowledged: BTreeSet<usize>,
    /// For each connection of the consumer, whether the broker had its session.
    sessions: Vec<bool>,
}

impl Wire {
    async fn before(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let ledger = seen.clone();
        tokio::spawn(async move {
            while let Ok((consumer, _)) = listener.accept().await {
                if let Ok(upstream) = TcpStream::connect(broker).await {
                    tokio::spawn(Self::carry(consumer, upstream, ledger.clone()));
                }
            }
        });
        Self { address, seen }
    }

    async fn carry(consumer: TcpStream, broker: TcpStream, seen: Arc<Mutex<Seen>>) {
        let (mut from_consumer, mut to_consumer) = consumer.into_split();
        let (mut from_broker, mut to_broker) = broker.into_split();
        let in_flight = Mutex::new(BTreeMap::<u16, usize>::new());
        let down = async {
            while let Ok((packet, body)) = packet(&mut from_broker).await {
                match packet[0] {
                    0x20 => seen.lock().unwrap().sessions.push(packet[body] == 1),
                    first if first & 0xF0 == 0x30 && first & 0x06 != 0 => {
                        let topic =
                            usize::from(u16::from_be_bytes([packet[body], packet[body + 1]]));
                        let at = body + 2 + topic;
                        let id = u16::from_be_bytes([packet[at], packet[at + 1]]);
                        let payload: serde_json::Value =
                            serde_json::from_slice(&packet[at + 2..]).unwrap();
                        let number = payload["metrics"]["n"].as_u64().unwrap() as usize;
                        in_flight.lock().unwrap().insert(id, number);
                    }
                    _ => {}
                }
                if to_consumer.write_all(&packet).await.is_err() {
                    break;
                }
            }
        };
        let up = async {
            while let Ok((packet, body)) = packet(&mut from_consumer).await {
                if packet[0] == 0x40 {
                    let id = u16::from_be_bytes([packet[body], packet[body + 1]]);
                    let number = in_flight.lock().unwrap().remove(&id);
                    seen.lock().unwrap().acknowledged.extend(number);
                }
                if to_broker.write_all(&packet).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = down => {}
            () = up => {}
        }
    }

    /// What the consumer acknowledged.
    fn acknowledged(&self) -> BTreeSet<usize> {
        self.seen.lock().unwrap().acknowledged.clone()
    }

    /// How often the session was gone, the first connection apart.
    fn lost_sessions(&self) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.sessions
            .iter()
            .skip(1)
            .filter(|present| !**present)
            .count()
    }
}

/// One MQTT packet, and where its body begins.
async fn packet(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(Vec<u8>, usize)> {
    let mut packet = vec![from.read_u8().await?];
    let mut length = 0;
    loop {
        let byte = from.read_u8().await?;
        length |= usize::from(byte & 0x7F) << (7 * (packet.len() - 1));
        packet.push(byte);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let body = packet.len();
    packet.resize(body + length, 0);
    from.read_exact(&mut packet[body..]).await?;
    Ok((packet, body))
}

/// A consumer with the pipeline behind it.
struct World {
    ingest: Ingest,
    _feed: Feed,
    consumer: Consumer,
    _folder: tempfile::TempDir,
}

impl World {
    fn start(broker: &Mosquitto, change: impl Fn(&mut ConsumerConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = IngestConfig::default();
        let (ingest, feed) = Ingest::start(config, folder.path(), Arc::new(RealClock)).unwrap();
        let mut config = ConsumerConfig {
            url: broker.url(),
            topics: vec!["fieldwright/#".into()],
            client_id: "fieldwright-test".into(),
            limits: ConsumerLimits::default(),
            ..ConsumerConfig::default()
        };
        change(&mut config);
        let consumer = Consumer::start(config, ingest.intake(), Arc::new(RealClock)).unwrap();
        Self {
            ingest,
            _feed: feed,
            consumer,
            _folder: folder,
        }
    }

    /// The numbers of the messages that SQL would see.
    fn stored(&self) -> BTreeSet<usize> {
        let found = readings::of(&self.ingest.snapshot());
        let numbers = found.iter().map(|((_, _, time, _), value)| {
            let number = (time / 1000 - START) as usize;
            assert_eq!(
                *value,
                readings::Value::Number(number as f64),
                "the value belongs to its time"
            );
            number
        });
        numbers.collect()
    }
}

/// A publisher that keeps a ledger of what the broker acknowledged.
struct Ledger {
    client: AsyncClient,
    events: EventLoop,
    /// Packet id → number of the message, in flight.
    in_flight: BTreeMap<u16, usize>,
    sent: usize,
    acknowledged: BTreeSet<usize>,
}

impl Ledger {
    fn new(broker: &Mosquitto) -> Self {
        let (host, port) = (broker.address.ip().to_string(), broker.address.port());
        let mut options = MqttOptions::new("ledger", host, port);
        options.set_clean_session(false).set_inflight(100);
        let (client, events) = AsyncClient::new(options, 4);
        Self {
            client,
            events,
            in_flight: BTreeMap::new(),
            sent: 0,
            acknowledged: BTreeSet::new(),
        }
    }

    /// Publishes the messages of `numbers` in the background.
    fn feed(&self, numbers: std::ops::Range<usize>) -> tokio::task::JoinHandle<()> {
        let client = self.client.clone();
        tokio::spawn(async move {
            for number in numbers {
                let time = START + number as i64;
                let payload = format!("{{\"time\":{time},\"metrics\":{{\"n\":{number}}}}}");
                let topic = "fieldwright/pump/P1";
                let sent = client
                    .publish(topic, QoS::AtLeastOnce, false, payload)
                    .await;
                if sent.is_err() {
                    return;
                }
            }
        })
    }

    /// Drives the client until `count` messages are acknowledged or dropped by a lost session.
    async fn drive(&mut self, count: usize) {
        while self.acknowledged.len() < count {
            match self.events.poll().await {
                Ok(Event::Outgoing(Sent::Publish(id))) => {
                    // A packet id in flight is sent again; any other is the next message.
                    self.in_flight.entry(id).or_insert_with(|| {
                        self.sent += 1;
                        self.sent - 1
                    });
                }
                Ok(Event::Incoming(Incoming::PubAck(ack))) => {
                    self.acknowledged.extend(self.in_flight.remove(&ack.pkid));
                }
                Ok(Event::Incoming(Incoming::ConnAck(answer))) if !answer.session_present => {
                    self.in_flight.clear();
                }
                Ok(_) => {}
                Err(_) => process_sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

fn kills() -> usize {
    std::env::var("FIELDWRIGHT_BROKER_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(5)
}

/// Kills the broker under load and checks what holds whatever it kept: nothing that we acknowledged
/// is missing, every lost session is told, and the consumer is back in time.
///
/// Messages that the broker acknowledged to the publisher and lost before it sent them to us are
/// its own affair: it saves after it acknowledges.
async fn check_kills(persistence: bool) {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut broker) = Mosquitto::start(folder.path(), persistence).await else {
        return;
    };
    let wire = Wire::before(broker.address).await;
    let world = World::start(&broker, |config| {
        config.url = format!("mqtt://{}", wire.address)
    });
    until("the consumer is connected", || {
        world.consumer.is_connected()
    })
    .await;
    let mut ledger = Ledger::new(&broker);
    let kills = kills();
    let per_kill = 200;
    // Without an end: what a lost session drops is made up for by later messages.
    let feeding = ledger.feed(0..usize::MAX);
    // The session must be on disk before the first kill.
    within(LONG, ledger.drive(10)).await;
    if persistence {
        let saved = folder.path().join("mosquitto.db");
        until("the broker has saved", || saved.exists()).await;
    }
    for kill in 0..kills {
        let goal = ledger.acknowledged.len() + per_kill + kill * 37 % 100;
        let acknowledged = world.consumer.stats().acknowledgements_out;
        within(LONG, ledger.drive(goal)).await;
        until("some are acknowledged", || {
            world.consumer.stats().acknowledgements_out >= acknowledged + 100
        })
        .await;
        // The kill meets messages at every stage of their way.
        within(LONG, ledger.drive(goal + 50)).await;
        // Once the broker stays away so long that the pauses between attempts are at their most.
        let away = if kill == 1 {
            2_500
        } else {
            (kill as u64 * 131) % 300
        };
        let before = world.consumer.stats().connections;
        broker.kill_and_restart(Duration::from_millis(away)).await;
        broker.listens().await;
        let back = process_now();
        until("the consumer is back", || {
            world.consumer.stats().connections > before && world.consumer.is_connected()
        })
        .await;
        let took = back.elapsed();
        assert!(took <= RESUME, "kill {kill}: back after {took:?}");
    }
    let goal = ledger.acknowledged.len() + per_kill;
    within(LONG, ledger.drive(goal)).await;
    feeding.abort();
    let last = *ledger.acknowledged.last().unwrap();
    until("the last message is stored", || {
        world.stored().contains(&last)
    })
    .await;
    world.consumer.shutdown().await;
    let (acknowledged, stored) = (wire.acknowledged(), world.stored());
    assert!(acknowledged.len() >= kills * 100, "{}", acknowledged.len());
    let missing: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(
        missing.is_empty(),
        "acknowledged and not stored: {missing:?}"
    );
    let lost = wire.lost_sessions();
    assert_eq!(lost, if persistence { 0 } else { kills });
    assert_eq!(world.consumer.stats().possible_gaps, lost as u64);
    let gaps = world.consumer.gaps();
    assert_eq!(gaps.len(), lost);
    assert!(
        gaps.iter()
            .all(|gap| gap.from.is_some_and(|from| from <= gap.to))
    );
    world.ingest.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_a_mosquitto_with_persistence_is_killed() {
    check_kills(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mosquitto_without_persistence_leaves_gaps_that_are_told() {
    check_kills(false).await;
}

/// Several connections share the load, and a burst is taken whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_through_shared_connections_is_stored_whole() {
    const MESSAGES: usize = 60_000;
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path(), false).await else {
        return;
    };
    let world = World::start(&broker, |config| {
        config.connections = 3;
        config.topics = vec!["$share/fieldwright/fieldwright/#".into()];
    });
    until("all are connected", || world.consumer.is_connected()).await;
    let mut ledger = Ledger::new(&broker);
    let feeding = ledger.feed(0..MESSAGES);
    within(LONG, ledger.drive(MESSAGES)).await;
    feeding.await.unwrap();
    until("all is accepted", || {
        world.ingest.stats().accepted_messages >= MESSAGES as u64
    })
    .await;
    assert_eq!(world.stored().len(), MESSAGES);
    let stats = world.consumer.stats();
    assert_eq!((stats.messages_in, stats.connections), (MESSAGES as u64, 3));
    until("all is acknowledged", || {
        world.consumer.stats().acknowledgements_out == MESSAGES as u64
    })
    .await;
    world.consumer.shutdown().await;
    world.ingest.shutdown().await.unwrap();
}

/// The second client publishes while the first is full, and tells the state of the host.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_client_publishes_and_tells_the_state_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path(), false).await else {
        return;
    };
    let (host, port) = (broker.address.ip().to_string(), broker.address.port());
    let (watcher, mut events) = AsyncClient::new(MqttOptions::new("watcher", host, port), 4);
    for topic in ["spBv1.0/STATE/#", "device/#"] {
        watcher.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
    }
    let mut next = async || loop {
        let event = within(LONG, events.poll()).await.unwrap();
        if let Event::Incoming(Incoming::Publish(message)) = event {
            let payload = String::from_utf8(message.payload.to_vec()).unwrap();
            return format!(
                "{} {}",
                message.topic,
                payload.replace(char::is_numeric, "")
            );
        }
    };
    let world = World::start(&broker, |config| {
        config.sparkplug_host_id = Some("fw".into());
    });
    // Before the topics are subscribed to the host may tell that it is offline.
    let mut state = next().await;
    while state.contains("false") {
        state = next().await;
    }
    assert_eq!(
        state,
        "spBv.0/STATE/fw {\"online\":true,\"timestamp\":}".replace("spBv.0", "spBv1.0")
    );
    let publisher = world.consumer.publisher();
    let command = Outgoing {
        topic: "device/a".into(),
        payload: Bytes::from_static(b"go"),
        qos: 1,
        retain: false,
    };
    publisher.publish(command).await.unwrap();
    assert_eq!(next().await, "device/a go");
    world.consumer.shutdown().await;
    assert!(next().await.contains("\"online\":false"), "a goodbye");
    // A consumer that dies leaves its will.
    let second = World::start(&broker, |config| {
        config.sparkplug_host_id = Some("fw".into());
    });
    let mut state = next().await;
    while state.contains("false") {
        state = next().await;
    }
    drop(second.consumer);
    assert!(next().await.contains("\"online\":false"), "a will");
}
