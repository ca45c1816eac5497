//! Can ten images stand for a thousand? A linear classifier is trained on ten images alone, one for each digit, and the images
//! are hyperparameters: hypergradients of its loss on a thousand digits move them. Drawn to `target/distilled.svg` and `.png`.
#![allow(clippy::print_stdout)]

#[path = "../../tests/support/digits.rs"]
mod digits;
#[path = "../../tests/support/figures.rs"]
mod figures;
#[path = "../../tests/support/logistic.rs"]
#[allow(dead_code, reason = "trained on distilled images here")]
mod logistic;
#[path = "../support/mosaic.rs"]
mod mosaic;
#[path = "../../tests/support/random.rs"]
mod random;
mod training;

use std::error::Error;

use digits::{CLASSES, Digits, PIXELS};
use figures::Figures;
use indicatif::{ProgressBar, ProgressStyle};
use mosaic::{Mosaic, Tile};
use training::distill;

const SEED: u64 = 1;
const STEPS: usize = 60;

fn main() -> Result<(), Box<dyn Error>> {
    let bar = ProgressBar::new(STEPS as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} steps, {msg}, {eta} left")?);
    let mut losses = Vec::new();
    let found = distill(&Digits::load()?, SEED, STEPS, |step, loss| {
        bar.set_position(step as u64);
        bar.set_message(format!("loss {loss:.4}"));
        losses.push(loss);
    })?;
    bar.finish_and_clear();

    let mut mosaic = Mosaic::new(CLASSES);
    let (first, last) = (found.accuracies[0], found.accuracies[STEPS]);
    let title = |name: &str, accuracy: f64| {
        format!(
            "{name}: trained on these ten alone, {:.1} % of other digits are right",
            100.0 * accuracy
        )
    };
    mosaic.row(&title("the first of each digit", first), tiles(&found.before));
    mosaic.row(&title("distilled", last), tiles(&found.after));
    let [svg, png] = mosaic.save("distilled")?;
    println!("{}\n{}", svg.display(), png.display());

    let mut figures = Figures::default();
    figures.note("accuracy.before", first);
    figures.expect("accuracy.after", last, 0.85..=1.0);
    figures.expect("accuracy.gain", last - first, 0.05..=1.0);
    figures.expect("loss.fall", losses[0] - losses[STEPS], 0.1..=f64::INFINITY);
    // The images are no digits any more: what a classifier learns most from is not what it is shown later.
    let moved = found.after.iter().zip(&found.before).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    figures.note("pixels.moved", (moved / found.before.len() as f64).sqrt());
    if figures.print() { Ok(()) } else { Err("a figure is out of its range".into()) }
}

/// The images with the digits that they stand for; pixels below 0 are white, and above 1 black.
fn tiles(pixels: &[f64]) -> impl Iterator<Item = Tile> {
    let images = pixels.chunks(PIXELS).enumerate();
    images.map(|(digit, pixels)| Tile {
        pixels: pixels.iter().map(|&pixel| pixel as f32).collect(),
        caption: digit.to_string(),
    })
}
