//! The publisher against a tiny broker that forgets sessions and dies on demand.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::cancel::CancelSource;

/// What the broker has acknowledged, and what it has only received.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub acknowledged: Vec<(String, Vec<u8>)>,
    pub received: usize,
}

/// A broker that knows CONNECT, PUBLISH at QoS 1, PINGREQ and DISCONNECT. After
/// `hang_up_after` publishes of a connection it closes that connection without acknowledging
/// the last one.
pub(crate) struct TinyBroker {
    pub address: String,
    pub seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl TinyBroker {
    pub(crate) async fn start(hang_up_after: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("mqtt://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = serve(socket, &shared, hang_up_after).await;
            }
        });
        Self {
            address,
            seen,
            task,
        }
    }

    pub(crate) fn acknowledged(&self) -> Vec<(String, Vec<u8>)> {
        self.seen.lock().unwrap().acknowledged.clone()
    }
}

impl Drop for TinyBroker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: TcpStream, seen: &Mutex<Seen>, hang_up_after: usize) -> std::io::Result<()> {
    let (read, mut write) = socket.into_split();
    let mut read = tokio::io::BufReader::new(read);
    let mut count = 0;
    loop {
        let kind = read.read_u8().await?;
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let byte = read.read_u8().await?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        read.read_exact(&mut body).await?;
        match kind >> 4 {
            1 => write.write_all(&[0x20, 2, 0, 0]).await?,
            3 => {
                let topic_length = usize::from(u16::from_be_bytes([body[0], body[1]]));
                let topic = String::from_utf8(body[2..2 + topic_length].to_vec()).unwrap();
                let rest = &body[2 + topic_length..];
                seen.lock().unwrap().received += 1;
                count += 1;
                if count > hang_up_after {
                    return Ok(());
                }
                seen.lock()
                    .unwrap()
                    .acknowledged
                    .push((topic, rest[2..].to_vec()));
                write.write_all(&[0x40, 2, rest[0], rest[1]]).await?;
            }
            12 => write.write_all(&[0xd0, 0]).await?,
            _ => return Ok(()),
        }
    }
}

fn message(number: u32) -> Outbound<u32> {
    Outbound {
        topic: "t/a".into(),
        payload: number.to_string().into_bytes().into(),
        tag: number,
    }
}

async fn publish(count: u32, hang_up_after: usize, window: usize) -> (TinyBroker, Vec<u32>) {
    let broker = TinyBroker::start(hang_up_after).await;
    let (_source, cancel) = CancelSource::new();
    let tags = Arc::new(Mutex::new(Vec::new()));
    let heard = tags.clone();
    let publisher = Publisher::open(
        broker.address.as_str().into(),
        PublisherOptions {
            client_id: "test".into(),
            window,
        },
        cancel,
        move |tag| heard.lock().unwrap().push(tag),
    );
    publisher.connected().await.unwrap();
    for number in 0..count {
        publisher.send(message(number)).await.unwrap();
    }
    assert_eq!(publisher.finish().await.unwrap(), u64::from(count));
    let tags = tags.lock().unwrap().clone();
    (broker, tags)
}

#[tokio::test]
async fn every_message_is_acknowledged_once_and_in_order() {
    let (broker, tags) = publish(20_000, usize::MAX, 50).await;
    assert_eq!(tags, (0..20_000).collect::<Vec<_>>());
    assert_eq!(broker.acknowledged().len(), 20_000);
}

#[tokio::test]
async fn what_a_dead_connection_left_open_is_sent_again() {
    let (broker, tags) = publish(100, 17, 8).await;
    assert_eq!(tags, (0..100).collect::<Vec<_>>());
    let mut delivered: Vec<u32> = broker
        .acknowledged()
        .into_iter()
        .map(|(_, payload)| String::from_utf8(payload).unwrap().parse().unwrap())
        .collect();
    assert!(
        broker.seen.lock().unwrap().received > 100,
        "the broker hung up"
    );
    delivered.dedup();
    delivered.sort_unstable();
    delivered.dedup();
    assert_eq!(delivered, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_broker_that_is_away_is_waited_for_until_the_stop() {
    let (source, cancel) = CancelSource::new();
    let publisher = Publisher::open(
        Endpoint::callback(|| None),
        PublisherOptions {
            client_id: "test".into(),
            window: 1,
        },
        cancel,
        |_: u32| (),
    );
    publisher.send(message(1)).await.unwrap();
    let mut progress = publisher.progress();
    progress
        .wait_for(|p| p.last_failure.is_some())
        .await
        .unwrap();
    source.cancel();
    assert!(publisher.finish().await.is_err());
}
