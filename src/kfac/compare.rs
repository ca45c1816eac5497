//! K-FAC beside the exact matrix, block by block. Knows operators and their blocks.

use burn_backend::AutodiffBackend;

use super::{Ekfac, Kfac, plan::LayerPlan};
use crate::{
    error::Error,
    operator::{DenseMatrix, LinearOperator, SelfAdjoint, materialize},
    space::{ParamBlock, ParamSubset},
};

/// How close one block of K-FAC is to the exact one.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockComparison {
    /// Name of the weight.
    pub layer: String,
    /// ‖A ⊗ G − F‖ / ‖F‖ by Frobenius.
    pub relative_error: f64,
    /// tr(A ⊗ G) / tr F
    pub trace_ratio: f64,
}

impl<B: AutodiffBackend> Kfac<B> {
    /// Puts every layer's block beside that of an exact matrix, such as a [`Fisher`](crate::Fisher) on a sample.
    ///
    /// # Cost
    /// One product with the exact matrix for each number of the layers.
    ///
    /// # Errors
    /// [`OperatorError::TooLarge`](crate::OperatorError::TooLarge) for layers of more than
    /// [`DEFAULT_SIZE_LIMIT`](crate::DEFAULT_SIZE_LIMIT) numbers; an exact matrix of another model.
    pub fn compare_with(&self, exact: &dyn SelfAdjoint<B>) -> Result<Vec<BlockComparison>, Error> {
        let names = self.factors()?.iter().map(|layer| layer.name.as_str());
        compare(self, &names.collect::<Vec<_>>(), &self.plans, exact)
    }
}

impl<B: AutodiffBackend> Ekfac<B> {
    /// Puts every layer's block beside that of an exact matrix, as [`Kfac::compare_with`] does.
    ///
    /// # Errors
    /// As [`Kfac::compare_with`].
    pub fn compare_with(&self, exact: &dyn SelfAdjoint<B>) -> Result<Vec<BlockComparison>, Error> {
        let layers = self.spectra().layers.iter();
        let names = layers.map(|layer| layer.name.as_str());
        compare(self, &names.collect::<Vec<_>>(), self.plans(), exact)
    }
}

fn compare<B: AutodiffBackend>(
    own: &dyn SelfAdjoint<B>,
    names: &[&str],
    plans: &[LayerPlan],
    exact: &dyn SelfAdjoint<B>,
) -> Result<Vec<BlockComparison>, Error> {
    own.domain().expect_same(exact.domain())?;
    let layout = own.domain().layout();
    let mut comparisons = Vec::with_capacity(plans.len());
    for (plan, name) in plans.iter().zip(names) {
        let kept = [Some(plan.weight), plan.bias].into_iter().flatten();
        let kept: Vec<&str> = kept
            .filter_map(|position| layout.blocks().get(position))
            .map(ParamBlock::name)
            .collect();
        let subset = layout.select_by(|block| kept.contains(&block.name()))?;
        let found = block(own, &subset)?;
        let truth = block(exact, &subset)?;
        comparisons.push(BlockComparison {
            layer: (*name).into(),
            relative_error: distance(&found, &truth),
            trace_ratio: trace(&found) / trace(&truth),
        });
    }
    Ok(comparisons)
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
