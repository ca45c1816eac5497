//! Dense linear algebra in f64 by the plainest means, to judge the library by.
#![allow(clippy::needless_range_loop)] // Indices are how the formulas are written.

use burn_curvature::operator::DenseMatrix;

use crate::{compare::relative_error, dense::Rows, random::SplitMix64};

/// Q diag(λ) Qᵀ with a random orthogonal Q, exactly symmetric.
pub fn with_spectrum(eigenvalues: &[f64], seed: u64) -> Rows {
    let n = eigenvalues.len();
    let mut a: Rows = (0..n)
        .map(|i| (0..n).map(|j| if i == j { eigenvalues[i] } else { 0.0 }).collect())
        .collect();
    let mut numbers = SplitMix64::new(seed);
    for _ in 0..n.min(12) {
        reflect(&mut a, &numbers.normals(n));
    }
    for i in 0..n {
        for j in 0..i {
            let mean = 0.5 * (a[i][j] + a[j][i]);
            a[i][j] = mean;
            a[j][i] = mean;
        }
    }
    a
}

/// A ← P A P with the Householder reflection P = I − 2 v vᵀ / vᵀv.
fn reflect(a: &mut Rows, v: &[f64]) {
    let n = v.len();
    let square: f64 = v.iter().map(|x| x * x).sum();
    for row in a.iter_mut() {
        let overlap: f64 = 2.0 * row.iter().zip(v).map(|(a, v)| a * v).sum::<f64>() / square;
        row.iter_mut().zip(v).for_each(|(a, v)| *a -= overlap * v);
    }
    for j in 0..n {
        let overlap: f64 = 2.0 * (0..n).map(|i| a[i][j] * v[i]).sum::<f64>() / square;
        for i in 0..n {
            a[i][j] -= overlap * v[i];
        }
    }
}

/// The solution of A x = b by Gaussian elimination with row pivoting.
pub fn solve(a: &Rows, b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let mut a: Rows =
        a.iter().zip(b).map(|(row, b)| row.iter().copied().chain([*b]).collect()).collect();
    for k in 0..n {
        let pivot = (k..n).max_by(|i, j| a[*i][k].abs().total_cmp(&a[*j][k].abs())).unwrap();
        a.swap(k, pivot);
        for i in k + 1..n {
            let factor = a[i][k] / a[k][k];
            for j in k..=n {
                a[i][j] -= factor * a[k][j];
            }
        }
    }
    let mut x = vec![0.0; n];
    for k in (0..n).rev() {
        let known: f64 = (k + 1..n).map(|j| a[k][j] * x[j]).sum();
        x[k] = (a[k][n] - known) / a[k][k];
    }
    x
}

pub fn matrix(rows: &Rows) -> DenseMatrix {
    DenseMatrix::from_rows(rows).unwrap()
}

/// n values from `low` to `high`, evenly spaced on a logarithmic scale.
pub fn logarithmic(low: f64, high: f64, n: usize) -> Vec<f64> {
    let step = |i: usize| i as f64 / (n - 1) as f64;
    (0..n).map(|i| low * (high / low).powf(step(i))).collect()
}

/// Hessian and gradient of the mean squared error of a 3-5-1 sigmoid network on 10 random points at random parameters:
/// 26 unknowns, indefinite, badly conditioned. The gradient is written out by hand, the Hessian is its central
/// difference.
pub fn small_network(seed: u64) -> (Rows, Vec<f64>) {
    let mut numbers = SplitMix64::new(seed);
    let points: Vec<([f64; 3], f64)> = (0..10)
        .map(|_| ([numbers.normal(), numbers.normal(), numbers.normal()], numbers.normal()))
        .collect();
    let mut uniform = |count: usize, inputs: f64| -> Vec<f64> {
        (0..count).map(|_| (2.0 * numbers.uniform() - 1.0) / inputs.sqrt()).collect()
    };
    let theta = [uniform(20, 3.0), uniform(6, 5.0)].concat();
    let h = 1e-5;
    let columns: Rows = (0..26)
        .map(|i| {
            let mut moved = theta.clone();
            moved[i] += h;
            let up = network_gradient(&points, &moved);
            moved[i] -= 2.0 * h;
            let down = network_gradient(&points, &moved);
            up.iter().zip(&down).map(|(u, d)| (u - d) / (2.0 * h)).collect()
        })
        .collect();
    let symmetric =
        (0..26).map(|i| (0..26).map(|j| 0.5 * (columns[i][j] + columns[j][i])).collect());
    (symmetric.collect(), network_gradient(&points, &theta))
}

/// θ = (3×5 weights, 5 biases, 5 weights, 1 bias); z = w₂ᵀσ(W₁ᵀx + b₁) + b₂; mean of (z − y)².
fn network_gradient(points: &[([f64; 3], f64)], theta: &[f64]) -> Vec<f64> {
    let mut gradient = vec![0.0; 26];
    for (x, y) in points {
        let hidden: Vec<f64> = (0..5)
            .map(|j| {
                let s = theta[15 + j] + (0..3).map(|i| theta[5 * i + j] * x[i]).sum::<f64>();
                1.0 / (1.0 + (-s).exp())
            })
            .collect();
        let z = theta[25] + (0..5).map(|j| theta[20 + j] * hidden[j]).sum::<f64>();
        let outer = 2.0 * (z - y) / points.len() as f64;
        gradient[25] += outer;
        for j in 0..5 {
            gradient[20 + j] += outer * hidden[j];
            let inner = outer * theta[20 + j] * hidden[j] * (1.0 - hidden[j]);
            gradient[15 + j] += inner;
            for i in 0..3 {
                gradient[5 * i + j] += inner * x[i];
            }
        }
    }
    gradient
}

/// Fails with both sides unless they agree to a relative tolerance.
#[track_caller]
pub fn assert_close(a: &[f64], b: &[f64], tolerance: f64) {
    let error = relative_error(a, b);
    assert!(error <= tolerance, "relative error {error:e} > {tolerance:e}\n{a:?}\n{b:?}");
}
