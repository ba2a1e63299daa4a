//! One regression tree, grown on binned features.

use serde::{Deserialize, Serialize};

use super::bins::Bins;

/// A tree as its nodes; the first is the root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    nodes: Vec<Node>,
}

/// A place where a row goes left or right, or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Node {
    /// Right when the feature is above the limit; a missing value goes left. The right child
    /// follows the left one.
    Split {
        feature: u32,
        limit: f64,
        left: u32,
    },
    Leaf(f64),
}

impl Tree {
    /// The tree's share of the answer for a row of features.
    pub fn answer(&self, row: &[f64]) -> f64 {
        let mut at = 0;
        loop {
            match self.nodes[at] {
                Node::Leaf(answer) => return answer,
                Node::Split {
                    feature,
                    limit,
                    left,
                } => at = left as usize + usize::from(row[feature as usize] > limit),
            }
        }
    }
}

/// What a tree is grown from.
pub struct Grower<'a> {
    /// The binned features.
    pub bins: &'a Bins,
    /// What the trees before left over, per row.
    pub residuals: &'a [f64],
    /// Features that this tree may look at.
    pub columns: &'a [usize],
    /// Splits from the root to a leaf, at most.
    pub depth: usize,
    /// Rows in a leaf, at least.
    pub least_rows: usize,
    /// Rows of zero residual thought to be in every leaf.
    pub shrinkage: f64,
    /// Share of the answer that is believed.
    pub learning_rate: f64,
}

/// A tree together with the bins of its limits, so that fitted rows need not be looked up by value.
pub struct Grown {
    nodes: Vec<Node>,
    /// Per node, the last bin that goes left.
    last_left: Vec<u8>,
}

/// Sum and number of the residuals in one bin.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    sum: f64,
    count: f64,
}

/// A node that waits for its split.
struct Open {
    node: usize,
    rows: Vec<usize>,
    depth: usize,
    /// Per allowed feature, one cell per bin.
    cells: Vec<Vec<Cell>>,
}

/// The best split of a node.
struct Split {
    gain: f64,
    column: usize,
    last_left: usize,
}

impl Grower<'_> {
    /// Grows a tree on the rows.
    pub fn grow(&self, rows: Vec<usize>) -> Grown {
        let mut grown = Grown {
            nodes: vec![Node::Leaf(0.0)],
            last_left: vec![0],
        };
        let cells = self.cells(&rows);
        let mut open = vec![Open {
            node: 0,
            rows,
            depth: 0,
            cells,
        }];
        while let Some(next) = open.pop() {
            let sum: f64 = next.rows.iter().map(|row| self.residuals[*row]).sum();
            let answer = self.learning_rate * sum / (next.rows.len() as f64 + self.shrinkage);
            grown.nodes[next.node] = Node::Leaf(answer);
            if next.depth < self.depth
                && let Some(split) = self.best(&next.cells, sum, next.rows.len() as f64)
            {
                open.extend(self.part(&mut grown, next, &split));
            }
        }
        grown
    }

    /// Makes a node a split and returns its two children.
    fn part(&self, grown: &mut Grown, of: Open, split: &Split) -> [Open; 2] {
        let feature = self.columns[split.column];
        let column = &self.bins.columns[feature];
        let is_left = |row: &usize| usize::from(column[*row]) <= split.last_left;
        let (left, right): (Vec<usize>, Vec<usize>) = of.rows.iter().partition(|row| is_left(row));
        // The larger child is what remains of the parent: one histogram instead of two.
        let (left_cells, right_cells) = if left.len() < right.len() {
            let cells = self.cells(&left);
            let rest = remaining(of.cells, &cells);
            (cells, rest)
        } else {
            let cells = self.cells(&right);
            (remaining(of.cells, &cells), cells)
        };
        let first = grown.nodes.len();
        grown.nodes[of.node] = Node::Split {
            feature: feature as u32,
            limit: self.bins.limits[feature][split.last_left],
            left: first as u32,
        };
        grown.last_left[of.node] = split.last_left as u8;
        grown.nodes.extend([Node::Leaf(0.0); 2]);
        grown.last_left.extend([0; 2]);
        let depth = of.depth + 1;
        let child = |node, rows, cells| Open {
            node,
            rows,
            depth,
            cells,
        };
        [
            child(first, left, left_cells),
            child(first + 1, right, right_cells),
        ]
    }

    fn cells(&self, rows: &[usize]) -> Vec<Vec<Cell>> {
        let residuals: Vec<f64> = rows.iter().map(|row| self.residuals[*row]).collect();
        let one = |feature: &usize| {
            let column = &self.bins.columns[*feature];
            let mut cells = vec![Cell::default(); self.bins.count(*feature)];
            for (row, residual) in rows.iter().zip(&residuals) {
                let cell = &mut cells[usize::from(column[*row])];
                cell.sum += residual;
                cell.count += 1.0;
            }
            cells
        };
        self.columns.iter().map(one).collect()
    }

    /// The split that takes most off the sum of squares, if any takes something.
    fn best(&self, cells: &[Vec<Cell>], sum: f64, count: f64) -> Option<Split> {
        let worth = |sum: f64, count: f64| sum * sum / (count + self.shrinkage);
        let least = self.least_rows as f64;
        let mut best: Option<Split> = None;
        for (column, cells) in cells.iter().enumerate() {
            let mut left = Cell::default();
            for (bin, cell) in cells.iter().enumerate().take(cells.len() - 1) {
                left.sum += cell.sum;
                left.count += cell.count;
                let right = count - left.count;
                if left.count < least || right < least {
                    continue;
                }
                let gain =
                    worth(left.sum, left.count) + worth(sum - left.sum, right) - worth(sum, count);
                if gain > best.as_ref().map_or(1e-9, |best| best.gain) {
                    best = Some(Split {
                        gain,
                        column,
                        last_left: bin,
                    });
                }
            }
        }
        best
    }
}

/// The parent's cells less those of one child.
fn remaining(mut parent: Vec<Vec<Cell>>, child: &[Vec<Cell>]) -> Vec<Vec<Cell>> {
    for (parent, child) in parent.iter_mut().flatten().zip(child.iter().flatten()) {
        parent.sum -= child.sum;
        parent.count -= child.count;
    }
    parent
}

impl Grown {
    /// The answer for a row of the fit.
    pub fn answer_binned(&self, bins: &Bins, row: usize) -> f64 {
        let mut at = 0;
        loop {
            match self.nodes[at] {
                Node::Leaf(answer) => return answer,
                Node::Split { feature, left, .. } => {
                    let bin = bins.columns[feature as usize][row];
                    at = left as usize + usize::from(bin > self.last_left[at]);
                }
            }
        }
    }

    /// The tree without its bins.
    pub fn into_tree(self) -> Tree {
        Tree { nodes: self.nodes }
    }
}
