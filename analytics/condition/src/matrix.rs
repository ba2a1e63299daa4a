//! The little linear algebra that linfa does not offer.

use serde::{Deserialize, Serialize};

/// Variance that is added before a covariance is inverted, at least.
const LEAST_RIDGE: f64 = 1e-6;

/// A square matrix, row by row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Square {
    size: usize,
    cells: Vec<f64>,
}

impl Square {
    /// A matrix whose cells are computed.
    pub fn from_fn(size: usize, cell: impl Fn(usize, usize) -> f64) -> Self {
        let cells = (0..size * size)
            .map(|at| cell(at / size, at % size))
            .collect();
        Self { size, cells }
    }

    /// One cell.
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.cells[row * self.size + column]
    }

    /// The product with a vector.
    pub fn times(&self, vector: &[f64]) -> Vec<f64> {
        self.cells
            .chunks_exact(self.size.max(1))
            .map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum())
            .collect()
    }

    /// The inverse of a symmetric positive definite matrix, by Cholesky's decomposition; `None`
    /// when it is not positive definite.
    pub fn inverse(&self) -> Option<Self> {
        let size = self.size;
        let mut lower = vec![0.0; size * size];
        for row in 0..size {
            for column in 0..=row {
                let known: f64 = (0..column)
                    .map(|at| lower[row * size + at] * lower[column * size + at])
                    .sum();
                let rest = self.at(row, column) - known;
                lower[row * size + column] = if row == column {
                    if rest.is_nan() || rest <= 0.0 {
                        return None;
                    }
                    rest.sqrt()
                } else {
                    rest / lower[column * size + column]
                };
            }
        }
        // The inverse of the lower triangle.
        let mut inverse = vec![0.0; size * size];
        for column in 0..size {
            for row in column..size {
                let unit = if row == column { 1.0 } else { 0.0 };
                let known: f64 = (column..row)
                    .map(|at| lower[row * size + at] * inverse[at * size + column])
                    .sum();
                inverse[row * size + column] = (unit - known) / lower[row * size + row];
            }
        }
        Some(Self::from_fn(size, |row, column| {
            (row.max(column)..size)
                .map(|at| inverse[at * size + row] * inverse[at * size + column])
                .sum()
        }))
    }

    /// The inverse of a covariance with more variance per place, however dependent the places are:
    /// as much is added to the diagonal as that takes.
    pub fn precision(&self, more: &[f64]) -> Self {
        let mut ridge = LEAST_RIDGE;
        while ridge < 1.0 / LEAST_RIDGE {
            let whole = Self::from_fn(self.size, |row, column| {
                let own = if row == column {
                    more[row] + ridge
                } else {
                    0.0
                };
                self.at(row, column) + own
            });
            if let Some(inverse) = whole.inverse() {
                return inverse;
            }
            ridge *= 10.0;
        }
        Self::from_fn(self.size, |_, _| 0.0)
    }

    /// The logarithm of the determinant of a symmetric positive definite matrix; minus infinity
    /// when it is none.
    pub fn log_determinant(&self) -> f64 {
        let mut rows = self.cells.clone();
        let size = self.size;
        let mut sum = 0.0;
        for step in 0..size {
            let pivot = rows[step * size + step];
            if pivot.is_nan() || pivot <= 0.0 {
                return f64::NEG_INFINITY;
            }
            sum += pivot.ln();
            for row in step + 1..size {
                let factor = rows[row * size + step] / pivot;
                for column in step..size {
                    rows[row * size + column] -= factor * rows[step * size + column];
                }
            }
        }
        sum
    }

    /// Rows and columns.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The quadratic form of a vector.
    pub fn form(&self, vector: &[f64]) -> f64 {
        let rows = self.cells.chunks_exact(self.size.max(1)).zip(vector);
        rows.map(|(row, x)| x * row.iter().zip(vector).map(|(a, b)| a * b).sum::<f64>())
            .sum()
    }

    /// Moves by a share toward the outer product of a vector with itself.
    pub fn blend(&mut self, vector: &[f64], share: f64) {
        let rows = self.cells.chunks_exact_mut(self.size.max(1)).zip(vector);
        for (row, x) in rows {
            for (cell, y) in row.iter_mut().zip(vector) {
                *cell += share * (x * y - *cell);
            }
        }
    }

    /// Solves the system of the rows and columns `chosen` for `right`, by elimination with
    /// pivots; `None` when it has no single solution.
    pub fn solve_part(&self, chosen: &[usize], right: &[f64]) -> Option<Vec<f64>> {
        let size = chosen.len();
        let mut rows: Vec<Vec<f64>> = chosen
            .iter()
            .zip(right)
            .map(|(row, value)| {
                chosen
                    .iter()
                    .map(|column| self.at(*row, *column))
                    .chain([*value])
                    .collect()
            })
            .collect();
        for step in 0..size {
            let pivot = (step..size)
                .max_by(|a, b| rows[*a][step].abs().total_cmp(&rows[*b][step].abs()))?;
            rows.swap(step, pivot);
            let head = rows[step].clone();
            if head[step].abs() < 1e-12 {
                return None;
            }
            for row in &mut rows[step + 1..] {
                let factor = row[step] / head[step];
                for (cell, above) in row.iter_mut().zip(&head).skip(step) {
                    *cell -= factor * above;
                }
            }
        }
        let mut solution = vec![0.0; size];
        for step in (0..size).rev() {
            let known: f64 = (step + 1..size)
                .map(|at| rows[step][at] * solution[at])
                .sum();
            solution[step] = (rows[step][size] - known) / rows[step][step];
        }
        Some(solution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_times_the_matrix_is_one() {
        let cells = [4.0, 1.0, 2.0, 1.0, 3.0, 0.5, 2.0, 0.5, 5.0];
        let matrix = Square::from_fn(3, |row, column| cells[row * 3 + column]);
        let inverse = matrix.inverse().unwrap();
        for column in 0..3 {
            let unit: Vec<f64> = (0..3).map(|at| inverse.at(at, column)).collect();
            for (row, value) in matrix.times(&unit).into_iter().enumerate() {
                let expected = if row == column { 1.0 } else { 0.0 };
                assert!((value - expected).abs() < 1e-12, "{row} {column} {value}");
            }
        }
        assert_eq!(Square::from_fn(2, |_, _| 1.0).inverse(), None);
        assert!((matrix.form(&[1.0, 0.0, 1.0]) - 13.0).abs() < 1e-12);
        // 4 · (15 − 0.25) − (5 − 1) + 2 · (0.5 − 6)
        assert!((matrix.log_determinant() - 44_f64.ln()).abs() < 1e-12);
        let mut moved = Square::from_fn(2, |_, _| 0.0);
        moved.blend(&[1.0, 2.0], 0.5);
        assert_eq!(moved.at(1, 0), 1.0);
    }

    #[test]
    fn part_of_a_system_is_solved() {
        let cells = [4.0, 1.0, 2.0, 1.0, 3.0, 0.5, 2.0, 0.5, 5.0];
        let matrix = Square::from_fn(3, |row, column| cells[row * 3 + column]);
        let solution = matrix.solve_part(&[0, 2], &[10.0, 13.0]).unwrap();
        assert!((4.0 * solution[0] + 2.0 * solution[1] - 10.0).abs() < 1e-12);
        assert!((2.0 * solution[0] + 5.0 * solution[1] - 13.0).abs() < 1e-12);
        assert_eq!(matrix.times(&[1.0, 0.0, 1.0]), [6.0, 1.5, 7.0]);
        let singular = Square::from_fn(2, |_, _| 1.0);
        assert_eq!(singular.solve_part(&[0, 1], &[1.0, 2.0]), None);
    }
}
