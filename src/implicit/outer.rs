//! The outer objective: a loss of the model alone, or of the model and the hyperparameters.

use burn_backend::AutodiffBackend;

use super::{HyperGradient, HyperObjective, ImplicitError, split::Split};
use crate::{error::Error, objective::Objective, space::ParamVector, tensor::DefaultBackend};

/// Where the model is in the pair that an inner objective is captured on.
const MODEL: &str = "0.";

/// An outer objective L(θ, η). Made from a reference to either kind.
#[derive(Clone, Debug)]
pub enum OuterObjective<B: AutodiffBackend = DefaultBackend> {
    /// L(θ): the usual validation loss, captured on the model alone.
    Model(Objective<B>),
    /// L(θ, η): captured on the model and the hyperparameters.
    Joint(HyperObjective<B>),
}

impl<B: AutodiffBackend> From<&Objective<B>> for OuterObjective<B> {
    fn from(objective: &Objective<B>) -> Self {
        Self::Model(objective.clone())
    }
}

impl<B: AutodiffBackend> From<&HyperObjective<B>> for OuterObjective<B> {
    fn from(objective: &HyperObjective<B>) -> Self {
        Self::Joint(objective.clone())
    }
}

impl<B: AutodiffBackend> From<&OuterObjective<B>> for OuterObjective<B> {
    fn from(objective: &OuterObjective<B>) -> Self {
        objective.clone()
    }
}

impl<B: AutodiffBackend> OuterObjective<B> {
    /// The same objective at (θ, η), if these are its parameters, with the running statistics of the inner one.
    pub(super) fn at(
        &self,
        (model, hyper): (&ParamVector<B>, &ParamVector<B>),
        inner: &HyperObjective<B>,
    ) -> Result<Self, Error> {
        let foreign = |reason: String| ImplicitError::OtherParameters { reason };
        match self {
            Self::Model(objective) => {
                let same = objective.parameters().layout().expect_same(model.layout());
                same.map_err(|error| foreign(error.to_string()))?;
                Ok(Self::Model(objective.moved_to(model, (inner.joint(), MODEL))?))
            }
            Self::Joint(objective) => {
                let same = objective.parameters().layout().expect_same(model.layout());
                same.map_err(|error| foreign(error.to_string()))?;
                let same = objective.hyperparameters().layout().expect_same(hyper.layout());
                same.map_err(|error| foreign(error.to_string()))?;
                let distances = [
                    objective.parameters().sub(model)?.largest()?,
                    objective.hyperparameters().sub(hyper)?.largest()?,
                ];
                if distances == [0.0, 0.0] {
                    objective.joint().expect_statistics(inner.joint(), "")?;
                    return Ok(self.clone());
                }
                Ok(Self::Joint(objective.at(model, hyper)?))
            }
        }
    }

    /// At other parameters, keeping its running statistics.
    pub(super) fn at_keeping_buffers(&self, model: &ParamVector<B>) -> Result<Self, Error> {
        Ok(match self {
            Self::Model(objective) => Self::Model(objective.at_keeping_buffers(model)?),
            Self::Joint(objective) => Self::Joint(objective.at_keeping_buffers(model)?),
        })
    }

    /// L, ∂L/∂θ and ∂L/∂η.
    pub(super) fn gradient(&self, hyper: &ParamVector<B>) -> Result<HyperGradient<B>, Error> {
        match self {
            Self::Model(objective) => {
                let found = objective.value_and_gradient()?;
                let hyper = hyper.space().zeros();
                Ok(HyperGradient { value: found.value, model: found.gradient, hyper })
            }
            Self::Joint(objective) => objective.gradient(),
        }
    }

    /// Which hyperparameters the objective itself depends on.
    pub(super) fn uses(&self, split: &Split) -> Result<Vec<bool>, Error> {
        match self {
            Self::Model(_) => Ok(vec![false; split.hyper.blocks().len()]),
            Self::Joint(objective) => {
                let own = split.model.blocks().len();
                Ok(objective.joint().parameters_in_use()?.split_off(own))
            }
        }
    }
}
