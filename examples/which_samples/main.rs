//! Which training samples made this prediction? A test digit that a small network takes for another, with the training
//! digits that push its loss up most, and those that hold it down.
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
#[path = "../../tests/support/trained.rs"]
#[allow(dead_code, reason = "the training set is one batch here")]
mod trained;

use std::error::Error;

use burn::prelude::*;
use burn_curvature::{
    ConjugateGradientConfig, Loss, Objective,
    influence::{Curvature, Estimator, InfluenceConfig},
};
use digits::Digits;
use figures::Figures;
use logistic::cross_entropies;
use mosaic::{Mosaic, Tile};
use trained::{Classifier, Samples, TRAIN_ROWS, Training};

/// w of ½w‖θ‖², which the training has and the closure leaves out.
const DECAY: f64 = 1e-3;
/// Added to the diagonal of the Gauss-Newton matrix besides.
const DAMPING: f64 = 1e-3;
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
    let worst = (0..losses.len()).max_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0);
    let wrong = test.select(&[worst]);
    let query = objective.on((wrong.images(&device), wrong.classes(&device)))?;
    let guess = query.outputs()?.to_vec()?;
    let guess = (0..guess.len()).max_by(|&a, &b| guess[a].total_cmp(&guess[b])).unwrap_or(0);

    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-5);
    let influence = InfluenceConfig::new(Estimator::ConjugateGradient(solver))
        .with_curvature(Curvature::GaussNewton)
        .with_damping(DAMPING)
        .with_weight_decay(DECAY)
        .init(&objective)?;
    let top = influence.top(&query, SHOWN)?;
    println!("{}\n", top.report);
    let (truth, loss) = (wrong.labels[0], losses[worst]);
    println!("test digit {worst} is a {truth}, taken for a {guess}; its loss is {loss:.3}");

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
    figures.note("loss", loss);
    if figures.print() { Ok(()) } else { Err("a figure is out of its range".into()) }
}

/// An image with its class and score below.
fn tile(digits: &Digits, index: usize, score: Option<f64>) -> Tile {
    let image = digits.select(&[index]);
    let score = score.map(|score| format!(": {score:+.3}")).unwrap_or_default();
    Tile { pixels: image.pixels, caption: format!("{}{score}", image.labels[0]) }
}
