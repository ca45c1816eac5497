//! Reads the values of a module's parameters.

use std::{collections::HashMap, sync::Arc};

use burn_backend::{AutodiffBackend, TensorMetadata};

use crate::tensor::TensorBridge;

use super::super::{
    InnerFloat, ParamError, ParamLayout, ParamVector, VectorError, scalar::read_tensor,
};
use super::{FloatPlace, LocatedTensor, Place, Visit, expect_identities, float_primitive, missing};

/// Reads the values of the blocks of a layout.
pub(super) struct ValueReader<'a, B: AutodiffBackend> {
    layout: &'a Arc<ParamLayout>,
    positions: HashMap<Place, usize>,
    values: Vec<Option<InnerFloat<B>>>,
    failure: Option<ParamError>,
}

impl<'a, B: AutodiffBackend> ValueReader<'a, B>
where
    B::InnerBackend: TensorBridge,
{
    /// A reader for a model with float tensors in the given places.
    #[inline(never)]
    pub(super) fn new(
        layout: &'a Arc<ParamLayout>,
        places: &[FloatPlace],
    ) -> Result<Self, ParamError> {
        expect_identities(layout)?;
        let positions = layout.positions_in(places)?;
        Ok(Self { layout, positions, values: vec![None; layout.blocks().len()], failure: None })
    }

    /// The vector of what was read.
    #[inline(never)]
    pub(super) fn finish(self) -> Result<ParamVector<B>, ParamError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let values = self.values.into_iter().zip(self.layout.blocks());
        let values = values.map(|(value, block)| value.ok_or_else(|| missing(block)));
        Ok(ParamVector::from_blocks(self.layout, values.collect::<Result<_, _>>()?)?)
    }

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
    #[inline(never)]
    fn tensor(&mut self, found: LocatedTensor<'_>) {
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
