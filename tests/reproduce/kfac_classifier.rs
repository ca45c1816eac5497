//! A convolutional classifier of handwritten digits, trained by K-FAC in the light mode and by Adam.

#[path = "../../examples/kfac_classifier/network.rs"]
pub mod network;
#[path = "../../examples/kfac_classifier/training.rs"]
pub mod training;

use burn::tensor::Device;

use crate::{Outcome, digits::Digits, figures::Figures, preconditioners};
use training::{ADAM_RATES, TRAIN, Trained, accuracy, by_adam, by_kfac, print};

#[test]
#[ignore = "takes a while, see main.rs"]
fn kfac_classifier() -> Outcome {
    let device = Device::default().autodiff();
    let (train, test) = Digits::load()?.split(TRAIN, 1);
    let mut figures = Figures::default();
    let mut last = None;
    for seed in [1, 2, 3] {
        let kfac = by_kfac(&train, seed, &device)?;
        let share = accuracy(&kfac.model, &test, &device);
        print("K-FAC", seed, &kfac, share);
        let adam = ADAM_RATES.map(|rate| by_adam(&train, seed, rate, &device));
        for (rate, run) in ADAM_RATES.iter().zip(&adam) {
            print(&format!("Adam, rate {rate}"), seed, run, accuracy(&run.model, &test, &device));
        }
        figures.expect(&format!("kfac.{seed}.accuracy"), share, 0.9..=1.0);
        let end = |run: &Trained| run.losses.last().copied().unwrap_or(f64::NAN);
        let best = adam.iter().map(end).fold(f64::INFINITY, f64::min);
        figures.note(&format!("adam.{seed}.loss"), best);
        // The best of three rates of Adam.
        figures.expect(&format!("kfac.{seed}.loss"), end(&kfac), 0.0..=best);
        figures.note(&format!("kfac.{seed}.seconds"), kfac.time.as_secs_f64());
        figures.note(&format!("adam.{seed}.seconds"), adam[0].time.as_secs_f64());
        last = Some(kfac.model);
    }
    let model = last.ok_or("no network was trained")?;
    preconditioners::check(&model, &train, &mut figures)?;
    assert!(figures.print());
    Ok(())
}
