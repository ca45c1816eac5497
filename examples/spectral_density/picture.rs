//! The picture: the estimated density on a logarithmic axis with its error band, the exact density, the outliers marked.

use std::{error::Error, path::PathBuf};

use burn_curvature::spectrum::DensityCurve;
use plotters::style::RGBColor;

use super::page::{Axis, Chart, Scale};

/// Densities below this are not drawn.
const FLOOR: f64 = 1e-3;

const ESTIMATE: RGBColor = RGBColor(26, 99, 168);
const ERROR: RGBColor = RGBColor(184, 209, 233);
const EXACT: RGBColor = RGBColor(45, 45, 45);
const OUTLIER: RGBColor = RGBColor(204, 68, 34);

/// Draws an estimated density, the exact one at the same points, and the outliers.
pub fn draw(
    curve: &DensityCurve,
    exact: &[f64],
    outliers: &[f64],
) -> Result<PathBuf, Box<dyn Error>> {
    let points = &curve.points;
    let peak = curve.density.iter().copied().fold(FLOOR, f64::max);
    let (left, right) = (points[0], points[points.len() - 1]);
    let x = Axis { label: "eigenvalue", scale: Scale::Linear, ends: (left, right) };
    let y = Axis { label: "density", scale: Scale::Logarithmic, ends: (FLOOR, 3.0 * peak) };
    let mut chart = Chart::new("Eigenvalues of the Hessian of a digits classifier", x, y);

    let pairs = |heights: Vec<f64>| points.iter().copied().zip(heights);
    let shifted = |factor: f64| {
        let errors = curve.density.iter().zip(&curve.standard_error);
        errors.map(|(y, error)| (y + factor * error).max(FLOOR)).collect()
    };
    chart.area(pairs(shifted(2.0)).chain(pairs(shifted(-2.0)).rev()), ERROR);
    chart.line(pairs(shifted(0.0)), ESTIMATE);
    chart.line(pairs(exact.to_vec()), EXACT);
    chart.marks(outliers.iter().copied(), OUTLIER);
    chart.name(ERROR, "± 2 standard errors over the probes");
    chart.name(ESTIMATE, "stochastic Lanczos quadrature");
    chart.name(EXACT, "all eigenvalues of the dense matrix");
    chart.name(OUTLIER, format!("the {} largest eigenvalues", outliers.len()));
    chart.save("spectral_density")
}
