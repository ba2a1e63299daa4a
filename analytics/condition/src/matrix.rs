//! The little linear algebra that linfa does not offer.

/// A square matrix, row by row.
#[derive(Debug, Clone, PartialEq)]
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
