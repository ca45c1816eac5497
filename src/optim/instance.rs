//! Which instance of a model a state was saved with. Depends on layouts only.

use super::OptimizerError;
use crate::space::ParamLayout;

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
