//! Which training samples made this prediction? A test digit that a small network takes for another, with the training
//! digits that push its loss up most, and those that hold it down; and those that push up the losses of most of the test digits
//! that it takes for others.
#![allow(clippy::print_stdout)]

#[path = "../../tests/support/digits.rs"]
mod digits;
#[path = "../../tests/support/figures.rs"]
mod figures;
mod found;
mod network;
mod progress;
#[path = "../../tests/support/random.rs"]
mod random;
#[path = "../../tests/support/trained.rs"]
#[allow(dead_code, reason = "the training set is one batch here")]
mod trained;

use burn_curvature::{
    ConjugateGradientConfig,
    influence::{Curvature, Estimator, InfluenceConfig},
};
use figures::Figures;
use network::{DECAY, Network, guesses, largest};

/// Added to the diagonal of the Gauss-Newton matrix besides the decay.
const DAMPING: f64 = 1e-3;
/// Of the residual of a solve, relative to the gradient of the query.
const TOLERANCE: f64 = 1e-5;
const SHOWN: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let network = Network::trained()?;
    let (train, test) = (&network.train, &network.test);
    let tests = network.on_tests(&(0..test.len()).collect::<Vec<_>>())?;

    // The digit with the largest loss of all.
    let losses = InfluenceConfig::new(Estimator::Identity).init(&tests)?.training_losses()?;
    let (worst, guesses) = (largest(&losses), guesses(&tests)?);
    let (truth, guess, loss) = (test.labels[worst], guesses[worst], losses[worst]);

    // What its loss would be without each training digit.
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(TOLERANCE);
    let influence = InfluenceConfig::new(Estimator::ConjugateGradient(solver))
        .with_curvature(Curvature::GaussNewton)
        .with_damping(DAMPING)
        .with_weight_decay(DECAY)
        .init(&network.objective)?
        .with_iterations(progress::of_solves(TOLERANCE)?);
    let top = influence.top(&network.on_tests(&[worst])?, SHOWN)?;
    println!("{}\n", top.report);
    println!("test digit {worst} is a {truth}, taken for a {guess}; its loss is {loss:.3}");

    // What pushes up the losses of all that are wrong: the most frequent of their five.
    let is_wrong = |at: &usize| guesses[*at] as i64 != test.labels[*at];
    let wrong: Vec<usize> = (0..guesses.len()).filter(is_wrong).collect();
    let bar = progress::of_digits(wrong.len())?;
    let counter = bar.clone();
    let influence = influence.with_progress(move |now| counter.set_position(now.done as u64));
    let pushing = influence.top(&network.on_tests(&wrong)?, SHOWN)?.smallest;
    bar.finish_and_clear();
    let (most, pushed) = found::most_frequent(train, &pushing);
    let (count, label) = (wrong.len(), train.labels[most]);
    println!(
        "{count} test digits are wrong; training digit {most}, a {label}, pushes up the losses of {pushed}"
    );

    let (up, down) = (&top.smallest[0], &top.largest[0]);
    found::draw((&test.select(&[worst]), guess), train, up, down)?;
    let mut figures = Figures::default();
    figures.expect("for.of_the_true_class", found::share(train, down, truth), 0.8..=1.0);
    figures.note("against.of_the_guessed_class", found::share(train, up, guess as i64));
    figures.expect("warnings", top.report.warnings().len() as f64, 0.0..=0.0);
    figures.note("wrong", count as f64);
    figures.note("wrong.pushed_by_one", pushed as f64);
    figures.note("loss", loss);
    if figures.print() { Ok(()) } else { Err("a figure is out of its range".into()) }
}
