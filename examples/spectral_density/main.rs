//! The eigenvalues of a trained network's Hessian: a classifier of handwritten digits has a bulk near zero and a few
//! outliers, one fewer than there are classes. Drawn to `target/spectral_density.svg`, with the exact density of all
//! eigenvalues for comparison, which a network this small allows.
#![allow(clippy::print_stdout)]

#[path = "../../tests/support/digits.rs"]
mod digits;
#[path = "../support/page.rs"]
mod page;
mod picture;
#[path = "../../tests/support/random.rs"]
mod random;
#[path = "../../tests/support/trained.rs"]
mod trained;
mod truth;

use std::error::Error;

use burn_curvature::{
    Hessian, LanczosConfig, Objective, TraceEstimatorConfig,
    spectrum::{DensityEstimatorConfig, SpectrumEnd},
};

use digits::CLASSES;
use trained::{Training, loss};

/// With weight decay the outliers are well separated from the bulk.
const TRAINING: Training =
    Training { hidden: 32, steps: 50, learning_rate: 0.01, weight_decay: Some(0.01) };
/// Standard deviation of the smoothing, as a fraction of the spectrum's range.
const SMOOTHING: f64 = 0.006;

fn main() -> Result<(), Box<dyn Error>> {
    let trained = TRAINING.run()?;
    let objective = Objective::capture(&trained.model, trained.batch, loss)?;
    let hessian = Hessian::new(&objective)?;
    println!("{} parameters, loss {:.4}", objective.layout().len(), objective.value()?);
    println!("{:.1} % of other images are classified correctly", 100.0 * trained.accuracy);

    // Both ends by Lanczos, the trace by XTrace, the density by stochastic Lanczos quadrature.
    let top = LanczosConfig::new().with_pairs(12).with_seed(1).init()?.eigenpairs(&hessian)?.report;
    println!("\n{top}");
    let bottom = LanczosConfig::new().with_end(SpectrumEnd::Smallest).init()?;
    let bottom = bottom.eigenpairs(&hessian)?.report;
    println!("\ntrace {}", TraceEstimatorConfig::new().init()?.estimate(&hessian)?);
    let estimator =
        DensityEstimatorConfig::new().with_probes(20).with_steps(80).with_seed(1).init()?;
    let density = estimator.estimate(&hessian)?;

    let width = SMOOTHING * (top.largest() - bottom.smallest());
    let points = density.grid(800, 12.0 * width);
    let curve = density.on_grid(&points, width)?;
    let exact = truth::smoothed(&truth::eigenvalues(&objective)?, &points, width);
    let outliers = top.eigenvalues.get(..CLASSES - 1).unwrap_or_default();
    println!("drawn: {}", picture::draw(&curve, &exact, outliers)?.display());
    Ok(())
}
