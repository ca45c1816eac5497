//! K-FAC against first-order methods on a deep autoencoder, over three starting points: steps and times to a goal.

#[path = "../../examples/kfac_autoencoder/network.rs"]
pub mod network;
#[path = "../../examples/kfac_autoencoder/training.rs"]
mod training;

use burn::tensor::Device;

use crate::{Outcome, digits::Digits, figures::Figures};
use training::{ADAM_RATES, IMAGES, LIMIT, NESTEROV_RATES, Run, best_adam, best_nesterov, by_kfac};

/// First-order methods must need more than this many times the steps of K-FAC, and are stopped there.
const TIMES: usize = 8;

#[test]
#[ignore = "takes a while, see main.rs"]
fn kfac_autoencoder() -> Outcome {
    let device = Device::default().autodiff();
    let images = Digits::load()?.split(IMAGES, 1).0.images(&device);
    let mut figures = Figures::default();
    let (mut kfac, mut nesterov, mut adam) = (Vec::new(), Vec::new(), Vec::new());
    // The rates that are best for the first starting point serve the others.
    let (mut nesterov_rates, mut adam_rates) = (NESTEROV_RATES.to_vec(), ADAM_RATES.to_vec());
    for seed in [1, 2, 3] {
        let ours = by_kfac(&images, seed, LIMIT)?;
        let limit = TIMES * ours.errors.len();
        let first = best_nesterov(&images, seed, &nesterov_rates, limit);
        let second = best_adam(&images, seed, &adam_rates, limit);
        (nesterov_rates, adam_rates) = (vec![first.rate], vec![second.rate]);
        compare(&mut figures, seed, &ours, [&first, &second]);
        kfac.push(ours);
        nesterov.push(first);
        adam.push(second);
    }
    for (name, runs) in [("nesterov", &nesterov), ("adam", &adam)] {
        compare_times(&mut figures, name, runs, &kfac);
    }
    assert!(figures.print());
    Ok(())
}

fn compare(figures: &mut Figures, seed: u64, kfac: &Run, others: [&Run; 2]) {
    let steps = kfac.steps().map_or(f64::INFINITY, |steps| steps as f64);
    figures.expect(&format!("kfac.{seed}.steps"), steps, 1.0..=LIMIT as f64);
    figures.note(&format!("kfac.{seed}.seconds"), kfac.time.as_secs_f64());
    for (name, run) in ["nesterov", "adam"].into_iter().zip(others) {
        // A run that was stopped took at least as many steps as it was given, and as much time.
        let taken = run.steps().unwrap_or(run.errors.len()) as f64;
        figures.note(&format!("{name}.{seed}.steps"), taken);
        figures.note(&format!("{name}.{seed}.seconds"), run.time.as_secs_f64());
        figures.expect(
            &format!("{name}.{seed}.steps_ratio"),
            taken / steps,
            TIMES as f64..=f64::INFINITY,
        );
        figures.note(&format!("{name}.{seed}.time_ratio"), time_ratio(run, kfac));
    }
}

/// The middle of the seeds must take less time: one may fall into a slow spell of the machine.
fn compare_times(figures: &mut Figures, name: &str, runs: &[Run], kfac: &[Run]) {
    let mut ratios: Vec<f64> = runs.iter().zip(kfac).map(|(a, b)| time_ratio(a, b)).collect();
    ratios.sort_by(f64::total_cmp);
    let name = format!("{name}.time_ratio");
    figures.expect(&name, ratios[ratios.len() / 2], 1.0..=f64::INFINITY);
}

fn time_ratio(run: &Run, kfac: &Run) -> f64 {
    run.time.as_secs_f64() / kfac.time.as_secs_f64()
}
