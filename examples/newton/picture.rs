//! The norm of the gradient by the passes over the data.

use std::{error::Error, path::PathBuf};

#[path = "../support/page.rs"]
mod page;

use crate::{Curve, LIMIT};
use page::{Axis, Chart, Corner, Scale};
use plotters::style::RGBColor;

/// Draws the curves to `target/newton.svg`.
pub fn draw([newton, region, descent, lbfgs]: [Curve; 4]) -> Result<PathBuf, Box<dyn Error>> {
    let x = Axis {
        label: "gradients and products",
        scale: Scale::Logarithmic,
        ends: (1.0, LIMIT as f64),
    };
    let y = Axis { label: "norm of the gradient", scale: Scale::Logarithmic, ends: (1e-17, 1.0) };
    let mut chart = Chart::new("Logistic regression on handwritten digits", x, y);
    for (name, curve, color) in [
        ("gradient descent", descent, RGBColor(26, 99, 168)),
        ("L-BFGS", lbfgs, RGBColor(70, 140, 70)),
        ("Newton in a trust region", region, RGBColor(230, 160, 40)),
        ("Newton-CG", newton, RGBColor(204, 68, 34)),
    ] {
        chart.line(curve, color);
        chart.name(color, name);
    }
    chart.legend(Corner::LowerLeft);
    chart.save("newton")
}
