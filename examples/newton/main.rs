//! Newton's method beside first-order methods of Burn, on logistic regression in f64: ‖∇h‖ against the gradients and products
//! it takes, each counted as one pass over the data. Drawn to `target/newton.svg`.
#![allow(clippy::print_stdout)]

#[path = "../../tests/support/digits.rs"]
mod digits;
#[path = "../../tests/support/figures.rs"]
mod figures;
#[path = "../support/page.rs"]
mod page;
mod problem;
#[path = "../../tests/support/random.rs"]
mod random;

use std::error::Error;

use burn::{
    optim::{GradientsParams, LBFGSConfig, LineSearchFn, SgdConfig},
    prelude::*,
};
use burn_curvature::{
    Objective,
    optim::{NewtonCgConfig, NewtonOptimizer, TrustRegionNewtonConfig},
};
use figures::Figures;
use page::{Axis, Chart, Scale};
use plotters::style::RGBColor;
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
    println!("drawn: {}", chart.save("newton")?.display());
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

/// Gradient descent at 1/L: softplus has curvature ¼ at most, and the images have norm 1.
fn by_descent(start: &Logistic, data: &Samples) -> Result<Curve, Box<dyn Error>> {
    let (mut model, mut optimizer, mut curve) =
        (start.clone(), SgdConfig::new().init(), Curve::new());
    for step in 1..=LIMIT {
        let gradients = decayed(&model, data.clone()).backward();
        let norm = model.w.val().grad(&gradients).map(|g| g.powf_scalar(2.0).sum().sqrt());
        curve.push((step as f64, norm.ok_or("no gradient")?.into_scalar::<f64>()));
        let gradients = GradientsParams::from_grads(gradients, &model);
        model = optimizer.step(1.0 / (0.25 + problem::DECAY), model, gradients);
    }
    Ok(curve)
}

/// L-BFGS of Burn with the strong Wolfe conditions.
fn by_lbfgs(start: &Logistic, data: &Samples) -> Result<Curve, Box<dyn Error>> {
    let config = LBFGSConfig::new().with_max_iter(LIMIT).with_max_eval(Some(LIMIT));
    let config = config.with_line_search_fn(LineSearchFn::StrongWolfe);
    let mut lbfgs = config.with_tolerance_grad(GOAL).with_tolerance_change(0.0).init();
    let (mut curve, mut failure) = (Curve::new(), None);
    lbfgs.step(1.0, start.clone(), |model: Logistic| {
        let loss = decayed(&model, data.clone());
        let value = loss.clone().into_scalar::<f64>();
        let gradients = loss.backward();
        let norm = model.w.val().grad(&gradients).map(|g| g.powf_scalar(2.0).sum().sqrt());
        match norm {
            Some(norm) => curve.push((curve.len() as f64 + 1.0, norm.into_scalar::<f64>())),
            None => failure = Some("no gradient"),
        }
        (value, GradientsParams::from_grads(gradients, &model))
    });
    failure.map_or(Ok(curve), |failure| Err(failure.into()))
}
