//! All eigenvalues, from the dense matrix in f64, and their smoothed density.

use burn_curvature::{Error, Hessian, Objective, materialize};

/// The eigenvalues of the Hessian, from the smallest to the largest.
pub fn eigenvalues(objective: &Objective) -> Result<Vec<f64>, Error> {
    materialize(&Hessian::new(&objective.in_f64()?)?)?.eigenvalues()
}

/// The density of eigenvalues, smoothed by a Gaussian.
pub fn smoothed(eigenvalues: &[f64], points: &[f64], width: f64) -> Vec<f64> {
    let height = 1.0 / (width * std::f64::consts::TAU.sqrt() * eigenvalues.len() as f64);
    let at = |point: &f64| {
        let distances = eigenvalues.iter().map(|value| (point - value) / width);
        height * distances.map(|d| (-0.5 * d * d).exp()).sum::<f64>()
    };
    points.iter().map(at).collect()
}
