//! All eigenvalues, from the dense matrix in f64, and what the estimates should have been.

use burn::backend::{Autodiff, Dispatch};
use burn_curvature::{DensityCurve, Error, Hessian, Objective, materialize};

/// The eigenvalues, from the smallest to the largest.
pub struct Truth {
    eigenvalues: Vec<f64>,
}

impl Truth {
    pub fn of(objective: &Objective<Autodiff<Dispatch>>) -> Result<Self, Error> {
        let exact = objective.in_f64()?;
        let matrix = materialize(&Hessian::new(&exact))?;
        Ok(Self { eigenvalues: matrix.eigenvalues()? })
    }

    pub fn trace(&self) -> f64 {
        self.eigenvalues.iter().sum()
    }

    pub fn smallest(&self) -> f64 {
        self.eigenvalues.first().copied().unwrap_or(f64::NAN)
    }

    /// The largest error of given top eigenvalues, relative to the largest of them.
    pub fn error_of_top(&self, top: &[f64]) -> f64 {
        let pairs = top.iter().zip(self.eigenvalues.iter().rev());
        let worst = pairs.map(|(found, truth)| (found - truth).abs());
        worst.fold(0.0, f64::max) / self.eigenvalues.last().copied().unwrap_or(f64::NAN)
    }

    /// The density of the eigenvalues, smoothed by a Gaussian.
    pub fn smoothed(&self, points: &[f64], width: f64) -> Vec<f64> {
        let height = 1.0 / (width * std::f64::consts::TAU.sqrt() * self.eigenvalues.len() as f64);
        let at = |point: &f64| {
            let distances = self.eigenvalues.iter().map(|value| (point - value) / width);
            height * distances.map(|d| (-0.5 * d * d).exp()).sum::<f64>()
        };
        points.iter().map(at).collect()
    }
}

/// Half the integral of |estimate − truth|: the part of the eigenvalues that is in the wrong place.
pub fn difference(curve: &DensityCurve, exact: &[f64]) -> f64 {
    let step = match curve.points.as_slice() {
        [first, second, ..] => second - first,
        _ => f64::NAN,
    };
    let pairs = curve.density.iter().zip(exact);
    0.5 * step * pairs.map(|(a, b)| (a - b).abs()).sum::<f64>()
}

/// The fraction of points, among those where there is anything, at which the truth is within two standard errors.
pub fn inside(curve: &DensityCurve, exact: &[f64]) -> f64 {
    let bars = curve.density.iter().zip(&curve.standard_error).zip(exact);
    let looked_at = bars.filter(|(_, truth)| **truth > 1e-2);
    let (mut all, mut within) = (0.0, 0.0);
    for ((density, error), truth) in looked_at {
        all += 1.0;
        within += f64::from(u8::from((density - truth).abs() <= 2.0 * error));
    }
    within / all
}
