//! Which training samples made this prediction? A test digit that a small network takes for another, with the training
//! digits that push its loss up most, and those that hold it down; and those that push up the losses of most of the test digits
//! that it takes for others.
#![allow(clippy::print_stdout)]

#[path = "../../tests/support/digits.rs"]
mod digits;
#[path = "../../tests/support/figures.rs"]
mod figures;
#[path = "../../tests/support/logistic.rs"]
#[allow(dead_code, reason = "a network is asked here, with the same losses")]
mod logistic;
#[path = "../support/mosaic.rs"]
mod mosaic;
#[path = "../../tests/support/random.rs"]
mod random;
#[path = "../support/solve_line.rs"]
mod solve_line;
#[path = "../../tests/support/trained.rs"]
#[allow(dead_code, reason = "the training set is one batch here")]
mod trained;

use std::{error::Error, sync::Mutex};

use burn::prelude::*;
use burn_curvature::{
    ConjugateGradientConfig, Loss, Objective,
    influence::{Curvature, Estimator, InfluenceConfig},
};
use digits::{CLASSES, Digits};
use figures::Figures;
use indicatif::{ProgressBar, ProgressStyle};
use logistic::cross_entropies;
use mosaic::{Mosaic, Tile};
use solve_line::SolveLine;
use trained::{Classifier, Samples, TRAIN_ROWS, Training};

/// w of ½w‖θ‖², which the training has and the closure leaves out.
const DECAY: f64 = 1e-3;
/// Added to the diagonal of the Gauss-Newton matrix besides.
const DAMPING: f64 = 1e-3;
/// Of the residual of a solve, relative to the gradient of the query.
const TOLERANCE: f64 = 1e-5;
const SHOWN: usize = 5;

/// Logits, and the mean of the images' cross-entropies.
fn loss(model: &Classifier, samples: Samples) -> (Tensor<2>, Loss) {
    let labels = samples.1.clone();
    let (logits, _) = trained::loss(model, samples);
    (logits.clone(), Loss::mean_of(cross_entropies(logits, labels)))
}

fn main() -> Result<(), Box<dyn Error>> {
    let weight_decay = Some(DECAY as f32);
    let training = Training { hidden: 24, steps: 600, learning_rate: 0.02, weight_decay };
    let trained = training.run()?;
    let (train, test) = Digits::load()?.split(TRAIN_ROWS, 1); // as in the training
    let device = Device::default().autodiff();
    let objective = Objective::capture(&trained.model, trained.batch, loss)?;
    let tests = objective.on((test.images(&device), test.classes(&device)))?;

    // The digit with the largest loss of all.
    let losses = InfluenceConfig::new(Estimator::Identity).init(&tests)?.training_losses()?;
    let worst = largest(&losses);
    let guesses: Vec<_> = tests.outputs()?.to_vec()?.chunks(CLASSES).map(largest).collect();
    let guess = guesses[worst];
    let of_digits = |indices: &[usize]| {
        let digits = test.select(indices);
        objective.on((digits.images(&device), digits.classes(&device)))
    };
    let (wrong, query) = (test.select(&[worst]), of_digits(&[worst])?);

    let solver = ConjugateGradientConfig::new().with_relative_tolerance(TOLERANCE);
    let line = Mutex::new(SolveLine::new(TOLERANCE)?);
    let influence = InfluenceConfig::new(Estimator::ConjugateGradient(solver))
        .with_curvature(Curvature::GaussNewton)
        .with_damping(DAMPING)
        .with_weight_decay(DECAY)
        .init(&objective)?
        .with_iterations(move |step| line.lock().map_or((), |mut line| line.see(step)));
    let top = influence.top(&query, SHOWN)?;
    println!("{}\n", top.report);
    let (truth, loss) = (wrong.labels[0], losses[worst]);
    println!("test digit {worst} is a {truth}, taken for a {guess}; its loss is {loss:.3}");

    // What pushes up the losses of all that are wrong: the most frequent of their five.
    let is_wrong = |at: &usize| guesses[*at] as i64 != test.labels[*at];
    let all: Vec<usize> = (0..guesses.len()).filter(is_wrong).collect();
    let bar = ProgressBar::new(all.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} digits, {per_sec}, {eta}")?);
    let counter = bar.clone();
    let influence = influence.with_progress(move |now| counter.set_position(now.done as u64));
    let found = influence.top(&of_digits(&all)?, SHOWN)?.smallest;
    bar.finish_and_clear();
    let mut counts = vec![0; train.len()];
    found.iter().flatten().for_each(|(sample, _)| counts[*sample] += 1);
    let most = (0..counts.len()).max_by_key(|&sample| counts[sample]).unwrap_or(0);
    println!(
        "{} test digits are wrong; training digit {most}, a {}, pushes up the losses of {}",
        all.len(),
        train.labels[most],
        counts[most]
    );

    let mut mosaic = Mosaic::new(SHOWN);
    mosaic.row(&format!("a {truth}, taken for a {guess}"), [tile(&wrong, 0, None)]);
    for (title, found) in [
        ("push its loss up: without them it falls by", &top.smallest[0]),
        ("hold its loss down: without them it rises by", &top.largest[0]),
    ] {
        println!("\nTraining digits that {title}");
        for (sample, score) in found {
            println!("  {sample:4}, a {}: {score:+.4}", train.labels[*sample]);
        }
        mosaic.row(title, found.iter().map(|&(sample, score)| tile(&train, sample, Some(score))));
    }
    let [svg, png] = mosaic.save("which_samples")?;
    println!("\n{}\n{}", svg.display(), png.display());

    // Classes of what pushes the loss up and of what holds it down.
    let share = |found: &[(usize, f64)], class: i64| {
        let own = found.iter().filter(|(sample, _)| train.labels[*sample] == class);
        own.count() as f64 / SHOWN as f64
    };
    let mut figures = Figures::default();
    figures.expect("for.of_the_true_class", share(&top.largest[0], truth), 0.8..=1.0);
    figures.note("against.of_the_guessed_class", share(&top.smallest[0], guess as i64));
    figures.expect("warnings", top.report.warnings().len() as f64, 0.0..=0.0);
    figures.note("wrong", all.len() as f64);
    figures.note("wrong.pushed_by_one", counts[most] as f64);
    figures.note("loss", loss);
    if figures.print() { Ok(()) } else { Err("a figure is out of its range".into()) }
}

fn largest(numbers: &[f64]) -> usize {
    (0..numbers.len()).max_by(|&a, &b| numbers[a].total_cmp(&numbers[b])).unwrap_or(0)
}

/// An image with its class and score below.
fn tile(digits: &Digits, index: usize, score: Option<f64>) -> Tile {
    let image = digits.select(&[index]);
    let score = score.map(|score| format!(": {score:+.3}")).unwrap_or_default();
    Tile { pixels: image.pixels, caption: format!("{}{score}", image.labels[0]) }
}
