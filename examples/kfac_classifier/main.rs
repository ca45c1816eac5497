//! A convolutional classifier of handwritten digits, trained on mini-batches by K-FAC and by Adam at three learning rates.
#![allow(clippy::print_stdout)]

#[path = "../../tests/support/digits.rs"]
mod digits;
mod network;
#[path = "../../tests/support/random.rs"]
mod random;
mod training;

use std::error::Error;

use burn::tensor::Device;

use digits::Digits;
use training::{ADAM_RATES, TRAIN, accuracy, by_adam, by_kfac, print};

const SEED: u64 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::default().autodiff();
    let (train, test) = Digits::load()?.split(TRAIN, 1);
    let run = by_kfac(&train, SEED, &device)?;
    println!("method           seed   seconds   loss by epoch             accuracy");
    print("K-FAC", SEED, &run, accuracy(&run.model, &test, &device));
    for rate in ADAM_RATES {
        let run = by_adam(&train, SEED, rate, &device);
        print(&format!("Adam, rate {rate}"), SEED, &run, accuracy(&run.model, &test, &device));
    }
    Ok(())
}
