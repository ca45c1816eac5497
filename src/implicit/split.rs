//! The space of (θ, η) as one, and its two parts: the model's parameters and the hyperparameters.

use std::sync::Arc;

use burn::module::Module;
use burn_backend::AutodiffBackend;

use crate::{
    derive::Parameters,
    error::Error,
    space::{
        LocatedTensor, ParamBlock, ParamError, ParamLayout, ParamVector, VectorError, Visit, visit,
    },
    tensor::Kind,
};

use super::ImplicitError;

/// The layouts of θ, of η, and of both as the parameters of the pair (model, hyperparameters), θ first.
#[derive(Debug)]
pub(super) struct Split {
    pub model: Arc<ParamLayout>,
    pub hyper: Arc<ParamLayout>,
    pub joint: Arc<ParamLayout>,
}

impl Split {
    /// The layouts of two modules, which must not share a parameter.
    ///
    /// # Errors
    /// [`ImplicitError::NoHyperparameters`], [`ImplicitError::Shared`]; those of [`ParamLayout::of`].
    pub fn of<M: Module, E: Module>(model: &M, hyper: &E) -> Result<Self, Error> {
        let own = ParamLayout::of(model)?;
        let hyper_layout =
            ParamLayout::of(hyper).map_err(|error| no_hyperparameters(error, hyper))?;
        let known = |block: &&ParamBlock| own.blocks().iter().any(|other| other.id() == block.id());
        let shared = hyper_layout.blocks().iter().filter(known);
        let parameters: Vec<_> = shared.map(|block| block.name().to_string()).collect();
        if !parameters.is_empty() {
            return Err(ImplicitError::Shared { parameters }.into());
        }
        let joint = ParamLayout::of(&(model.clone(), hyper.clone()))?;
        Ok(Self { model: own, hyper: hyper_layout, joint })
    }

    /// The positions of θ's blocks.
    pub fn of_model(&self) -> Parameters {
        Parameters { start: 0, end: self.model.blocks().len() }
    }

    /// The positions of η's blocks.
    pub fn of_hyper(&self) -> Parameters {
        Parameters { start: self.model.blocks().len(), end: self.joint.blocks().len() }
    }

    /// θ and η of a joint vector. Copies nothing.
    pub fn parts<B: AutodiffBackend>(
        &self,
        joint: &ParamVector<B>,
    ) -> (ParamVector<B>, ParamVector<B>) {
        let (model, hyper) = joint.blocks().split_at(self.model.blocks().len());
        (
            joint.rebuilt(self.model.clone(), model.to_vec()),
            joint.rebuilt(self.hyper.clone(), hyper.to_vec()),
        )
    }

    /// (θ, η) as one vector. Copies nothing.
    pub fn join<B: AutodiffBackend>(
        &self,
        model: &ParamVector<B>,
        hyper: &ParamVector<B>,
    ) -> Result<ParamVector<B>, VectorError> {
        self.model.expect_same(model.layout())?;
        self.hyper.expect_same(hyper.layout())?;
        model.expect_format(hyper)?;
        let blocks = model.blocks().iter().chain(hyper.blocks()).cloned().collect();
        Ok(model.rebuilt(self.joint.clone(), blocks))
    }
}

/// Says what the module of hyperparameters holds in place of trainable floats.
fn no_hyperparameters<E: Module>(error: ParamError, hyper: &E) -> Error {
    struct Ints(usize);
    impl Visit for Ints {
        fn tensor(&mut self, found: LocatedTensor<'_>) {
            self.0 += usize::from(found.kind == Kind::Int);
        }
    }
    match error {
        ParamError::NoTrainable { plain, frozen } => {
            let mut ints = Ints(0);
            visit(hyper, &mut ints);
            ImplicitError::NoHyperparameters { ints: ints.0, frozen, plain }.into()
        }
        other => other.into(),
    }
}
