//! Training digits that were found for a test digit: listed, drawn and counted.

use std::error::Error;

#[path = "../support/mosaic.rs"]
mod mosaic;

use crate::digits::Digits;
use mosaic::{Mosaic, Tile};

/// A training digit with its score.
pub type Scored = (usize, f64);

/// Lists the digits, and draws them to `target/which_samples.svg` and `.png`.
pub fn draw(
    (query, guess): (&Digits, usize),
    train: &Digits,
    up: &[Scored],
    down: &[Scored],
) -> Result<(), Box<dyn Error>> {
    let mut mosaic = Mosaic::new(up.len());
    let title = format!("a {}, taken for a {guess}", query.labels[0]);
    mosaic.row(&title, [tile(query, 0, None)]);
    for (title, found) in [
        ("push its loss up: its change without them", up),
        ("hold its loss down: its change without them", down),
    ] {
        println!("\nTraining digits that {title}");
        for (sample, score) in found {
            println!("  {sample:4}, a {}: {score:+.4}", train.labels[*sample]);
        }
        mosaic.row(title, found.iter().map(|&(sample, score)| tile(train, sample, Some(score))));
    }
    let [svg, png] = mosaic.save("which_samples")?;
    println!("\n{}\n{}", svg.display(), png.display());
    Ok(())
}

/// An image with its class and score below.
fn tile(digits: &Digits, index: usize, score: Option<f64>) -> Tile {
    let image = digits.select(&[index]);
    let score = score.map(|score| format!(": {score:+.3}")).unwrap_or_default();
    Tile { pixels: image.pixels, caption: format!("{}{score}", image.labels[0]) }
}

/// The share of a class among training digits.
pub fn share(train: &Digits, found: &[Scored], class: i64) -> f64 {
    let own = found.iter().filter(|(sample, _)| train.labels[*sample] == class);
    own.count() as f64 / found.len() as f64
}

/// The training digit that most digits have among theirs, and how many have it.
pub fn most_frequent(train: &Digits, found: &[Vec<Scored>]) -> (usize, usize) {
    let mut counts = vec![0; train.len()];
    found.iter().flatten().for_each(|(sample, _)| counts[*sample] += 1);
    let most = (0..counts.len()).max_by_key(|&sample| counts[sample]).unwrap_or(0);
    (most, counts[most])
}
