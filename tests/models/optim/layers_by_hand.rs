//! The layers of the classifier with their averages, bases and corrected diagonals, by dense matrices.

use super::corrected::DAMPING;
use crate::dense::dot;

type Matrix = Vec<Vec<f64>>;

/// Eigenvectors (as rows) and eigenvalues by Jacobi's rotations.
fn eigen(matrix: &Matrix) -> (Matrix, Vec<f64>) {
    let n = matrix.len();
    let mut a = matrix.clone();
    let mut vectors: Matrix =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..30 {
        for p in 0..n {
            for q in p + 1..n {
                let angle = 0.5 * (2.0 * a[p][q]).atan2(a[q][q] - a[p][p]);
                let (sin, cos) = angle.sin_cos();
                for row in &mut a {
                    (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
                }
                for rows in [&mut a, &mut vectors] {
                    let (above, below) = rows.split_at_mut(q);
                    for (x, y) in above[p].iter_mut().zip(&mut below[0]) {
                        (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
                    }
                }
            }
        }
    }
    let values = (0..n).map(|i| a[i][i]).collect();
    (vectors, values)
}

/// What one layer has of a batch: every input with a one, and for each the output gradients of the Fisher matrix' root.
pub struct Seen {
    pub inputs: Vec<Vec<f64>>,
    pub gradients: Vec<Vec<Vec<f64>>>,
}

/// Both layers of the classifier, by hand.
pub fn seen(theta: &[f64], x: &[f64]) -> [Seen; 2] {
    let (w1, b1, w2, b2) = (&theta[..20], &theta[20..25], &theta[25..40], &theta[40..]);
    let mut layers = [(); 2].map(|()| Seen { inputs: Vec::new(), gradients: Vec::new() });
    for x in x.chunks(4) {
        let column = |w: &[f64], width: usize, o: usize| -> Vec<f64> {
            w.iter().skip(o).step_by(width).copied().collect()
        };
        let h: Vec<f64> = (0..5).map(|o| (dot(&column(w1, 5, o), x) + b1[o]).tanh()).collect();
        let z: Vec<f64> = (0..3).map(|o| (dot(&column(w2, 3, o), &h) + b2[o]).exp()).collect();
        let total: f64 = z.iter().sum();
        let p: Vec<f64> = z.iter().map(|z| z / total).collect();
        let roots: Vec<Vec<f64>> = (0..3)
            .map(|c| {
                let one = |o: usize| f64::from(u8::from(o == c));
                (0..3).map(|o| p[c].sqrt() * (one(o) - p[o])).collect()
            })
            .collect();
        let back = |u: &Vec<f64>| -> Vec<f64> {
            let slopes = h.iter().zip(w2.chunks(3));
            slopes.map(|(h, row)| (1.0 - h * h) * dot(row, u)).collect()
        };
        layers[0].gradients.push(roots.iter().map(back).collect());
        layers[0].inputs.push(x.iter().copied().chain([1.0]).collect());
        layers[1].gradients.push(roots);
        layers[1].inputs.push(h.iter().copied().chain([1.0]).collect());
    }
    layers
}

/// Σ of outer products, times a factor.
fn moment<'a>(rows: impl Iterator<Item = &'a Vec<f64>>, factor: f64) -> Matrix {
    let mut rows = rows.peekable();
    let n = rows.peek().unwrap().len();
    let mut sum = vec![vec![0.0; n]; n];
    for row in rows {
        for i in 0..n {
            for j in 0..n {
                sum[i][j] += factor * row[i] * row[j];
            }
        }
    }
    sum
}

fn mix(keep: f64, old: &mut Matrix, new: &Matrix) {
    for (old, new) in old.iter_mut().flatten().zip(new.iter().flatten()) {
        *old = keep * *old + (1.0 - keep) * new;
    }
}

/// A layer's averages and bases.
#[derive(Clone, Default)]
pub struct Layer {
    a: Matrix,
    g: Matrix,
    u: Matrix,
    w: Matrix,
    s: Matrix,
}

impl Layer {
    pub fn update(&mut self, seen: &Seen, keep: f64) {
        let share = 1.0 / seen.inputs.len() as f64;
        let a = moment(seen.inputs.iter(), share);
        let g = moment(seen.gradients.iter().flatten(), share);
        if self.a.is_empty() {
            (self.a, self.g) = (a, g);
        } else {
            mix(keep, &mut self.a, &a);
            mix(keep, &mut self.g, &g);
        }
    }

    pub fn decompose(&mut self) {
        let ((u, of_a), (w, of_g)) = (eigen(&self.a), eigen(&self.g));
        let row = |a: &f64| of_g.iter().map(|g| a * g).collect();
        (self.u, self.w, self.s) = (u, w, of_a.iter().map(row).collect());
    }

    pub fn correct(&mut self, seen: &Seen, keep: f64) {
        let mut new = vec![vec![0.0; self.w.len()]; self.u.len()];
        for (input, gradients) in seen.inputs.iter().zip(&seen.gradients) {
            for gradient in gradients {
                for (i, u) in self.u.iter().enumerate() {
                    for (j, w) in self.w.iter().enumerate() {
                        let one = dot(u, input) * dot(w, gradient);
                        new[i][j] += one * one / seen.inputs.len() as f64;
                    }
                }
            }
        }
        mix(keep, &mut self.s, &new);
    }

    /// U (Uᵀ V W / (s + λ)) Wᵀ, for V with the bias as its last row.
    pub fn solve(&self, v: &[f64]) -> Vec<f64> {
        let width = self.w.len();
        let mut solution = vec![0.0; v.len()];
        for (i, u) in self.u.iter().enumerate() {
            for (j, w) in self.w.iter().enumerate() {
                let rows = v.chunks(width).map(|row| dot(row, w));
                let coordinate = dot(&rows.collect::<Vec<_>>(), u) / (self.s[i][j] + DAMPING);
                for (at, number) in solution.iter_mut().enumerate() {
                    *number += coordinate * u[at / width] * w[at % width];
                }
            }
        }
        solution
    }
}
