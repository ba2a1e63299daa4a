//! Sensor noise that depends on the seed, the asset and the time index alone.

use rand::Rng;

use crate::seeded::{self, Stream};

/// Normal numbers per index.
const LANES: usize = 8;
/// Random words per index: two per pair of normal numbers, rounded up to one ChaCha block.
const WORDS: u128 = 16;
/// Keeps positions positive for every index that a run can reach.
const ORIGIN: i64 = 1 << 40;

/// The noise of one asset.
#[derive(Debug)]
pub struct Noise(Stream);

impl Noise {
    /// The noise of the asset `tag` in the world of `seed`.
    pub fn new(seed: u64, tag: &str) -> Self {
        Self(seeded::stream(seed, &format!("noise:{tag}")))
    }

    /// Independent standard normal numbers of one index.
    ///
    /// **Source**: Box and Muller 1958.
    pub fn at(&self, index: i64) -> [f64; LANES] {
        let mut words = self.0.clone();
        words.set_word_pos((ORIGIN + index) as u128 * WORDS);
        let mut normals = [0.0; LANES];
        for pair in normals.chunks_mut(2) {
            let radius = (-2.0 * unit(words.next_u32()).ln()).sqrt();
            let (sine, cosine) = (std::f64::consts::TAU * unit(words.next_u32())).sin_cos();
            pair[0] = radius * cosine;
            pair[1] = radius * sine;
        }
        normals
    }
}

/// A number in `0..1`, never 0.
fn unit(word: u32) -> f64 {
    (f64::from(word) + 0.5) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_normal_and_independent_of_the_order_of_asking() {
        let noise = Noise::new(3, "P-1");
        let forward: Vec<_> = (0..2000).map(|index| noise.at(index)).collect();
        let backward: Vec<_> = (0..2000).rev().map(|index| noise.at(index)).collect();
        assert!(forward.iter().eq(backward.iter().rev()));

        let all: Vec<f64> = forward.into_iter().flatten().collect();
        let n = all.len() as f64;
        let mean = all.iter().sum::<f64>() / n;
        let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 0.04, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
        assert_ne!(noise.at(0), noise.at(1));
        assert_ne!(noise.at(0), Noise::new(3, "P-2").at(0));
        assert_ne!(noise.at(-5), noise.at(5));
    }
}
