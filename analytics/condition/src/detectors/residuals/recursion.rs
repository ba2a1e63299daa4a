//! A regression of several outputs on the same terms that goes on learning.

use serde::{Deserialize, Serialize};

/// Uncertainty above which nothing more is forgotten: a machine that stands teaches nothing.
/// **Units**: variance of a coefficient, where residuals have variance 1.
const UNCERTAIN: f64 = 1.0;

/// Coefficients and their uncertainty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recursion {
    terms: usize,
    outputs: usize,
    /// Terms by outputs, row by row.
    coefficients: Vec<f64>,
    /// Terms by terms, row by row: covariance of the coefficients over that of the residuals.
    uncertainty: Vec<f64>,
}

impl Recursion {
    /// A regression as it was fitted.
    pub fn new(outputs: usize, coefficients: Vec<f64>, uncertainty: Vec<f64>) -> Self {
        Self {
            terms: coefficients.len() / outputs.max(1),
            outputs,
            coefficients,
            uncertainty,
        }
    }

    /// Whether it has the shape of another.
    pub fn fits(&self, other: &Self) -> bool {
        let shape = |one: &Self| {
            (
                one.terms,
                one.outputs,
                one.coefficients.len(),
                one.uncertainty.len(),
            )
        };
        shape(self) == shape(other)
    }

    /// What the terms explain, per output.
    pub fn expected(&self, terms: &[f64]) -> Vec<f64> {
        let mut expected = vec![0.0; self.outputs];
        for (term, row) in terms
            .iter()
            .zip(self.coefficients.chunks_exact(self.outputs.max(1)))
        {
            for (sum, coefficient) in expected.iter_mut().zip(row) {
                *sum += term * coefficient;
            }
        }
        expected
    }

    /// How uncertain the explanation is at these terms, in variances of a residual.
    pub fn leverage(&self, terms: &[f64]) -> f64 {
        let pulled = self.pulled(terms);
        terms
            .iter()
            .zip(&pulled)
            .map(|(a, b)| a * b)
            .sum::<f64>()
            .max(0.0)
    }

    /// Learns one observation; `kept` is the share of the past that is not forgotten.
    pub fn learn(&mut self, terms: &[f64], outputs: &[f64], kept: f64) {
        let pulled = self.pulled(terms);
        let leverage: f64 = terms.iter().zip(&pulled).map(|(a, b)| a * b).sum();
        let worst = (0..self.terms)
            .map(|n| self.uncertainty[n * self.terms + n])
            .fold(0.0, f64::max);
        let kept = if worst > UNCERTAIN { 1.0 } else { kept };
        let expected = self.expected(terms);
        let divisor = kept + leverage;
        for row in 0..self.terms {
            let gain = pulled[row] / divisor;
            for (output, (seen, expected)) in outputs.iter().zip(&expected).enumerate() {
                self.coefficients[row * self.outputs + output] += gain * (seen - expected);
            }
            for (column, pull) in pulled.iter().enumerate() {
                let cell = &mut self.uncertainty[row * self.terms + column];
                *cell = (*cell - gain * pull) / kept;
            }
        }
    }

    fn pulled(&self, terms: &[f64]) -> Vec<f64> {
        let rows = self.uncertainty.chunks_exact(self.terms.max(1));
        rows.map(|row| row.iter().zip(terms).map(|(a, b)| a * b).sum())
            .collect()
    }
}

/// One, the inputs, and their products of two; squares of standardized inputs around their mean.
pub fn terms(inputs: &[f64]) -> Vec<f64> {
    let mut terms = vec![1.0];
    terms.extend(inputs);
    for (at, first) in inputs.iter().enumerate() {
        terms.push(first * first - 1.0);
        terms.extend(inputs[at + 1..].iter().map(|second| first * second));
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_a_new_slope_and_is_surer_where_it_has_been() {
        // y = 2x at first, y = 3x later.
        let mut regression = Recursion::new(1, vec![0.0, 2.0], vec![0.02, 0.0, 0.0, 0.02]);
        let at = |n: u32| f64::from(n % 7) / 3.0 - 1.0;
        assert_eq!(regression.expected(&[1.0, 0.5]), [1.0]);
        for n in 0..400 {
            regression.learn(&[1.0, at(n)], &[3.0 * at(n)], 0.98);
        }
        assert!((regression.expected(&[1.0, 0.5])[0] - 1.5).abs() < 1e-3);
        assert!(regression.leverage(&[1.0, 5.0]) > 10.0 * regression.leverage(&[1.0, 0.0]));
    }

    #[test]
    fn a_machine_that_stands_does_not_make_it_forget_without_end() {
        let mut regression = Recursion::new(1, vec![0.0, 2.0], vec![0.02, 0.0, 0.0, 0.02]);
        for _ in 0..100_000 {
            regression.learn(&[1.0, 0.0], &[0.0], 0.99);
        }
        assert!((regression.expected(&[1.0, 1.0])[0] - 2.0).abs() < 1e-6);
        assert!(regression.leverage(&[1.0, 1.0]) < 2.0);
    }

    #[test]
    fn terms_are_quadratic() {
        assert_eq!(terms(&[]), [1.0]);
        assert_eq!(terms(&[2.0, 3.0]), [1.0, 2.0, 3.0, 3.0, 6.0, 8.0]);
    }
}
