//! Operators made of operators: sums, multiples, damping, blocks. Knows what its parts promise, not what they are.

use std::{fmt, marker::PhantomData, sync::Arc};

use burn_backend::AutodiffBackend;

use crate::{
    Error,
    params::{ParamLayout, ParamSubset, ParamVector},
};

use super::{LinearOperator, OperatorError, SelfAdjoint, expect_square};

/// The identity I on the vectors of a layout.
pub struct Identity<B> {
    layout: Arc<ParamLayout>,
    backend: PhantomData<fn(B)>,
}

impl<B: AutodiffBackend> Identity<B> {
    /// The identity on the vectors of a layout.
    pub fn new(layout: &Arc<ParamLayout>) -> Self {
        Self {
            layout: layout.clone(),
            backend: PhantomData,
        }
    }
}

impl<B> Clone for Identity<B> {
    fn clone(&self) -> Self {
        Self {
            layout: self.layout.clone(),
            backend: PhantomData,
        }
    }
}

impl<B> fmt::Debug for Identity<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("len", &self.layout.len())
            .finish()
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for Identity<B> {
    fn domain(&self) -> &Arc<ParamLayout> {
        &self.layout
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.layout.expect_same(vector.layout())?;
        Ok(vector.clone())
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for Identity<B> {}

/// A multiple of an operator, c·A.
#[derive(Debug, Clone)]
pub struct Scaled<A> {
    operator: A,
    factor: f64,
}

impl<A> Scaled<A> {
    /// `factor · operator`
    ///
    /// # Errors
    /// [`OperatorError::Factor`] if the factor is not finite.
    pub fn new(operator: A, factor: f64) -> Result<Self, Error> {
        if !factor.is_finite() {
            return Err(OperatorError::Factor { found: factor }.into());
        }
        Ok(Self { operator, factor })
    }

    /// The factor c.
    pub fn factor(&self) -> f64 {
        self.factor
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for Scaled<A> {
    fn domain(&self) -> &Arc<ParamLayout> {
        self.operator.domain()
    }

    fn codomain(&self) -> &Arc<ParamLayout> {
        self.operator.codomain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        Ok(self.operator.apply(vector)?.scale(self.factor))
    }
}

impl<B: AutodiffBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for Scaled<A> {}

/// The sum of two operators, A + B.
///
/// # Cost
/// One product with each.
#[derive(Debug, Clone)]
pub struct Sum<L, R> {
    left: L,
    right: R,
}

impl<L, R> Sum<L, R> {
    /// `left + right`
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`](crate::VectorError::LayoutMismatch) if the two do not map between the same
    /// spaces.
    pub fn new<B>(left: L, right: R) -> Result<Self, Error>
    where
        B: AutodiffBackend,
        L: LinearOperator<B>,
        R: LinearOperator<B>,
    {
        left.domain().expect_same(right.domain())?;
        left.codomain().expect_same(right.codomain())?;
        Ok(Self { left, right })
    }
}

impl<B, L, R> LinearOperator<B> for Sum<L, R>
where
    B: AutodiffBackend,
    L: LinearOperator<B>,
    R: LinearOperator<B>,
{
    fn domain(&self) -> &Arc<ParamLayout> {
        self.left.domain()
    }

    fn codomain(&self) -> &Arc<ParamLayout> {
        self.left.codomain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        Ok(self.left.apply(vector)?.add(&self.right.apply(vector)?)?)
    }
}

impl<B, L, R> SelfAdjoint<B> for Sum<L, R>
where
    B: AutodiffBackend,
    L: SelfAdjoint<B>,
    R: SelfAdjoint<B>,
{
}

/// A damped operator, A + λI with λ ≥ 0.
///
/// Damping raises every eigenvalue by λ. With λ above the most negative one, a symmetric A becomes positive definite.
///
/// # Cost
/// One product with A, and one multiply-add of the vector.
#[derive(Debug, Clone)]
pub struct Damped<A> {
    operator: A,
    damping: f64,
}

impl<A> Damped<A> {
    /// `operator + damping · I`
    ///
    /// # Errors
    /// [`OperatorError::Damping`] if the damping is negative or not finite, [`OperatorError::NotSquare`].
    pub fn new<B>(operator: A, damping: f64) -> Result<Self, Error>
    where
        B: AutodiffBackend,
        A: LinearOperator<B>,
    {
        if !damping.is_finite() || damping < 0.0 {
            return Err(OperatorError::Damping { found: damping }.into());
        }
        expect_square(&operator)?;
        Ok(Self { operator, damping })
    }

    /// The damping λ.
    pub fn damping(&self) -> f64 {
        self.damping
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for Damped<A> {
    fn domain(&self) -> &Arc<ParamLayout> {
        self.operator.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply(vector)?;
        if self.damping == 0.0 {
            return Ok(product);
        }
        Ok(product.axpy(self.damping, vector)?)
    }
}

impl<B: AutodiffBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for Damped<A> {}

/// The block of an operator for some of the parameters, R·A·Rᵀ, where R keeps the selected parameters.
///
/// # Cost
/// One product with A.
#[derive(Debug, Clone)]
pub struct Restricted<A> {
    operator: A,
    subset: ParamSubset,
}

impl<A> Restricted<A> {
    /// The block of `operator` for a selection of parameters.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`](crate::VectorError::LayoutMismatch) if the selection is from another layout,
    /// [`OperatorError::NotSquare`].
    pub fn new<B>(operator: A, subset: ParamSubset) -> Result<Self, Error>
    where
        B: AutodiffBackend,
        A: LinearOperator<B>,
    {
        expect_square(&operator)?;
        operator.domain().expect_same(subset.whole())?;
        Ok(Self { operator, subset })
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for Restricted<A> {
    fn domain(&self) -> &Arc<ParamLayout> {
        self.subset.layout()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply(&self.subset.embed(vector)?)?;
        Ok(self.subset.restrict(&product)?)
    }
}

impl<B: AutodiffBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for Restricted<A> {}
