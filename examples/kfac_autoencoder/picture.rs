//! The picture: squared error by step, of K-FAC and of the best first-order runs.

use std::{error::Error, path::PathBuf};

use plotters::style::RGBColor;

use super::{
    page::{Axis, Chart, Scale},
    training::{GOAL, Run},
};

const GOAL_COLOR: RGBColor = RGBColor(45, 45, 45);

/// All runs of one method.
pub struct Curves<'a> {
    pub method: &'static str,
    pub color: RGBColor,
    pub runs: &'a [Run],
}

/// Draws the curves of several methods.
pub fn draw(curves: &[Curves<'_>]) -> Result<PathBuf, Box<dyn Error>> {
    let runs = || curves.iter().flat_map(|curves| curves.runs);
    let steps = runs().map(|run| run.errors.len()).max().unwrap_or(1);
    let highest = runs().flat_map(|run| &run.errors).copied().fold(GOAL, f64::max);
    let x = Axis { label: "steps", scale: Scale::Logarithmic, ends: (1.0, steps as f64) };
    let ends = (0.5, 1.2 * highest);
    let y = Axis { label: "squared error per image", scale: Scale::Logarithmic, ends };
    let mut chart = Chart::new("Training an autoencoder of handwritten digits", x, y);
    chart.level(GOAL, GOAL_COLOR);
    for Curves { method, color, runs } in curves {
        for run in *runs {
            let points = run.errors.iter().enumerate();
            chart.line(points.map(|(step, error)| ((step + 1) as f64, *error)), *color);
        }
        chart.name(*color, *method);
    }
    chart.save("kfac_autoencoder")
}
