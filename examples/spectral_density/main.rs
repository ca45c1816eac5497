//! The eigenvalues of a trained network's Hessian: a classifier of handwritten digits has a bulk near zero and a few
//! outliers, one fewer than there are classes. Drawn to `target/spectral_density.svg`.
//!
//! The network is small enough for all eigenvalues to be computed, so that the estimates are compared with the truth.
//! Every figure stands on a line `name = value`; the program exits with an error when one leaves its stated range.
#![allow(clippy::print_stdout)]

mod classifier;
#[path = "../support/page.rs"]
mod page;
mod picture;
#[path = "../support/mod.rs"]
mod support;
mod truth;

use std::{error::Error, process::ExitCode, time::Instant};

use burn_curvature::{
    DensityEstimatorConfig, Hessian, LanczosConfig, SpectrumEnd, TraceEstimatorConfig,
};

use classifier::Trained;
use support::{
    digits::CLASSES,
    figures::{Figures, exit_code},
};
use truth::Truth;

const TOP: usize = 12;
/// Standard deviation of the smoothing, as a fraction of the spectrum's range.
const SMOOTHING: f64 = 0.006;

fn main() -> ExitCode {
    exit_code(run)
}

fn run() -> Result<bool, Box<dyn Error>> {
    let mut figures = Figures::default();
    let Trained { objective, accuracy } = classifier::train()?;
    let like = objective.parameters();
    let hessian = Hessian::new(&objective);
    println!("{} parameters, loss {:.4}", like.len(), objective.value()?);
    figures.expect("test_accuracy", accuracy, 0.9..=1.0);

    let clock = Instant::now();
    let lanczos = LanczosConfig::new().with_pairs(TOP).with_seed(1).init()?;
    let top = lanczos.eigenpairs(&hessian)?.report;
    println!("\n{top}");
    let lanczos = LanczosConfig::new().with_end(SpectrumEnd::Smallest).init()?;
    let bottom = lanczos.eigenpairs(&hessian)?.report;
    let estimator =
        DensityEstimatorConfig::new().with_probes(20).with_steps(80).with_seed(1).init()?;
    let density = estimator.estimate(&hessian)?;
    let trace = TraceEstimatorConfig::new().init()?.estimate(&hessian)?;
    println!("\ntrace {trace}");
    figures.note("seconds.estimates", clock.elapsed().as_secs_f64());

    let clock = Instant::now();
    let truth = Truth::of(&objective)?;
    figures.note("seconds.all_eigenvalues", clock.elapsed().as_secs_f64());

    report_eigenvalues(&mut figures, &top.eigenvalues, bottom.smallest(), &truth);
    let products = top.products + bottom.products + density.products + trace.products;
    figures.note("products", products as f64);
    figures.expect("trace.deviations", trace.deviations_from(truth.trace()), 0.0..=4.0);
    let width = SMOOTHING * (top.largest() - bottom.smallest());
    let points = density.grid(800, 12.0 * width);
    let curve = density.on_grid(&points, width)?;
    let exact = truth.smoothed(&points, width);
    figures.expect("density.difference", truth::difference(&curve, &exact), 0.0..=0.1);
    figures.expect("density.inside_error_bars", truth::inside(&curve, &exact), 0.6..=1.0);

    let outliers = top.eigenvalues.get(..CLASSES - 1).unwrap_or_default();
    println!("drawn: {}", picture::draw(&curve, &exact, outliers)?.display());
    Ok(figures.print())
}

/// The top eigenvalues, where the largest gap among them is, and how far all are from the truth.
fn report_eigenvalues(figures: &mut Figures, top: &[f64], smallest: f64, truth: &Truth) {
    for (index, value) in top.iter().enumerate() {
        figures.expect(&format!("eigenvalue.{}", index + 1), *value, 0.0..=f64::INFINITY);
    }
    figures.expect("eigenvalue.smallest", smallest, f64::NEG_INFINITY..=0.0);
    let error = truth.error_of_top(top).max((smallest - truth.smallest()).abs() / top[0]);
    figures.expect("eigenvalue.error", error, 0.0..=1e-4);
    let ratios = top.windows(2).map(|pair| pair[0] / pair[1]).enumerate();
    let widest = ratios.max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((position, ratio)) = widest {
        figures.expect("gap.position", (position + 1) as f64, 9.0..=9.0);
        figures.expect("gap.ratio", ratio, 1.4..=f64::INFINITY);
    }
}
