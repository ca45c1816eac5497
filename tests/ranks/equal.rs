//! What ranks compute together is what one process computes.

use std::sync::Arc;

use burn_curvature::{Error, Objective, communicator::Threads};

use crate::{
    applied,
    compare::relative_error,
    device, newton, run,
    shares::{self, Figures, Network},
};

/// The figures of 1 to 4 ranks against those of one process; the bits of all ranks are the same.
pub fn compare(
    figures: impl Fn(&Network, Option<Arc<Threads>>) -> Result<Figures, Error>
    + Copy
    + Send
    + Sync
    + 'static,
    tolerance: f64,
    sizes: impl IntoIterator<Item = usize>,
) {
    let expected = figures(&Network::new(4, &device()), None).unwrap();
    for size in sizes {
        let found = run(size, move |ranks| figures(&Network::new(4, &device()), Some(ranks)));
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

/// In f32 sums depend on the number of ranks in the last bits, and are the same on all of them. The loss is summed in f64.
#[test]
fn single_precision() {
    let of = |model: &Network, ranks: Option<Arc<Threads>>| {
        let single = burn_curvature::Precision::F32;
        let risk = shares::risk(model, ranks, &device())?.in_precision(single)?;
        let v = risk.parameters().space().normal(1);
        let both = risk.value_and_gradient()?;
        let solution = shares::solution(&risk, 1e-4)?;
        Ok(vec![
            ("value".into(), vec![risk.value()?, both.value]),
            ("gradient".into(), both.gradient.to_vec()?),
            ("Hv".into(), risk.hessian_vector_product(&v)?.to_vec()?),
            ("solution".into(), solution.x.to_vec()?),
        ])
    };
    compare(of, 1e-4, 2..=4);
}

/// Figures of the objective over all batches.
fn of_risk(
    figures: fn(&Objective, &Network) -> Result<Figures, Error>,
) -> impl Fn(&Network, Option<Arc<Threads>>) -> Result<Figures, Error> + Copy {
    move |model, ranks| figures(&shares::risk(model, ranks, &device())?, model)
}

#[test]
fn values_gradients_and_products() {
    compare(of_risk(|risk, _| shares::products(risk)), 1e-12, 1..=4);
}

#[test]
fn outputs_and_the_jacobian() {
    compare(of_risk(|risk, _| shares::rows(risk)), 1e-12, 1..=4);
}

#[test]
fn proximal_bregman_responses() {
    compare(|model, ranks| applied::responses(model, ranks, &device()), 1e-12, 1..=4);
}

#[test]
fn kfac_factors_and_diagonals() {
    compare(of_risk(|risk, _| shares::kfac(risk)), 1e-12, 1..=4);
}

#[test]
fn solves_and_spectra() {
    compare(of_risk(|risk, _| shares::solves(risk)), 1e-12, 1..=4);
}

#[test]
fn five_steps_of_the_kfac_optimizer() {
    compare(of_risk(shares::training), 1e-12, 1..=4);
}

#[test]
fn influences_by_row() {
    compare(|model, ranks| applied::influences(model, ranks, &device()), 1e-12, 1..=4);
}

#[test]
fn a_hypergradient() {
    compare(|model, ranks| applied::hypergradient(model, ranks, &device()), 1e-12, 1..=4);
}

#[test]
fn newton_type_steps() {
    compare(newton::steps, 1e-6, 1..=4);
}
