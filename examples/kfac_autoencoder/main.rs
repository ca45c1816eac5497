//! K-FAC against first-order methods on a deep autoencoder of handwritten digits, 64-48-24-12-6-12-24-48-64, over three
//! starting points. Drawn to `target/kfac_autoencoder.svg`.
#![allow(clippy::print_stdout)]

#[path = "../../tests/support/digits.rs"]
mod digits;
mod network;
#[path = "../support/page.rs"]
mod page;
mod picture;
#[path = "../../tests/support/random.rs"]
mod random;
mod training;

use std::error::Error;

use burn::tensor::Device;

use digits::Digits;
use picture::Curves;
use plotters::style::RGBColor;
use training::{IMAGES, LIMIT, TIMES, best_adam, best_nesterov, by_kfac};

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::default().autodiff();
    let images = Digits::load()?.split(IMAGES, 1).0.images(&device);
    let (mut kfac, mut nesterov, mut adam) = (Vec::new(), Vec::new(), Vec::new());
    println!("method                 seed   steps    seconds   squared error");
    for seed in [1, 2, 3] {
        let run = by_kfac(&images, seed, LIMIT)?;
        let limit = TIMES * run.errors.len();
        kfac.push(run);
        nesterov.push(best_nesterov(&images, seed, limit));
        adam.push(best_adam(&images, seed, limit));
    }
    let curves = [
        Curves {
            method: "Nesterov, best of four rates",
            color: RGBColor(26, 99, 168),
            runs: &nesterov,
        },
        Curves { method: "Adam, best of two rates", color: RGBColor(70, 140, 70), runs: &adam },
        Curves { method: "K-FAC", color: RGBColor(204, 68, 34), runs: &kfac },
    ];
    println!("drawn: {}", picture::draw(&curves)?.display());
    Ok(())
}
