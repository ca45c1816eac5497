//! What K-FAC and EKFAC have in common: a block for each layer and each uncovered parameter, as one operator, and how
//! close it is to the exact matrix, block by block.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{
    block::{Block, Network},
    matrix::norm,
};
use crate::{
    error::Error,
    operator::{
        BlockDiagonal, DenseMatrix, Kronecker, KroneckerSides, LinearOperator, SelfAdjoint,
        materialize,
    },
    space::{ParamSpace, ParamSubset},
};

/// Blocks `L` with the operator that they make up.
#[derive(Clone)]
pub(super) struct Assembled<B: AutodiffBackend, L> {
    pub space: ParamSpace<B>,
    pub network: Arc<Network>,
    /// Dropped before the factors that it multiplies by, so that these are the last to hold their tensors.
    pub operator: BlockDiagonal<B, Kronecker<B>>,
    /// One for each block of the network.
    pub blocks: Arc<[L]>,
}

impl<B: AutodiffBackend, L> Assembled<B, L> {
    pub fn new(
        space: ParamSpace<B>,
        network: Arc<Network>,
        blocks: Vec<L>,
        sides: impl Fn(&L) -> KroneckerSides<B>,
    ) -> Result<Self, Error> {
        let operator = network.operator(&space, blocks.iter().map(sides), 0.0)?;
        Ok(Self { space, network, blocks: blocks.into(), operator })
    }

    /// The blocks of layers.
    pub fn layers(&self) -> &[L] {
        self.blocks.get(..self.network.layers).unwrap_or(&self.blocks)
    }

    /// The blocks of parameters that belong to no layer, with their names.
    pub fn uncovered(&self) -> impl Iterator<Item = (&str, &L)> {
        let rest = self.blocks.iter().skip(self.network.layers);
        self.network.uncovered().iter().map(|block| &*block.name).zip(rest)
    }
}

/// How close one block of K-FAC is to the exact one.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockComparison {
    /// Name of the weight.
    pub layer: String,
    /// ‖A ⊗ G − F‖ / ‖F‖ in the Frobenius norm; 0 if both are zero.
    pub relative_error: f64,
    /// tr(A ⊗ G) / tr F; 1 if both are zero.
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
            trace_ratio: ratio(trace(&found), trace(&truth)).unwrap_or(1.0),
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
    let difference: Vec<f64> = pairs.map(|(found, truth)| found - truth).collect();
    ratio(norm(&difference), norm(truth.values())).unwrap_or(0.0)
}

/// `None` for 0 / 0, as for a layer whose outputs no loss depends on here.
fn ratio(found: f64, truth: f64) -> Option<f64> {
    (found != 0.0 || truth != 0.0).then_some(found / truth)
}

fn trace(matrix: &DenseMatrix) -> f64 {
    matrix.values().iter().step_by(matrix.columns() + 1).sum()
}

/// The methods of a curvature that wraps an [`Assembled`].
macro_rules! assembled {
    ($curvature:ident, $name:literal) => {
        impl<B: AutodiffBackend> $curvature<B> {
            /// How each parameter is approximated.
            pub fn coverage(&self) -> &KfacCoverage {
                &self.0.network.coverage
            }

            /// The block of one layer, on its weight and bias only, or that of an uncovered parameter.
            ///
            /// `parameter` is a name of the layout: that of a weight, or of the bias that goes with it. The vectors of the
            /// block are those of [`ParamLayout::select`](crate::ParamLayout::select) with both names. Functions of the
            /// curvature, such as its inverse, have the same blocks in
            /// [`BlockDiagonal::part_of`](crate::operator::BlockDiagonal::part_of).
            ///
            /// # Cost
            /// Nothing is copied. A product costs that of the layer alone.
            ///
            /// # Errors
            /// [`OperatorError::NoSuchParameter`](crate::errors::OperatorError::NoSuchParameter).
            pub fn layer(&self, parameter: &str) -> Result<Kronecker<B>, Error> {
                Ok(self.0.operator.part_of(parameter)?.clone())
            }

            /// Compares the block of every layer with that of an exact matrix, such as [`Fisher`](crate::Fisher).
            ///
            /// # Cost
            /// One product with the exact matrix for each element of the layers.
            ///
            /// # Errors
            /// [`OperatorError::TooLarge`](crate::errors::OperatorError::TooLarge) for layers of more than
            /// [`DEFAULT_SIZE_LIMIT`](crate::operator::DEFAULT_SIZE_LIMIT) elements; those of the exact matrix.
            pub fn compare_with(
                &self,
                exact: &dyn SelfAdjoint<B>,
            ) -> Result<Vec<BlockComparison>, Error> {
                compare(self, self.0.network.layers(), exact)
            }
        }

        impl<B: AutodiffBackend> std::fmt::Debug for $curvature<B> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct($name)
                    .field("parameters", &self.0.space.len())
                    .field("layers", &self.0.network.layers)
                    .finish_non_exhaustive()
            }
        }

        impl<B: AutodiffBackend> LinearOperator<B> for $curvature<B> {
            fn domain(&self) -> &ParamSpace<B> {
                &self.0.space
            }

            fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
                self.0.operator.apply(vector)
            }

            fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
                self.0.operator.apply_many(vectors)
            }
        }

        impl<B: AutodiffBackend> SelfAdjoint<B> for $curvature<B> {}
    };
}

pub(super) use assembled;
