//! Which instance of a model a step is on, or a state was saved with. Depends on objectives.

use burn::module::Module;
use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::OptimizerError;
use crate::{
    error::Error,
    objective::{Objective, layers_in_training_mode},
    space::{ParamLayout, ParamSpace, ParamVector},
    state::numbers,
    tensor::TensorBridge,
};

/// What a state was saved with, besides its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The rule for the size of the steps.
    rule: String,
    /// λ of the configuration.
    #[serde(with = "numbers::one")]
    damping: f64,
    parameters: Vec<Named>,
}

/// Name, identifier and shape.
type Named = (String, u64, Vec<usize>);

impl Origin {
    pub fn new(layout: &ParamLayout, rule: &str, damping: f64) -> Self {
        let known = layout.blocks().iter();
        let parameters = known.filter_map(|block| {
            Some((block.name().to_string(), block.id()?.val(), block.shape().to_vec()))
        });
        Self { rule: rule.to_string(), damping, parameters: parameters.collect() }
    }

    /// Refuses a state of another configuration or architecture.
    pub fn expect(&self, found: &Self) -> Result<(), OptimizerError> {
        let same = |alike: fn(&Named, &Named) -> bool| {
            self.parameters.len() == found.parameters.len()
                && self.parameters.iter().zip(&found.parameters).all(|(a, b)| alike(a, b))
        };
        let reason = if !same(|a, b| a.0 == b.0) {
            "its parameters have other names, or another order"
        } else if !same(|a, b| a.2 == b.2) {
            "its parameters have other shapes"
        } else if self.rule != found.rule {
            "it is of another rule for the size of the steps"
        } else if self.damping != found.damping {
            "its λ started elsewhere than in the configuration; for another λ call `set_damping` afterwards"
        } else {
            return Ok(());
        };
        Err(OptimizerError::State { reason })
    }

    /// Refuses the state of another instance of the model: the same parameters with other identifiers.
    pub fn expect_instance(&self, found: &Self) -> Result<(), OptimizerError> {
        let pairs = self.parameters.iter().zip(&found.parameters);
        let parameters: Vec<_> =
            pairs.filter(|(a, b)| a.1 != b.1).map(|(a, _)| a.0.clone()).collect();
        if parameters.is_empty() { Ok(()) } else { Err(OptimizerError::Instance { parameters }) }
    }
}

/// An objective of the captured model at the values of a model, reduced as the captured one: where it states no reduction of
/// its own, that is proven.
pub(super) fn at<B: AutodiffBackend, M: Module + 'static>(
    captured: &Objective<B>,
    model: &M,
    objective: &Objective<B>,
) -> Result<Objective<B>, Error>
where
    B::InnerBackend: TensorBridge,
{
    captured.layout().expect_same(objective.layout())?;
    captured.expect_model(model)?;
    let objective = objective.at_model(model)?;
    match captured.reduction() {
        Some(reduction) => objective.reduced_by(reduction),
        None => Ok(objective),
    }
}

/// Refuses a model in training mode, with advice.
pub(super) fn expect_evaluation<M: Module>(
    model: &M,
    way_out: &'static str,
) -> Result<(), OptimizerError> {
    match layers_in_training_mode(model) {
        0 => Ok(()),
        layers => Err(OptimizerError::TrainingMode { layers, way_out }),
    }
}

/// A vector of a state; refused with the first reason for another number of entries, with the second for one that is not
/// finite.
pub(super) fn vector<B: AutodiffBackend>(
    space: &ParamSpace<B>,
    entries: Option<&Vec<f64>>,
    [length, finite]: [&'static str; 2],
) -> Result<Option<ParamVector<B>>, Error> {
    let reason = match entries {
        Some(entries) if entries.len() != space.len() => length,
        Some(entries) if entries.iter().any(|entry| !entry.is_finite()) => finite,
        _ => return Ok(entries.map(|entries| space.vector(entries)).transpose()?),
    };
    Err(OptimizerError::State { reason }.into())
}
