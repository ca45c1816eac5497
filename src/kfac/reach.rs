//! A check by numbers that a cotangent of one sample reaches no rows of others. Depends on layers and their programs;
//! independent of moments.

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

/// A program that checks by numbers which rows a sample reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ReachProgram(Separation);

impl Derivation for ReachProgram {
    type Notes = Checked;

    fn derive(&self, loss: &Graph, parameters: usize) -> Result<(Graph, Checked), Error> {
        let network = NetworkLayers::of(loss, parameters, self.0);
        Ok((program::reach(&network, parameters)?, Checked::new()))
    }
}

/// Checks on the first batch that a cotangent of one sample reaches no rows of others, in layers whose samples are known.
/// One pass forward and one back, once per recording.
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

/// Whether rows of others than the first sample were reached.
pub(super) fn reaches_others(sums: &[f64]) -> bool {
    let own = sums.first().copied().unwrap_or(0.0);
    let others = sums.iter().skip(1).fold(0.0_f64, |most, sum| most.max(*sum));
    others > f64::from(f32::EPSILON) * own
}
