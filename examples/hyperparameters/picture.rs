//! The losses on validation and test images while the decays are trained.

use std::{error::Error, path::PathBuf};

#[path = "../support/page.rs"]
mod page;

use crate::{STEPS, training::Point};
use page::{Axis, Chart, Corner, Scale};
use plotters::style::RGBColor;

const VALIDATION: RGBColor = RGBColor(26, 99, 168);
const TEST: RGBColor = RGBColor(204, 68, 34);

/// Draws the losses to `target/hyperparameters.svg`.
pub fn draw(curve: &[Point]) -> Result<PathBuf, Box<dyn Error>> {
    let x = Axis { label: "steps", scale: Scale::Linear, ends: (0.0, STEPS as f64) };
    let y = Axis { label: "cross-entropy", scale: Scale::Logarithmic, ends: (1e-7, 10.0) };
    let mut chart = Chart::new("One weight decay for every weight", x, y);
    let of = |loss: fn(&Point) -> f64| {
        let losses = curve.iter().enumerate();
        losses.map(|(step, point)| (step as f64, loss(point))).collect::<Vec<_>>()
    };
    chart.line(of(|point| point.validation_loss), VALIDATION);
    chart.line(of(|point| point.test_loss), TEST);
    chart.name(VALIDATION, "50 validation images, which the decays are trained on");
    chart.name(TEST, "1697 test images");
    chart.legend(Corner::LowerRight);
    chart.save("hyperparameters")
}
