//! A raw socket that speaks just enough MQTT 3.1.1 to be the fastest peer there is.
//!
//! It hands out packets that were encoded before the clock started, so that no broker and no
//! client library limits what is measured. It plays the broker (for a consumer) or a client (for
//! our endpoint), counts the acknowledgements and stops when every message has one.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use fieldwright_ingest::clock::process_now;

use super::lines::{Lines, RING};

/// Packets written with one system call.
const CHUNK: usize = 256;

/// What is sent, and how long and how fast.
#[derive(Debug)]
pub struct Feed {
    /// The packets.
    pub lines: Lines,
    /// New ones are sent for so long.
    pub lasting: Duration,
    /// Messages a second at most; as fast as it goes without.
    pub rate: Option<f64>,
    /// Most messages without an acknowledgement.
    pub window: usize,
}

/// What one run of the feeder saw.
#[derive(Debug, Clone, Copy)]
pub struct Fed {
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// From the first byte sent to the last acknowledgement.
    pub elapsed: Duration,
}

impl Fed {
    /// Messages a second.
    pub fn rate(&self) -> f64 {
        self.acknowledged as f64 / self.elapsed.as_secs_f64()
    }
}

impl Feed {
    /// As fast as it goes, with as many waiting as there are identifiers.
    pub fn flat_out(lines: Lines, lasting: Duration) -> Self {
        Self {
            lines,
            lasting,
            rate: None,
            window: RING,
        }
    }

    /// Sends until the time is over and counts the acknowledgements.
    fn run(mut self, mut stream: TcpStream) -> std::io::Result<Fed> {
        stream.set_nodelay(true)?;
        let mut reader = AckReader::new(stream.try_clone()?);
        let window = self.window.clamp(CHUNK, RING) as u64;
        let started = process_now();
        let mut sent = 0u64;
        loop {
            let passed = started.elapsed();
            if passed >= self.lasting {
                break;
            }
            if let Some(rate) = self.rate
                && sent as f64 > passed.as_secs_f64() * rate
            {
                reader.take_for_a_moment()?;
                continue;
            }
            while sent - reader.acknowledged > window - CHUNK as u64 {
                reader.wait()?;
            }
            let turn_ends = RING - (sent % RING as u64) as usize;
            let count = CHUNK.min(turn_ends);
            stream.write_all(self.lines.packets(sent, count))?;
            sent += count as u64;
            reader.take_what_is_there()?;
        }
        while reader.acknowledged < sent {
            reader.wait()?;
        }
        Ok(Fed {
            acknowledged: reader.acknowledged,
            elapsed: started.elapsed(),
        })
    }
}

/// Plays the broker once: accepts one client, grants its subscription, feeds it.
pub fn feed_as_broker(listener: &TcpListener, feed: Feed) -> std::io::Result<Fed> {
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
    feed.run(stream)
}

/// Plays a client: connects to an endpoint and feeds it.
pub fn feed_as_client(address: SocketAddr, feed: Feed) -> std::io::Result<Fed> {
    feed.run(connect(address, "feeder")?)
}

/// A connection that was accepted, without keep-alive.
pub fn connect(address: SocketAddr, name: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut connect = vec![0x10, 12 + name.len() as u8, 0, 4];
    connect.extend(b"MQTT");
    connect.extend([4, 2, 0, 0, 0, name.len() as u8]);
    connect.extend(name.as_bytes());
    stream.write_all(&connect)?;
    let (header, body) = read_packet(&mut stream)?;
    expect(header >> 4 == 2 && body.get(1) == Some(&0), "CONNACK")?;
    Ok(stream)
}

/// Publishes packets of QoS 1 one after the other and waits until all are acknowledged.
pub fn publish_all(
    stream: TcpStream,
    messages: impl Iterator<Item = (String, String)>,
) -> std::io::Result<u64> {
    let mut reader = AckReader::new(stream.try_clone()?);
    let mut stream = std::io::BufWriter::with_capacity(64 * 1024, stream);
    let (mut sent, mut packet) = (0u64, Vec::new());
    for (topic, payload) in messages {
        packet.clear();
        let identifier = (sent % RING as u64) as u16 + 1;
        frame(&mut packet, &topic, &payload, identifier);
        stream.write_all(&packet)?;
        sent += 1;
        if sent - reader.acknowledged > RING as u64 / 2 {
            stream.flush()?;
            reader.wait()?;
        }
    }
    stream.flush()?;
    while reader.acknowledged < sent {
        reader.wait()?;
    }
    Ok(sent)
}

/// Appends a PUBLISH of QoS 1 of less than 16 KiB.
pub fn frame(packets: &mut Vec<u8>, topic: &str, payload: &str, identifier: u16) {
    let body = 2 + topic.len() + 2 + payload.len();
    packets.push(0x32);
    if body < 128 {
        packets.push(body as u8);
    } else {
        packets.extend([(body % 128) as u8 | 0x80, (body / 128) as u8]);
    }
    packets.extend((topic.len() as u16).to_be_bytes());
    packets.extend(topic.as_bytes());
    packets.extend(identifier.to_be_bytes());
    packets.extend(payload.as_bytes());
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

    /// Waits a millisecond for acknowledgements.
    fn take_for_a_moment(&mut self) -> std::io::Result<()> {
        self.stream
            .set_read_timeout(Some(Duration::from_millis(1)))?;
        let result = self.read_once();
        self.stream.set_read_timeout(None)?;
        match result {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(())
            }
            other => other,
        }
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
