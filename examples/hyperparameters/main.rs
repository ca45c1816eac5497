//! One weight decay for every weight of a digits classifier, 650 of them, trained by implicit differentiation on 50
//! validation images. The validation loss falls to almost nothing. The test accuracy rises at first, as the decays learn
//! which pixels count, and then falls: as many hyperparameters as parameters overfit the validation set. Drawn to
//! `target/hyperparameters.svg`.
#![allow(clippy::print_stdout)]

#[path = "../../tests/support/digits.rs"]
mod digits;
#[path = "../../tests/support/figures.rs"]
mod figures;
mod picture;
#[path = "../../tests/support/random.rs"]
mod random;
mod training;

use std::error::Error;

use burn::tensor::Device;
use burn_curvature::{
    ConjugateGradientConfig,
    implicit::{ImplicitConfig, InnerSolver},
};
use digits::Digits;
use figures::Figures;
use training::{Problem, best_of};

const STEPS: usize = 300;
/// The validation loss is small long before the test accuracy has fallen.
const HALF: usize = STEPS / 2;

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::default().autodiff();
    let mut problem = Problem::new(&Digits::load()?, 1, &device)?;
    let mut figures = Figures::default();

    // The first hypergradient, in f64 and with a bound on its error.
    let inner = problem.inner.in_f64()?;
    let (inner, _) = InnerSolver::NewtonCg { steps: 30, gradient_norm: 1e-9 }.minimize(&inner)?;
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-6).init()?;
    let function = ImplicitConfig::new().init(&inner)?;
    let report = function.hypergradient(&problem.validation.in_f64()?, &solver)?.report;
    println!("{report}");
    figures.expect("start.error_bound", report.error.map_or(1.0, |e| e.total()), 0.0..=1e-5);

    let clock = std::time::Instant::now();
    let curve = problem.train(STEPS)?;
    figures.note("seconds", clock.elapsed().as_secs_f64());
    let (first, half, last) = (curve[0], curve[HALF], curve[STEPS]);
    figures.expect("start.validation_loss", first.validation_loss, 0.5..=2.0);
    figures.expect("half.validation_loss", half.validation_loss, 0.0..=0.02);
    figures.expect("end.validation_loss", last.validation_loss, 0.0..=0.002);
    let [validation, _] = problem.accuracies()?;
    figures.expect("end.validation_accuracy", validation, 1.0..=1.0);
    figures.note("start.test_loss", first.test_loss);
    figures.expect("end.test_loss", last.test_loss, 0.5..=10.0);
    let (step, best) = best_of(&curve);
    figures.note("start.test_accuracy", first.test_accuracy);
    figures.note("best.test_accuracy", best);
    figures.note("best.step", step as f64);
    figures.note("end.test_accuracy", last.test_accuracy);
    figures.expect("test_accuracy.fall", best - last.test_accuracy, 0.05..=0.3);
    println!("drawn: {}", picture::draw(&curve)?.display());
    if figures.print() { Ok(()) } else { Err("a figure is out of its range".into()) }
}
