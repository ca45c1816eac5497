//! One visitor and one mapper of Burn's modules, for every purpose here.
//!
//! Burn's traits are generic over the rank of each tensor: whoever implements them is compiled for all ranks and for every
//! module of a user's program. These two give up the rank at once, so that what is done with the tensors is compiled once,
//! with this crate.

use burn::{
    Tensor,
    backend::DispatchTensor,
    module::{Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Bool, Int},
};
use burn_backend::TensorMetadata;

use super::Place;
use crate::tensor::Kind;

/// A tensor of a module, where it sits. It may be on a tape.
pub(crate) struct LocatedTensor<'a> {
    /// The modules around it, from the outside in, and its own name.
    path: &'a Path,
    pub id: ParamId,
    pub kind: Kind,
    value: &'a dyn Fn() -> DispatchTensor,
}

impl LocatedTensor<'_> {
    /// Path and identifier.
    pub fn place(&self) -> Place {
        self.path.place(self.id)
    }

    /// The tensor. Initializes a parameter that Burn has not initialized.
    pub fn value(&self) -> DispatchTensor {
        (self.value)()
    }

    /// The tensor if it is a float, with methods that do not ask for its rank.
    pub fn float(&self) -> Option<Tensor<1>> {
        (self.kind == Kind::Float).then(|| any_rank(self.value()))
    }
}

/// A float tensor of any rank. Burn's rank is a promise of the type alone: of the methods, only those may be called that do
/// not ask for it (flags, tape, device, shape).
pub(crate) fn any_rank(tensor: DispatchTensor) -> Tensor<1> {
    Tensor::from_dispatch(tensor)
}

/// A tensor without its association with a tape.
pub(crate) fn off_tape(kind: Kind, tensor: DispatchTensor) -> DispatchTensor {
    match kind {
        Kind::Float => any_rank(tensor).without_autodiff().into_dispatch(),
        Kind::Int => Tensor::<1, Int>::from_dispatch(tensor).without_autodiff().into_dispatch(),
        Kind::Bool => Tensor::<1, Bool>::from_dispatch(tensor).without_autodiff().into_dispatch(),
    }
}

/// What is done with the tensors and flags of a module.
pub(crate) trait Visit {
    fn tensor(&mut self, _found: LocatedTensor<'_>) {}

    /// A flag, with the names and types of the modules around it, from the outside in; last, those of the flag itself.
    fn flag(&mut self, _flag: &Param<Flag>, _path: &[(String, String)]) {}
}

/// What replaces the tensors of a module.
pub(crate) trait Replace {
    /// The new tensor, of the same rank; `None` leaves the old one.
    fn tensor(&mut self, found: LocatedTensor<'_>) -> Option<DispatchTensor>;

    /// The new value of a flag; `None` leaves the old one.
    fn flag(&mut self, _id: ParamId) -> Option<bool> {
        None
    }
}

/// Shows every tensor of a module.
pub(crate) fn visit<M: Module>(module: &M, each: &mut dyn Visit) {
    module.visit(&mut Visitor { path: Path::default(), each });
}

/// Puts other tensors in place of those of a module.
pub(crate) fn replace<M: Module>(module: M, each: &mut dyn Replace) -> M {
    module.map(&mut Mapper { path: Path::default(), each })
}

/// Names and types of the modules that were entered and not left.
#[derive(Debug, Default)]
struct Path(Vec<(String, String)>);

impl Path {
    fn enter(&mut self, name: &str, container_type: &str) {
        self.0.push((name.into(), container_type.into()));
    }

    fn leave(&mut self) {
        self.0.pop();
    }

    fn place(&self, id: ParamId) -> Place {
        let names: Vec<_> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        Place { path: names.join("."), id }
    }
}

struct Visitor<'a> {
    path: Path,
    each: &'a mut dyn Visit,
}

impl Visitor<'_> {
    fn found(&mut self, id: ParamId, kind: Kind, value: &dyn Fn() -> DispatchTensor) {
        self.each.tensor(LocatedTensor { path: &self.path, id, kind, value });
    }
}

impl ModuleVisitor for Visitor<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.leave();
    }

    #[inline(never)]
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found(param.id, Kind::Float, &|| param.val().into_dispatch());
    }

    #[inline(never)]
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.found(param.id, Kind::Int, &|| param.val().into_dispatch());
    }

    #[inline(never)]
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.found(param.id, Kind::Bool, &|| param.val().into_dispatch());
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        self.each.flag(flag, &self.path.0);
    }
}

struct Mapper<'a> {
    path: Path,
    each: &'a mut dyn Replace,
}

impl Mapper<'_> {
    fn new_value(
        &mut self,
        (id, kind, rank): (ParamId, Kind, usize),
        value: &dyn Fn() -> DispatchTensor,
    ) -> Option<DispatchTensor> {
        let new = self.each.tensor(LocatedTensor { path: &self.path, id, kind, value });
        new.filter(|new| new.rank() == rank)
    }
}

/// A parameter with a new value, of its kind and rank.
macro_rules! mapped {
    ($self:ident, $param:ident, $kind:expr) => {{
        let rank = ($param.id, $kind, D);
        match $self.new_value(rank, &|| $param.val().into_dispatch()) {
            Some(new) => {
                let (id, _, mapper) = $param.consume();
                Param::from_mapped_value(id, Tensor::from_dispatch(new), mapper)
            }
            None => $param,
        }
    }};
}

impl ModuleMapper for Mapper<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.leave();
    }

    #[inline(never)]
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        mapped!(self, param, Kind::Float)
    }

    #[inline(never)]
    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        mapped!(self, param, Kind::Int)
    }

    #[inline(never)]
    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        mapped!(self, param, Kind::Bool)
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        match self.each.flag(flag.id) {
            Some(value) => flag.with_value(value),
            None => flag,
        }
    }
}
