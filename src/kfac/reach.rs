//! A numerical check that cotangents of samples reach no rows of others, in addition to what the program shows. Depends
//! on layers and their programs; independent of moments.

use burn_backend::AutodiffBackend;

use super::{
    KfacError,
    layers::{NetworkLayers, Separation},
    program,
};
use crate::{
    error::Error,
    graph::Graph,
    objective::{Checked, Derivation, Objective},
};

/// A program that checks numerically which rows a sample reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ReachProgram(Separation);

impl Derivation for ReachProgram {
    type Notes = Checked;

    fn derive(&self, loss: &Graph, parameters: usize) -> Result<(Graph, Checked), Error> {
        let network = NetworkLayers::of(loss, parameters, self.0);
        Ok((program::reach(&network, parameters)?, Checked::new()))
    }
}

/// Checks on the first batch that cotangents of samples reach no rows of others, in layers whose samples are known by the
/// program. One forward pass and two backward passes, once per recording.
pub(super) fn expect_own_rows<B: AutodiffBackend>(
    objective: &Objective<B>,
    network: &NetworkLayers,
    separation: Separation,
) -> Result<(), Error> {
    objective.checked_once(&ReachProgram(separation), |sums| {
        for (layer, sums) in network.layers.iter().zip(sums) {
            let sums: Vec<f64> = sums.into_data()?.iter::<f64>().collect();
            if reaches_others(&sums) {
                let parameter = objective.layout().name_at(layer.weight);
                let operation = "an operation found by numbers alone".into();
                return Err(KfacError::Places { parameter, operation }.into());
            }
        }
        Ok(())
    })
}

/// Whether rows do not follow their own samples: from Σ (h − cₙ g)² and Σ (cₙ g)² of each sample. What is not finite is refused
/// by others.
pub(super) fn reaches_others(sums: &[f64]) -> bool {
    let pairs = sums.as_chunks::<2>().0;
    let mean = pairs.iter().map(|[_, own]| own).sum::<f64>() / pairs.len().max(1) as f64;
    pairs.iter().any(|[difference, own]| *difference > ROUNDING * (own + ROUNDING * mean))
}

/// Square of the relative difference that counts as rounding. A device may add in varying order.
const ROUNDING: f64 = 1e-6;
