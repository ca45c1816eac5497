//! Reads the values of a module's parameters.

use std::collections::HashMap;

use burn_backend::{AutodiffBackend, TensorMetadata};

use crate::tensor::TensorBridge;

use super::super::{InnerFloat, ParamError, ParamLayout, VectorError, scalar::read_tensor};
use super::{Found, Place, Visit, float_primitive};

/// Reads the values of the blocks of a layout.
pub(super) struct ValueReader<'a, B: AutodiffBackend> {
    pub(super) layout: &'a ParamLayout,
    pub(super) positions: HashMap<Place, usize>,
    pub(super) values: Vec<Option<InnerFloat<B>>>,
    pub(super) failure: Option<ParamError>,
}

impl<B: AutodiffBackend> ValueReader<'_, B>
where
    B::InnerBackend: TensorBridge,
{
    fn take(
        &mut self,
        position: usize,
        place: Place,
        value: InnerFloat<B>,
    ) -> Result<(), ParamError> {
        let (Some(slot), Some(block)) =
            (self.values.get_mut(position), self.layout.blocks().get(position))
        else {
            return Ok(());
        };
        match slot {
            None => *slot = Some(value),
            Some(first) if !same_values::<B>(first, &value)? => {
                return Err(ParamError::TiedApart {
                    block: block.name().to_string(),
                    alias: place.path,
                });
            }
            Some(_) => {}
        }
        Ok(())
    }
}

impl<B: AutodiffBackend> Visit for ValueReader<'_, B>
where
    B::InnerBackend: TensorBridge,
{
    fn tensor(&mut self, found: Found<'_>) {
        let place = found.place();
        let (Some(position), Some(tensor)) = (self.positions.get(&place).copied(), found.float())
        else {
            return;
        };
        let taken = float_primitive::<B>(tensor)
            .map_err(ParamError::from)
            .and_then(|value| self.take(position, place, value));
        if let Err(failure) = taken {
            self.failure.get_or_insert(failure);
        }
    }
}

/// Whether two tensors hold the same elements, bit for bit. Reads both.
fn same_values<B: AutodiffBackend>(
    a: &InnerFloat<B>,
    b: &InnerFloat<B>,
) -> Result<bool, VectorError> {
    if a.shape() != b.shape() || a.dtype() != b.dtype() {
        return Ok(false);
    }
    let (a, b) = (read_tensor::<B>(a.clone())?, read_tensor::<B>(b.clone())?);
    Ok(a.iter().zip(&b).all(|(a, b)| a.to_bits() == b.to_bits()))
}
