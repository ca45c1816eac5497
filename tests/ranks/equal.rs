//! What ranks compute together is what one process computes.

use burn_curvature::{Error, Objective, communicator::Threads};

use crate::{
    compare::relative_error,
    device, run,
    shares::{self, Figures, Network},
};

/// The figures of 1 to 4 ranks against those of one process; the bits of all ranks are the same.
fn compare(
    figures: fn(&Objective, &Network) -> Result<Figures, Error>,
    tolerance: f64,
    sizes: impl IntoIterator<Item = usize>,
) {
    let one = || {
        let model = Network::new(4, &device());
        figures(&shares::risk::<Threads>(&model, None, &device())?, &model)
    };
    let expected = one().unwrap();
    for size in sizes {
        let found = run(size, move |ranks| {
            let model = Network::new(4, &device());
            figures(&shares::risk(&model, Some(ranks), &device())?, &model)
        });
        let found: Vec<Figures> = found.into_iter().map(Result::unwrap).collect();
        for (rank, figures) in found.iter().enumerate() {
            assert_eq!(figures.len(), expected.len());
            for ((name, own), (same, first)) in figures.iter().zip(&found[0]) {
                assert_eq!(name, same);
                let bits = |values: &[f64]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(own), bits(first), "{name} on rank {rank} of {size}");
            }
        }
        for ((name, own), (_, truth)) in found[0].iter().zip(&expected) {
            let error = relative_error(own, truth);
            assert!(error < tolerance, "{name} by {size} ranks: {error:e}");
            assert!(truth.iter().any(|&x| x != 0.0), "{name} is zero");
        }
    }
}

#[test]
fn values_gradients_and_products() {
    compare(|risk, _| shares::products(risk), 1e-12, 1..=4);
}

#[test]
fn kfac_factors_and_diagonals() {
    compare(|risk, _| shares::kfac(risk), 1e-12, 1..=4);
}

#[test]
fn solves_and_spectra() {
    compare(|risk, _| shares::solves(risk), 1e-10, 2..=4);
}

#[test]
fn five_steps_of_the_kfac_optimizer() {
    compare(shares::training, 1e-9, 2..=4);
}
