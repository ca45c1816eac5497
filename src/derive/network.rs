//! A loss program in two: from the inputs to the model's outputs z, and from z to the loss.

use super::DeriveError;
use crate::graph::{Graph, ValueId};

/// The network z = f_θ(x), and the head ℓ(z, y).
pub(crate) struct Network {
    /// Inputs as the loss program's, one output: z.
    pub network: Graph,
    /// Inputs z and then the batch, one output: the loss.
    pub head: Graph,
}

impl Network {
    /// Cuts a loss program at the outputs that its closure returned.
    ///
    /// # Errors
    /// [`DeriveError::NoOutputs`], [`DeriveError::UnusedOutputs`], [`DeriveError::Bypass`].
    pub fn of(loss: &Graph, parameters: usize) -> Result<Self, DeriveError> {
        let &[value, outputs] = loss.outputs() else {
            return Err(DeriveError::NoOutputs);
        };
        let network = loss.returning(vec![outputs]);
        let (head, cut) = loss.returning(vec![value]).with_value_as_input(outputs);
        let of = |inputs: &[ValueId]| head.dependents(inputs).contains(&head.outputs()[0]);
        if !of(&[cut]) {
            return Err(DeriveError::UnusedOutputs);
        }
        let (own, batch) = loss.inputs().split_at(parameters);
        let bypass: Vec<usize> = (0..parameters).filter(|&index| of(&[own[index]])).collect();
        if !bypass.is_empty() {
            return Err(DeriveError::Bypass { parameters: bypass });
        }
        let inputs = std::iter::once(cut).chain(batch.iter().copied()).collect();
        Ok(Self { network, head: head.taking(inputs).without_dead_code() })
    }
}
