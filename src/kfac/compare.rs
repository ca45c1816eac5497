//! K-FAC next to the exact matrix, block by block.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::block::Block;
use crate::{
    error::Error,
    operator::{DenseMatrix, LinearOperator, SelfAdjoint, materialize},
    space::ParamSubset,
};

/// How close one block of K-FAC is to the exact one.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockComparison {
    /// Name of the weight.
    pub layer: String,
    /// ‖A ⊗ G − F‖ / ‖F‖ in the Frobenius norm.
    pub relative_error: f64,
    /// tr(A ⊗ G) / tr F
    pub trace_ratio: f64,
}

/// Every layer's block of a curvature with that of an exact matrix.
pub(super) fn compare<B: AutodiffBackend>(
    own: &dyn SelfAdjoint<B>,
    layers: &[Arc<Block>],
    exact: &dyn SelfAdjoint<B>,
) -> Result<Vec<BlockComparison>, Error> {
    own.domain().expect_same(exact.domain())?;
    let layers = layers.iter().map(|layer| {
        let found = block(own, &layer.subset)?;
        let truth = block(exact, &layer.subset)?;
        Ok(BlockComparison {
            layer: layer.name.clone(),
            relative_error: distance(&found, &truth),
            trace_ratio: trace(&found) / trace(&truth),
        })
    });
    layers.collect()
}

fn block<B: AutodiffBackend>(
    operator: &dyn SelfAdjoint<B>,
    subset: &ParamSubset,
) -> Result<DenseMatrix, Error> {
    materialize(&operator.restricted(subset.clone())?)
}

fn distance(found: &DenseMatrix, truth: &DenseMatrix) -> f64 {
    let pairs = found.values().iter().zip(truth.values());
    let difference: f64 = pairs.map(|(found, truth)| (found - truth).powi(2)).sum();
    let whole: f64 = truth.values().iter().map(|truth| truth * truth).sum();
    (difference / whole).sqrt()
}

fn trace(matrix: &DenseMatrix) -> f64 {
    matrix.values().iter().step_by(matrix.columns() + 1).sum()
}
