//! The operator of an explicit diagonal.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

use super::{Adjoint, LinearOperator, SelfAdjoint};

/// A diagonal matrix, diag(d).
///
/// # Cost
/// One elementwise product.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, operator::Diagonal};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let a = Diagonal::new(space.vector(&[3.0, 5.0])?)?;
/// assert_eq!(a.apply(&space.vector(&[1.0, 2.0])?)?.to_vec()?, [3.0, 10.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Diagonal<B: AutodiffBackend = DefaultBackend> {
    diagonal: ParamVector<B>,
}

impl<B: AutodiffBackend> Diagonal<B> {
    /// The matrix with this diagonal.
    ///
    /// # Errors
    /// Infallible; `Result` as for all operators.
    pub fn new(diagonal: ParamVector<B>) -> Result<Self, Error> {
        Ok(Self { diagonal })
    }

    /// The diagonal d.
    pub fn diagonal(&self) -> &ParamVector<B> {
        &self.diagonal
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for Diagonal<B> {
    fn domain(&self) -> &ParamSpace<B> {
        self.diagonal.space()
    }

    /// In the precision of the diagonal.
    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        Ok(self.diagonal.clone().mul(vector)?)
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for Diagonal<B> {}

impl<B: AutodiffBackend> Adjoint<B> for Diagonal<B> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.apply(vector)
    }
}
