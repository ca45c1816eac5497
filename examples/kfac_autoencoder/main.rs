//! K-FAC against first-order methods on a deep autoencoder of handwritten digits, 64-48-24-12-6-12-24-48-64. Drawn to
//! `target/kfac_autoencoder.svg`. `tests/reproduce` does the same from three starting points.
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
use training::{ADAM_RATES, IMAGES, LIMIT, NESTEROV_RATES, best_adam, best_nesterov, by_kfac};

/// Of the starting point.
const SEED: u64 = 1;
/// First-order methods are stopped after this many times the steps that K-FAC took.
const TIMES: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::default().autodiff();
    let images = Digits::load()?.split(IMAGES, 1).0.images(&device);
    println!("method       rate   seed   steps    seconds   squared error");
    let kfac = [by_kfac(&images, SEED, LIMIT)?];
    let limit = TIMES * kfac[0].errors.len();
    let nesterov = [best_nesterov(&images, SEED, &NESTEROV_RATES, limit)];
    let adam = [best_adam(&images, SEED, &ADAM_RATES, limit)];
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
