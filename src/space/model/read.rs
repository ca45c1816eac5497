//! Reads the values of a module's parameters.

use std::collections::HashMap;

use burn::{
    Tensor,
    module::{ModuleVisitor, Param},
};
use burn_backend::{AutodiffBackend, TensorMetadata};

use crate::tensor::TensorBridge;

use super::super::{InnerFloat, ParamError, ParamLayout, VectorError, scalar::read_tensor};
use super::{Path, Place, float_primitive};

/// Reads the values of the blocks of a layout.
pub(super) struct ValueReader<'a, B: AutodiffBackend> {
    pub(super) layout: &'a ParamLayout,
    pub(super) positions: HashMap<Place, usize>,
    pub(super) values: Vec<Option<InnerFloat<B>>>,
    pub(super) path: Path,
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

impl<B: AutodiffBackend> ModuleVisitor for ValueReader<'_, B>
where
    B::InnerBackend: TensorBridge,
{
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.leave();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let place = self.path.place(param.id);
        let Some(position) = self.positions.get(&place).copied() else {
            return;
        };
        let taken = float_primitive::<B, D>(param.val())
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
