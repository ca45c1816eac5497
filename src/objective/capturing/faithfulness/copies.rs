//! A copy of a model and its batch on another device or in f64, which shares nothing with them.

use std::collections::{HashMap, HashSet};

use burn::{
    backend::DispatchTensor,
    module::{Flag, Module, Param, ParamId},
    tensor::{Bool, DType, Device, FloatDType, Int, Tensor},
};

use crate::{
    capture::{Batch, BatchMapper},
    space::{LocatedTensor, Place, Replace, Visit, replace, visit},
};

/// Where a copy is, and in which precision.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    /// Without autodiff.
    pub device: Device,
    /// Whether floats become f64; otherwise they stay what they are.
    pub in_f64: bool,
}

impl Destination {
    /// A copy of a model, in its mode and with its trainable parameters.
    ///
    /// `valid`, not `clone`: clones share their running statistics, and all of them would move.
    pub fn model<M: Module>(&self, model: &M) -> M {
        let mut alike = Alike { in_f64: self.in_f64, ..Alike::default() };
        visit(model, &mut alike);
        replace(model.valid().to_device(&self.device).train(), &mut alike)
    }

    /// A copy of a batch. What records in it records there.
    pub fn batch<X: Batch>(&self, batch: &X) -> X {
        batch.clone().map_tensors(&mut Moving(self))
    }
}

/// What a copy takes from its model: flags, and which tensors require a gradient.
#[derive(Default)]
struct Alike {
    in_f64: bool,
    flags: HashMap<ParamId, bool>,
    trainable: HashSet<Place>,
}

impl Visit for Alike {
    fn tensor(&mut self, found: LocatedTensor<'_>) {
        if found.float().is_some_and(|tensor| tensor.is_require_grad()) {
            self.trainable.insert(found.place());
        }
    }

    fn flag(&mut self, flag: &Param<Flag>, _path: &[(String, String)]) {
        self.flags.insert(flag.id, flag.is_enabled());
    }
}

impl Replace for Alike {
    fn tensor(&mut self, found: LocatedTensor<'_>) -> Option<DispatchTensor> {
        let (old, trains) = (found.float()?, self.trainable.contains(&found.place()));
        if !self.in_f64 && old.is_require_grad() == trains {
            return None;
        }
        let value = stored(old.without_autodiff(), self.in_f64);
        Some(Tensor::from_inner(value).set_require_grad(trains).into_dispatch())
    }

    fn flag(&mut self, id: ParamId) -> Option<bool> {
        self.flags.get(&id).copied()
    }
}

/// Moves the tensors of a batch.
struct Moving<'a>(&'a Destination);

macro_rules! moved {
    ($self:ident, $tensor:ident, $stored:expr) => {{
        let records = $tensor.device().is_autodiff();
        let tensor = $stored($tensor.without_autodiff().to_device(&$self.0.device));
        if records { Tensor::from_inner(tensor) } else { tensor }
    }};
}

impl BatchMapper for Moving<'_> {
    #[inline(never)]
    fn map_float<const D: usize>(&mut self, tensor: Tensor<D>) -> Tensor<D> {
        moved!(self, tensor, |tensor| stored(tensor, self.0.in_f64))
    }

    #[inline(never)]
    fn map_int<const D: usize>(&mut self, tensor: Tensor<D, Int>) -> Tensor<D, Int> {
        moved!(self, tensor, |tensor| tensor)
    }

    #[inline(never)]
    fn map_bool<const D: usize>(&mut self, tensor: Tensor<D, Bool>) -> Tensor<D, Bool> {
        moved!(self, tensor, |tensor| tensor)
    }
}

fn stored<const D: usize>(tensor: Tensor<D>, in_f64: bool) -> Tensor<D> {
    if in_f64 && tensor.dtype() != DType::F64 { tensor.cast(FloatDType::F64) } else { tensor }
}
