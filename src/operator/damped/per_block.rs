//! A damping for each block of a layout.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, Scalar, ops::FloatTensorOps};

use crate::{
    error::Error,
    operator::OperatorError,
    space::{Inner, ParamLayout, ParamSpace, ParamSubset, ParamVector},
};

use super::{Damping, expect_damping};

/// A damping for each block, diag(λ₁I, λ₂I, …) with λₖ ≥ 0, for [`Damped`](crate::operator::Damped).
///
/// # Example
/// ```
/// use burn_curvature::{ParamLayout, operator::BlockDamping};
///
/// let layout = ParamLayout::from_shapes([("w", [1]), ("b", [2])])?;
/// assert_eq!(BlockDamping::by_name(&layout, 0.5, &[("b", 2.0)])?.values(), [0.5, 2.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct BlockDamping {
    layout: Arc<ParamLayout>,
    /// One per block of the layout.
    values: Vec<f64>,
}

impl BlockDamping {
    /// `damping` for the blocks of each selection, and `otherwise` for the remaining ones.
    ///
    /// # Errors
    /// [`OperatorError::Damping`] if one is negative or not finite, [`OperatorError::BlockTwice`] if two selections hold
    /// the same block, [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) for a selection from another
    /// layout.
    pub fn new(
        layout: &Arc<ParamLayout>,
        otherwise: f64,
        dampings: &[(ParamSubset, f64)],
    ) -> Result<Self, Error> {
        expect_damping(otherwise)?;
        let mut values = vec![None; layout.blocks().len()];
        for (subset, damping) in dampings {
            expect_damping(*damping)?;
            layout.expect_same(subset.whole())?;
            for position in subset.positions() {
                if let Some(value) = values.get_mut(*position)
                    && value.replace(*damping).is_some()
                {
                    return Err(
                        OperatorError::BlockTwice { block: layout.name_at(*position) }.into()
                    );
                }
            }
        }
        let values = values.into_iter().map(|value| value.unwrap_or(otherwise)).collect();
        Ok(Self { layout: layout.clone(), values })
    }

    /// A damping for the blocks that match each pattern (as in [`ParamLayout::select`]), and `otherwise` for those that
    /// match none.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`ParamError::EmptySelection`](crate::errors::ParamError::EmptySelection) for a pattern that
    /// matches nothing.
    pub fn by_name(
        layout: &Arc<ParamLayout>,
        otherwise: f64,
        dampings: &[(&str, f64)],
    ) -> Result<Self, Error> {
        let selected =
            dampings.iter().map(|(pattern, damping)| Ok((layout.select(pattern)?, *damping)));
        Self::new(layout, otherwise, &selected.collect::<Result<Vec<_>, Error>>()?)
    }

    /// The damping of each block, in the order of the layout.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

impl<B: AutodiffBackend> Damping<B> for BlockDamping {
    fn check(&self, space: &ParamSpace<B>) -> Result<(), Error> {
        Ok(space.layout().expect_same(&self.layout)?)
    }

    fn add_to(
        &self,
        product: ParamVector<B>,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        product.expect_like(vector)?;
        let blocks = vector.blocks().iter().zip(&self.values);
        let blocks = blocks.map(|(block, damping)| {
            Inner::<B>::float_mul_scalar(block.clone(), Scalar::Float(*damping))
        });
        let damping = vector.rebuilt(vector.layout().clone(), blocks.collect());
        Ok(product.add(&damping)?)
    }

    fn lower_bound(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }
}
