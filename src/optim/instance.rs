//! Which instance of a model a step is on, or a state was saved with. Depends on objectives.

use burn::module::Module;
use burn_backend::AutodiffBackend;

use super::OptimizerError;
use crate::{
    error::Error,
    objective::{Objective, layers_in_training_mode},
    space::{ParamLayout, ParamSpace, ParamVector},
    tensor::TensorBridge,
};

/// An objective of the captured model at the values of a model.
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
    match captured.stated_reduction() {
        Ok(reduction) => objective.stating(reduction),
        Err(_) => Ok(objective),
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

/// Names and identifiers of the parameters.
pub(super) fn identifiers(layout: &ParamLayout) -> Vec<(String, u64)> {
    let known = layout.blocks().iter();
    known.filter_map(|block| Some((block.name().to_string(), block.id()?.val()))).collect()
}

/// Refuses the state of another instance of the model: a parameter with the same name and another identifier.
pub(super) fn expect(layout: &ParamLayout, found: &[(String, u64)]) -> Result<(), OptimizerError> {
    let differ = |name: &str, id: u64| found.iter().any(|(n, i)| n == name && *i != id);
    let others = identifiers(layout).into_iter().filter(|(name, id)| differ(name, *id));
    let parameters: Vec<_> = others.map(|(name, _)| name).collect();
    if parameters.is_empty() { Ok(()) } else { Err(OptimizerError::Instance { parameters }) }
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
