//! Lines of the Time Series Benchmark Suite's IoT use case as PUBLISH packets, encoded before the
//! clock starts.
//!
//! One ring of packets is sent again and again; only the instant in each line is written anew. The
//! values walk at random from a seed: position by 0.005 degrees in five decimals, elevation, speed,
//! heading and grade in whole numbers, fuel in tenths; one line in ten lacks a field.

/// Topic of the lines, which a mapping rule of the defaults knows.
pub const TOPIC: &str = "influx/trucks";
/// Table of the lines.
pub const CLASS: &str = "trucks";

/// Packets of the ring. Each has a packet identifier of its own, so that so many may wait for their
/// acknowledgement.
pub const RING: usize = 60_000;
/// Trucks that take turns.
pub const TRUCKS: usize = 400;
/// Lines of one truck are so far apart. **Units**: nanoseconds.
pub const STEP: i64 = 1_000_000_000;
/// Digits of an instant in nanoseconds.
const DIGITS: usize = 19;

const FLEETS: [&str; 4] = ["East", "West", "North", "South"];
const DRIVERS: [&str; 6] = ["Albert", "Andy", "Derek", "Rodney", "Seth", "Trish"];
/// Model, load capacity, fuel capacity, nominal consumption.
const MODELS: [(&str, u32, u32, u32); 3] = [
    ("F-150", 2000, 200, 15),
    ("G-2000", 5000, 300, 19),
    ("H-2", 1500, 150, 12),
];
const VERSIONS: [&str; 4] = ["v1.0", "v1.5", "v2.0", "v2.3"];
/// Name, step, greatest value, decimals.
const FIELDS: [(&str, f64, f64, usize); 7] = [
    ("latitude", 0.005, 90.0, 5),
    ("longitude", 0.005, 180.0, 5),
    ("elevation", 10.0, 500.0, 0),
    ("velocity", 10.0, 100.0, 0),
    ("heading", 5.0, 360.0, 0),
    ("grade", 5.0, 100.0, 0),
    ("fuel_consumption", 5.0, 50.0, 1),
];

/// The ring.
#[derive(Debug, Clone)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Where each packet begins, and where the last one ends.
    starts: Vec<usize>,
    start: i64,
}

impl Lines {
    /// The ring, with instants from `start` (nanoseconds since 1970).
    pub fn new(start: i64) -> Self {
        let mut random = Random(0x5EED);
        let mut trucks: Vec<Truck> = (0..TRUCKS).map(|_| Truck::new(&mut random)).collect();
        let mut lines = Self {
            bytes: Vec::with_capacity(RING * 320),
            starts: Vec::with_capacity(RING + 1),
            start,
        };
        let mut line = String::new();
        for slot in 0..RING {
            line.clear();
            trucks[slot % TRUCKS].write(slot % TRUCKS, &mut random, &mut line);
            lines.push(&line, slot as u16 + 1);
        }
        lines.starts.push(lines.bytes.len());
        lines
    }

    fn push(&mut self, line: &str, identifier: u16) {
        let topic = TOPIC;
        self.starts.push(self.bytes.len());
        let body = 2 + topic.len() + 2 + line.len() + DIGITS;
        // QoS 1; the remaining length of these packets takes two bytes.
        self.bytes
            .extend([0x32, (body % 128) as u8 | 0x80, (body / 128) as u8]);
        self.bytes.extend((topic.len() as u16).to_be_bytes());
        self.bytes.extend(topic.as_bytes());
        self.bytes.extend(identifier.to_be_bytes());
        self.bytes.extend(line.as_bytes());
        self.bytes.extend([b'0'; DIGITS]);
    }

    /// The packets with these running numbers, which lie in one turn of the ring.
    pub fn packets(&mut self, first: u64, count: usize) -> &[u8] {
        let (turn, slot) = (first / RING as u64, (first % RING as u64) as usize);
        let until = (slot + count).min(RING);
        for slot in slot..until {
            let step = turn * (RING / TRUCKS) as u64 + (slot / TRUCKS) as u64;
            let mut instant = self.start + step as i64 * STEP;
            let end = self.starts[slot + 1];
            for digit in self.bytes[end - DIGITS..end].iter_mut().rev() {
                *digit = b'0' + (instant % 10) as u8;
                instant /= 10;
            }
        }
        &self.bytes[self.starts[slot]..self.starts[until]]
    }

    /// Bytes of a PUBLISH packet, on average.
    pub fn packet_bytes(&self) -> usize {
        self.bytes.len() / RING
    }
}

struct Truck {
    tags: String,
    values: [f64; 7],
}

impl Truck {
    fn new(random: &mut Random) -> Self {
        let (model, load, fuel, nominal) = MODELS[random.below(MODELS.len())];
        let tags = format!(
            ",fleet={},driver={},model={model},device_version={} load_capacity={load},\
             fuel_capacity={fuel},nominal_fuel_consumption={nominal}",
            FLEETS[random.below(FLEETS.len())],
            DRIVERS[random.below(DRIVERS.len())],
            VERSIONS[random.below(VERSIONS.len())],
        );
        let values = FIELDS.map(|(_, _, most, _)| random.unit() * most);
        Self { tags, values }
    }

    fn write(&mut self, number: usize, random: &mut Random, line: &mut String) {
        line.push_str(&format!("{CLASS},name=truck_{number}{}", self.tags));
        let left_out = (random.unit() < 0.1).then(|| random.below(FIELDS.len()));
        for (place, (name, step, most, decimals)) in FIELDS.iter().enumerate() {
            let value = &mut self.values[place];
            *value = (*value + (random.unit() * 2.0 - 1.0) * step).clamp(0.0, *most);
            if left_out != Some(place) {
                line.push_str(&format!(",{name}={value:.decimals$}"));
            }
        }
        line.push(' ');
    }
}

/// SplitMix64: one seed, one ring.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Identifier and payload of each packet.
    fn read(mut bytes: &[u8]) -> Vec<(u16, String)> {
        let mut packets = Vec::new();
        while !bytes.is_empty() {
            let body = usize::from(bytes[1] & 0x7F) + usize::from(bytes[2]) * 128;
            let packet = &bytes[3..3 + body];
            let topic = usize::from(u16::from_be_bytes([packet[0], packet[1]]));
            let rest = &packet[2 + topic..];
            let identifier = u16::from_be_bytes([rest[0], rest[1]]);
            packets.push((identifier, String::from_utf8(rest[2..].to_vec()).unwrap()));
            bytes = &bytes[3 + body..];
        }
        packets
    }

    #[test]
    fn every_turn_has_new_instants_and_the_same_lines() {
        let mut lines = Lines::new(1_700_000_000_000_000_000);
        let first = read(lines.packets(0, TRUCKS + 1));
        let again = read(lines.packets(RING as u64, TRUCKS + 1));
        assert_eq!(first.len(), TRUCKS + 1);
        assert!(first[0].1.starts_with("trucks,name=truck_0,fleet="));
        assert!(first[0].1.ends_with(" 1700000000000000000"));
        assert!(first[TRUCKS].1.ends_with(" 1700000001000000000"));
        assert!(again[0].1.ends_with(" 1700000150000000000"));
        for ((id, line), (id_again, line_again)) in first.iter().zip(&again) {
            assert_eq!(id, id_again);
            assert_eq!(line[..line.len() - 19], line_again[..line_again.len() - 19]);
        }
        // The end of the ring is the end of what is given at once.
        assert_eq!(read(lines.packets(RING as u64 - 2, 5)).len(), 2);
    }
}
