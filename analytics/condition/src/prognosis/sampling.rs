//! Choices by lot that repeat: seeded, and the same on every machine.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// `count` of the numbers below `of`, ascending; all of them when that is as many.
pub fn choose(generator: &mut ChaCha8Rng, of: usize, count: usize) -> Vec<usize> {
    let mut chosen = Vec::with_capacity(count.min(of));
    for number in 0..of {
        // Selection sampling (Knuth, algorithm S): ascending without a sort.
        let (left, wanted) = (of - number, count.min(of) - chosen.len());
        if generator.random::<f64>() * (left as f64) < wanted as f64 {
            chosen.push(number);
        }
    }
    chosen
}

/// A number from the standard normal distribution (Box and Muller 1958).
pub fn normal(generator: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - generator.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * generator.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn chooses_as_many_as_asked_in_order_and_the_same_again() {
        let draw = || choose(&mut ChaCha8Rng::seed_from_u64(3), 100, 30);
        let drawn = draw();
        assert_eq!(drawn.len(), 30);
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(drawn, draw());
        assert_eq!(
            choose(&mut ChaCha8Rng::seed_from_u64(3), 3, 9),
            vec![0, 1, 2]
        );
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_deviation_one() {
        let mut generator = ChaCha8Rng::seed_from_u64(5);
        let drawn: Vec<f64> = (0..20_000).map(|_| normal(&mut generator)).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let variance = drawn.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.03);
    }
}
