//! Randomness: seeded ChaCha, one independent stream per named part.
//!
//! A part draws from its own stream, so adding a draw to one part moves no other part of the world.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A random stream of one part of the world.
pub type Stream = ChaCha8Rng;

/// The stream of `part` in the world of `seed`.
pub fn stream(seed: u64, part: &str) -> Stream {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    for (lane, chunk) in key[8..].chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&fnv1a(part, lane as u64).to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// A number drawn evenly from `low..high`.
pub fn between(stream: &mut Stream, low: f64, high: f64) -> f64 {
    low + (high - low) * stream.random::<f64>()
}

/// An index drawn evenly from `0..count`; 0 when there is nothing to choose from.
pub fn pick(stream: &mut Stream, count: usize) -> usize {
    if count < 2 {
        return 0;
    }
    stream.random_range(0..count)
}

/// A true that comes with probability `chance`.
pub fn chance(stream: &mut Stream, chance: f64) -> bool {
    stream.random::<f64>() < chance
}

/// A short mark of a text, for keys that must be plain characters.
///
/// **Source**: Fowler, Noll, Vo: FNV-1a, 64 bit.
pub(crate) fn mark(text: &str) -> u64 {
    fnv1a(text, 0)
}

fn fnv1a(text: &str, lane: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ lane.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_its_own_stream_and_keeps_it() {
        let draw = |seed, part: &str| stream(seed, part).random::<u64>();
        assert_eq!(draw(7, "fault"), draw(7, "fault"));
        assert_ne!(draw(7, "fault"), draw(8, "fault"));
        assert_ne!(draw(7, "fault"), draw(7, "onset"));
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut stream = stream(1, "range");
        for _ in 0..1000 {
            let value = between(&mut stream, 3.0, 4.0);
            assert!((3.0..4.0).contains(&value));
            assert!(pick(&mut stream, 5) < 5);
        }
        assert_eq!(pick(&mut stream, 0), 0);
    }
}
