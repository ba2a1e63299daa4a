//! A raw socket that speaks just enough MQTT 3.1.1 to be the fastest peer there is.
//!
//! It hands out packets that were encoded before the clock started, so that no broker and no
//! client library limits what is measured. It plays the broker (for a consumer) or a client (for
//! our endpoint), counts the acknowledgements and stops when every message has one.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use fieldwright_ingest::clock::process_now;

/// Packets that may wait for their PUBACK; below the 65,535 packet identifiers there are.
const WINDOW: u64 = 60_000;
/// Messages written with one system call.
const CHUNK: usize = 256;
/// Metrics of one message.
pub const METRICS: usize = 10;
/// Assets that take turns, so that keys repeat the way a fleet's do.
const ASSETS: u64 = 100;
/// Bytes of a PUBLISH, fixed header included.
const MESSAGE_BYTES: usize = 240;

/// Messages encoded beforehand, each with the same length and a patchable packet identifier.
#[derive(Debug)]
pub struct Messages {
    bytes: Vec<u8>,
    each: usize,
    identifier_at: usize,
    count: u64,
}

/// What one run of the feeder saw.
#[derive(Debug, Clone, Copy)]
pub struct Fed {
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// From the first byte sent to the last acknowledgement.
    pub elapsed: Duration,
}

impl Messages {
    /// `count` messages with event times from `start_ms`, one second apart for each asset.
    pub fn encode(count: u64, start_ms: i64) -> Self {
        let mut messages = Self {
            bytes: Vec::with_capacity(count as usize * MESSAGE_BYTES),
            each: 0,
            identifier_at: 0,
            count,
        };
        for index in 0..count {
            messages.push(index, start_ms);
        }
        messages
    }

    fn push(&mut self, index: u64, start_ms: i64) {
        let topic = format!("fieldwright/bench/asset-{:03}", index % ASSETS);
        let time = start_ms + (index / ASSETS) as i64 * 1000;
        let mut payload = format!("{{\"time\":{time:013},\"metrics\":{{");
        for metric in 0..METRICS {
            let value = (index * 7 + metric as u64 * 13) % 10_000;
            let comma = if metric == 0 { "" } else { "," };
            payload.push_str(&format!(
                "{comma}\"metric_{metric}\":{}.{:02}",
                10 + value / 200,
                value % 100
            ));
        }
        payload.push_str("}}");
        let body = 2 + topic.len() + 2 + payload.len();
        let before = self.bytes.len();
        // QoS 1; the remaining length of these messages takes two bytes.
        self.bytes
            .extend([0x32, (body % 128) as u8 | 0x80, (body / 128) as u8]);
        self.bytes.extend((topic.len() as u16).to_be_bytes());
        self.bytes.extend(topic.as_bytes());
        self.identifier_at = self.bytes.len() - before;
        self.bytes.extend([0, 0]);
        self.bytes.extend(payload.as_bytes());
        let length = self.bytes.len() - before;
        assert!(
            self.each == 0 || self.each == length,
            "messages must have one length"
        );
        self.each = length;
    }

    /// Bytes of one PUBLISH packet.
    pub fn message_bytes(&self) -> usize {
        self.each
    }

    /// Sends everything and counts the acknowledgements.
    fn feed(mut self, mut stream: TcpStream) -> std::io::Result<Fed> {
        stream.set_nodelay(true)?;
        let mut reader = AckReader::new(stream.try_clone()?);
        let started = process_now();
        let mut sent = 0u64;
        while sent < self.count {
            while sent - reader.acknowledged > WINDOW - CHUNK as u64 {
                reader.wait()?;
            }
            let until = (sent + CHUNK as u64).min(self.count);
            for index in sent..until {
                let at = index as usize * self.each + self.identifier_at;
                let identifier = (index % WINDOW) as u16 + 1;
                self.bytes[at..at + 2].copy_from_slice(&identifier.to_be_bytes());
            }
            stream.write_all(&self.bytes[sent as usize * self.each..until as usize * self.each])?;
            sent = until;
            reader.take_what_is_there()?;
        }
        while reader.acknowledged < self.count {
            reader.wait()?;
        }
        Ok(Fed {
            acknowledged: reader.acknowledged,
            elapsed: started.elapsed(),
        })
    }
}

/// Plays the broker once: accepts one client, grants its subscription, feeds it.
pub fn feed_as_broker(listener: &TcpListener, messages: Messages) -> std::io::Result<Fed> {
    let (mut stream, _) = listener.accept()?;
    // CONNECT → CONNACK (accepted, no session), SUBSCRIBE → SUBACK (QoS 1 granted).
    let connect = read_packet(&mut stream)?;
    expect(connect.0 >> 4 == 1, "CONNECT")?;
    stream.write_all(&[0x20, 2, 0, 0])?;
    let mut granted = false;
    while !granted {
        let (header, body) = read_packet(&mut stream)?;
        match header >> 4 {
            8 => {
                stream.write_all(&[0x90, 3, body[0], body[1], 1])?;
                granted = true;
            }
            12 => stream.write_all(&[0xD0, 0])?,
            _ => expect(false, "SUBSCRIBE")?,
        }
    }
    messages.feed(stream)
}

/// Plays a client: connects to an endpoint and feeds it.
pub fn feed_as_client(address: SocketAddr, messages: Messages) -> std::io::Result<Fed> {
    let mut stream = TcpStream::connect(address)?;
    let name = b"feeder";
    let mut connect = vec![0x10, 12 + name.len() as u8, 0, 4];
    connect.extend(b"MQTT");
    connect.extend([4, 2, 0, 0, 0, name.len() as u8]);
    connect.extend(name);
    stream.write_all(&connect)?;
    let (header, body) = read_packet(&mut stream)?;
    expect(header >> 4 == 2 && body.get(1) == Some(&0), "CONNACK")?;
    messages.feed(stream)
}

/// Counts PUBACK packets and answers pings.
struct AckReader {
    stream: TcpStream,
    pending: Vec<u8>,
    acknowledged: u64,
}

impl AckReader {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            pending: Vec::new(),
            acknowledged: 0,
        }
    }

    fn take_what_is_there(&mut self) -> std::io::Result<()> {
        self.stream.set_nonblocking(true)?;
        let result = self.read_once();
        self.stream.set_nonblocking(false)?;
        match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    fn wait(&mut self) -> std::io::Result<()> {
        self.read_once()
    }

    fn read_once(&mut self) -> std::io::Result<()> {
        let mut buffer = [0u8; 64 * 1024];
        let read = self.stream.read(&mut buffer)?;
        if read == 0 {
            return Err(std::io::Error::new(
                ErrorKind::UnexpectedEof,
                "the peer closed before everything was acknowledged",
            ));
        }
        self.pending.extend(&buffer[..read]);
        let mut at = 0;
        while self.pending.len() - at >= 2 {
            let length = 2 + usize::from(self.pending[at + 1]);
            if self.pending.len() - at < length {
                break;
            }
            match self.pending[at] {
                0x40 => self.acknowledged += 1,
                // PINGREQ: the writer is this same thread, so the answer cannot split a PUBLISH.
                0xC0 => self.stream.write_all(&[0xD0, 0])?,
                _ => {}
            }
            at += length;
        }
        self.pending.drain(..at);
        Ok(())
    }
}

fn read_packet(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut byte = [0u8];
    stream.read_exact(&mut byte)?;
    let header = byte[0];
    let (mut length, mut shift) = (0usize, 0);
    loop {
        stream.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7F) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((header, body))
}

fn expect(holds: bool, what: &str) -> std::io::Result<()> {
    if holds {
        return Ok(());
    }
    Err(std::io::Error::new(
        ErrorKind::InvalidData,
        format!("the peer did not send a good {what}"),
    ))
}
