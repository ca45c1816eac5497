//! A damping for each block. Knows the operator by its products only.

use burn_backend::{AutodiffBackend, Scalar, ops::FloatTensorOps};

use crate::{
    error::Error,
    operator::{Adjoint, FiniteSum, LinearOperator, OperatorError, SelfAdjoint, expect_square},
    space::{Inner, ParamSpace, ParamSubset, ParamVector},
};

use super::expect_damping;

/// An operator with a damping for each block, A + diag(λ₁I, λ₂I, …) with λₖ ≥ 0.
///
/// # Cost
/// One product with A, and one multiply-add of the vector.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{DampedPerBlock, Identity, LinearOperator, ParamSpace};
///
/// let space = ParamSpace::<Autodiff<Flex>>::from_shapes([("w", [1]), ("b", [2])])?;
/// let damped = DampedPerBlock::by_name(Identity::new(&space), 0.5, &[("b", 2.0)])?;
/// assert_eq!(damped.apply(&space.ones())?.to_vec()?, [1.5, 3.0, 3.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DampedPerBlock<A> {
    operator: A,
    /// One per block of the layout.
    dampings: Vec<f64>,
}

impl<A> DampedPerBlock<A> {
    /// `operator` with `damping` for the blocks of each selection, and `otherwise` for those in none.
    ///
    /// # Errors
    /// [`OperatorError::Damping`] if one is negative or not finite, [`OperatorError::BlockTwice`] if two selections hold
    /// the same block, [`OperatorError::NotSquare`], [`VectorError::LayoutMismatch`](crate::VectorError::LayoutMismatch)
    /// for a selection from another layout.
    pub fn new<B>(
        operator: A,
        otherwise: f64,
        dampings: &[(ParamSubset, f64)],
    ) -> Result<Self, Error>
    where
        B: AutodiffBackend,
        A: LinearOperator<B>,
    {
        expect_square(&operator)?;
        expect_damping(otherwise)?;
        let layout = operator.domain().layout();
        let mut chosen = vec![None; layout.blocks().len()];
        for (subset, damping) in dampings {
            expect_damping(*damping)?;
            layout.expect_same(subset.whole())?;
            for position in subset.positions() {
                if let Some(slot) = chosen.get_mut(*position)
                    && slot.replace(*damping).is_some()
                {
                    let block = layout.blocks().get(*position);
                    let block = block.map_or(String::new(), |block| block.name().to_string());
                    return Err(OperatorError::BlockTwice { block }.into());
                }
            }
        }
        let dampings = chosen.into_iter();
        Ok(Self { dampings: dampings.map(|found| found.unwrap_or(otherwise)).collect(), operator })
    }

    /// `operator` with a damping for the blocks that match each pattern (as in
    /// [`ParamLayout::select`](crate::ParamLayout::select)), and `otherwise` for those that match none.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`ParamError::EmptySelection`](crate::ParamError::EmptySelection) for a pattern that
    /// matches nothing.
    pub fn by_name<B>(operator: A, otherwise: f64, dampings: &[(&str, f64)]) -> Result<Self, Error>
    where
        B: AutodiffBackend,
        A: LinearOperator<B>,
    {
        let layout = operator.domain().layout().clone();
        let chosen =
            dampings.iter().map(|(pattern, damping)| Ok((layout.select(pattern)?, *damping)));
        let chosen = chosen.collect::<Result<Vec<_>, Error>>()?;
        Self::new(operator, otherwise, &chosen)
    }

    /// The damping of each block, in the order of the layout.
    pub fn dampings(&self) -> &[f64] {
        &self.dampings
    }

    fn add_to<B: AutodiffBackend>(
        &self,
        product: ParamVector<B>,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        product.expect_like(vector)?;
        let blocks = vector.blocks().iter().zip(&self.dampings);
        let blocks = blocks.map(|(block, damping)| {
            Inner::<B>::float_mul_scalar(block.clone(), Scalar::Float(*damping))
        });
        let damping = vector.rebuilt(vector.layout().clone(), blocks.collect());
        Ok(product.add(&damping)?)
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for DampedPerBlock<A> {
    fn domain(&self) -> &ParamSpace<B> {
        self.operator.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.add_to(self.operator.apply(vector)?, vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let products = self.operator.apply_many(vectors)?.into_iter();
        products.zip(vectors).map(|(product, vector)| self.add_to(product, vector)).collect()
    }
}

impl<B: AutodiffBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for DampedPerBlock<A> {}

impl<B: AutodiffBackend, A: Adjoint<B>> Adjoint<B> for DampedPerBlock<A> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.add_to(self.operator.apply_adjoint(vector)?, vector)
    }
}

/// The damping is in every term in full.
impl<B: AutodiffBackend, A: FiniteSum<B>> FiniteSum<B> for DampedPerBlock<A> {
    fn terms(&self) -> usize {
        self.operator.terms()
    }

    fn damping(&self) -> f64 {
        let least = self.dampings.iter().copied().fold(f64::INFINITY, f64::min);
        self.operator.damping() + least
    }

    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.add_to(self.operator.apply_term(index, vector)?, vector)
    }
}
