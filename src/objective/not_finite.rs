//! What a loss that is NaN or infinite was computed from: the first tensor that is not finite itself.

use burn_backend::AutodiffBackend;

use super::{ObjectiveError, values::Values};
use crate::{error::Error, graph::Kind, space::VectorError, tensor::Operand};

impl<B: AutodiffBackend> Values<B> {
    /// The error of a loss at these values, on a batch. Reads what the loss was computed from.
    #[inline(never)]
    pub fn not_finite(&self, value: f64, batch: &[Operand<B::InnerBackend>]) -> Error {
        match self.fault(batch) {
            Ok(inputs) => ObjectiveError::NotFiniteLoss { value: value.to_string(), inputs }.into(),
            Err(error) => error,
        }
    }

    /// The elements that are not finite: of the parameters, of one of the model's other tensors, or of one of the batch.
    fn fault(&self, batch: &[Operand<B::InnerBackend>]) -> Result<Option<String>, Error> {
        match self.parameters.expect_finite("θ") {
            Ok(()) => {}
            Err(VectorError::NonFinite { block, count, .. }) => {
                let parameters =
                    format!("{} of the parameters, the first in `{block}`", elements(count));
                return Ok(Some(parameters));
            }
            Err(error) => return Err(error.into()),
        }
        for (buffer, value) in self.buffers.list().iter().zip(self.buffers.values()) {
            if let Some(count) = faults::<B>(value)? {
                return Ok(Some(format!("{} of `{}`", elements(count), buffer.place.path)));
            }
        }
        for (position, value) in batch.iter().enumerate() {
            if let Some(count) = faults::<B>(value)? {
                return Ok(Some(format!("{} of tensor {position} of the batch", elements(count))));
            }
        }
        Ok(None)
    }
}

/// How many elements of a float tensor are NaN or infinite, if any.
fn faults<B: AutodiffBackend>(operand: &Operand<B::InnerBackend>) -> Result<Option<usize>, Error> {
    if operand.kind() != Kind::Float {
        return Ok(None);
    }
    let data = operand.clone().into_data()?;
    let count = data.iter::<f64>().filter(|value| !value.is_finite()).count();
    Ok((count > 0).then_some(count))
}

fn elements(count: usize) -> String {
    match count {
        1 => "1 element".to_string(),
        count => format!("{count} elements"),
    }
}
