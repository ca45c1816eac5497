//! Newton's method next to first-order methods of Burn, on logistic regression in f64: ‖∇h‖ against the gradients and products
//! it takes, each counted as one pass over the data. Drawn to `target/newton.svg`.
#![allow(clippy::print_stdout)]

#[path = "../../tests/support/digits.rs"]
mod digits;
#[path = "../../tests/support/figures.rs"]
mod figures;
mod first_order;
mod picture;
mod problem;
#[path = "../../tests/support/random.rs"]
mod random;

use std::error::Error;

use burn::prelude::*;
use burn_curvature::{
    Objective,
    optim::{NewtonCgConfig, NewtonOptimizer, TrustRegionNewtonConfig},
};
use figures::Figures;
use first_order::{by_descent, by_lbfgs};
use problem::{Logistic, Samples, decayed, samples};

/// ‖∇h‖ at the end of Newton's method.
const GOAL: f64 = 1e-10;
/// Gradients that the other methods may take.
const LIMIT: usize = 1000;

/// Passes over the data so far, and ‖∇h‖.
type Curve = Vec<(f64, f64)>;

fn main() -> Result<(), Box<dyn Error>> {
    let data = samples(&Device::default().autodiff(), 1)?;
    let model = Logistic::new(&data.0.device());
    let objective = Objective::capture(&model, data.clone(), decayed)?.in_f64()?;
    let newton = by_newton(NewtonCgConfig::new().init(&objective)?, &model, &data)?;
    let config = TrustRegionNewtonConfig::new().with_radius(10.0);
    let region = by_newton(config.init(&objective)?, &model, &data)?;
    let descent = by_descent(&model, &data)?;
    let lbfgs = by_lbfgs(&model, &data)?;

    let mut figures = Figures::default();
    let end = |curve: &Curve| curve.last().copied().unwrap_or((f64::NAN, f64::NAN));
    for (name, curve) in [("newton_cg", &newton), ("trust_region", &region)] {
        figures.expect(&format!("{name}.norm"), end(curve).1, 0.0..=GOAL);
        figures.expect(&format!("{name}.steps"), curve.len() as f64 - 1.0, 1.0..=15.0);
        figures.expect(&format!("{name}.passes"), end(curve).0, 1.0..=400.0);
    }
    figures.expect("descent.norm", end(&descent).1, GOAL..=1e-2);
    figures.note("lbfgs.norm", end(&lbfgs).1);
    figures.note("lbfgs.gradients", end(&lbfgs).0);

    println!("drawn: {}", picture::draw([newton, region, descent, lbfgs])?.display());
    if figures.print() { Ok(()) } else { Err("a figure is out of its range".into()) }
}

/// Newton steps until the gradient has vanished.
fn by_newton(
    mut optimizer: NewtonOptimizer,
    start: &Logistic,
    data: &Samples,
) -> Result<Curve, Box<dyn Error>> {
    let (mut model, mut passes, mut curve) = (start.clone(), 0, Curve::new());
    while curve.last().is_none_or(|(_, norm)| *norm > GOAL) && curve.len() < 40 {
        let step;
        (model, step) = optimizer.step(&model, data.clone())?;
        println!("{step}");
        curve.push(((passes + 1) as f64, step.gradient_norm));
        passes += step.gradients + step.products + step.evaluations;
    }
    Ok(curve)
}
