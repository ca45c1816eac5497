//! What a batch is made of besides sizes: kinds and ranks of its tensors, variants, lengths of lists, plain values.

use std::fmt::{self, Display};

use burn::{
    backend::DispatchTensor,
    tensor::{Bool, Int, Tensor},
};
use burn_backend::TensorMetadata;

use crate::{
    capture::{Batch, BatchMapper},
    graph::{Kind, ValueType},
};

/// The structure of a batch, part by part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Structure(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Tensor(Kind, usize),
    Note(String),
}

impl Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Tensor(kind, rank) => write!(f, "{kind:?} of rank {rank}"),
            Part::Note(note) => f.write_str(note),
        }
    }
}

impl Structure {
    /// The parts of `self`, each with ✓ where `expected` has the same one and ✗ where not.
    pub(super) fn compared_with(&self, expected: &Self) -> String {
        let count = self.0.len().max(expected.0.len());
        let parts = (0..count).map(|at| match (self.0.get(at), expected.0.get(at)) {
            (Some(found), Some(expected)) if found == expected => format!("✓ {found}"),
            (Some(found), Some(expected)) => format!("✗ {found} for {expected}"),
            (Some(found), None) => format!("✗ {found} more"),
            (None, expected) => {
                let expected = expected.map(ToString::to_string).unwrap_or_default();
                format!("✗ {expected} is missing")
            }
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// The structure of a batch and its tensors in order, without autodiff association.
pub(super) fn taken_apart<X: Batch>(batch: X) -> (Structure, Vec<DispatchTensor>) {
    let mut collect = Collect { parts: Vec::new(), tensors: Vec::new() };
    drop(batch.map_tensors(&mut collect));
    (Structure(collect.parts), collect.tensors)
}

struct Collect {
    parts: Vec<Part>,
    tensors: Vec<DispatchTensor>,
}

impl Collect {
    fn add(&mut self, tensor: DispatchTensor) {
        let ty = ValueType { shape: tensor.shape(), dtype: tensor.dtype() };
        self.parts.push(Part::Tensor(ty.kind(), ty.shape.num_dims()));
        self.tensors.push(tensor);
    }
}

impl BatchMapper for Collect {
    fn note(&mut self, part: &dyn Display) {
        self.parts.push(Part::Note(part.to_string()));
    }

    #[inline(never)]
    fn map_float<const D: usize>(&mut self, tensor: Tensor<D>) -> Tensor<D> {
        self.add(tensor.clone().without_autodiff().into_dispatch());
        tensor
    }

    #[inline(never)]
    fn map_int<const D: usize>(&mut self, tensor: Tensor<D, Int>) -> Tensor<D, Int> {
        self.add(tensor.clone().without_autodiff().into_dispatch());
        tensor
    }

    #[inline(never)]
    fn map_bool<const D: usize>(&mut self, tensor: Tensor<D, Bool>) -> Tensor<D, Bool> {
        self.add(tensor.clone().without_autodiff().into_dispatch());
        tensor
    }
}
