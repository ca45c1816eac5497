//! A few directions with their weights, plus a diagonal.

mod full;
mod inverse;

pub(crate) use inverse::Inverted as InvertedLowRank;

use std::fmt;

use burn_backend::{AutodiffBackend, Slice, ops::FloatTensorOps};

use crate::{
    error::Error,
    space::{Inner, InnerFloat, ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

use super::{
    Adjoint, FiniteSum, LinearOperator, OperatorError, SelfAdjoint,
    stack::{stack, transpose, unstack, upload},
};

/// Low rank plus diagonal, self-adjoint:
///
/// ```text
/// A = Σᵢ cᵢ vᵢvᵢᵀ + D = Vᵀ diag(c) V + D        V: one vᵢ per row;  D: zero, a multiple of I, or a diagonal
/// ```
///
/// With the gradients of N samples and cᵢ = 1/N it is the empirical Fisher matrix, with those of sampled targets an
/// estimate of the Fisher matrix, and D = λI is its damping.
///
/// # Cost
/// k·n elements on the device for k vectors of length n; 2·k·n multiply-adds per product, done for several vectors in
/// one matrix product. [`inverse`](Self::inverse): k²·n multiply-adds on the device and about 9 k³ on the host, once.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, operator::LowRank};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(3)?;
/// let v = space.vector(&[1.0, 2.0, 2.0])?;
/// let a = LowRank::new(&[v.clone()], &[1.0])?.with_damping(1.0)?; // v vᵀ + I
/// assert_eq!(a.apply(&v)?.to_vec()?, [10.0, 20.0, 20.0]); // (vᵀv + 1) v
/// let back = a.inverse()?.apply(&v)?.to_vec()?; // v / 10
/// assert!((back[0] - 0.1).abs() < 1e-15 && (back[2] - 0.2).abs() < 1e-15);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
///
/// # References
/// Golub & Van Loan, Matrix Computations, 4th edition, section 2.1.4 (the Sherman-Morrison-Woodbury formula).
#[derive(Clone)]
pub struct LowRank<B: AutodiffBackend = DefaultBackend> {
    /// V, shape `[k, n]`.
    rows: InnerFloat<B>,
    coefficients: Vec<f64>,
    /// The coefficients as a column, shape `[k, 1]`.
    weights: InnerFloat<B>,
    diagonal: Addend<B>,
    space: ParamSpace<B>,
}

/// What is added to the low rank.
#[derive(Clone)]
enum Addend<B: AutodiffBackend> {
    Zero,
    Multiple(f64),
    Diagonal(ParamVector<B>),
}

impl<B: AutodiffBackend> LowRank<B> {
    /// `Σᵢ coefficients[i] · vectors[i] vectors[i]ᵀ`
    ///
    /// # Errors
    /// [`OperatorError::Nothing`] for an empty list, [`OperatorError::CoefficientCount`], [`OperatorError::Factor`] for
    /// a coefficient that is not finite; [`VectorError`](crate::errors::VectorError) for vectors that do not fit together or
    /// hold NaN or infinity.
    pub fn new(vectors: &[ParamVector<B>], coefficients: &[f64]) -> Result<Self, Error> {
        let first = vectors.first().ok_or(OperatorError::Nothing)?;
        if coefficients.len() != vectors.len() {
            return Err(OperatorError::CoefficientCount {
                vectors: vectors.len(),
                coefficients: coefficients.len(),
            }
            .into());
        }
        if let Some(found) = coefficients.iter().find(|found| !found.is_finite()) {
            return Err(OperatorError::Factor { found: *found }.into());
        }
        for vector in vectors {
            first.expect_like(vector)?;
            vector.expect_finite("a vector of the low-rank operator")?;
        }
        Ok(Self::from_rows(stack(vectors), coefficients, first.space()))
    }

    /// `1/N · Σᵢ vectors[i] vectors[i]ᵀ`: the empirical Fisher matrix of a mean over N samples, from their gradients.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn mean_of(vectors: &[ParamVector<B>]) -> Result<Self, Error> {
        let weight = 1.0 / vectors.len().max(1) as f64;
        Self::new(vectors, &vec![weight; vectors.len()])
    }

    /// From rows that are known to fit, shape `[k, n]`.
    pub(crate) fn from_rows(
        rows: InnerFloat<B>,
        coefficients: &[f64],
        space: &ParamSpace<B>,
    ) -> Self {
        Self {
            rows,
            weights: upload(coefficients, [coefficients.len(), 1], space),
            coefficients: coefficients.to_vec(),
            diagonal: Addend::Zero,
            space: space.clone(),
        }
    }

    /// The same vectors with D = λI in place of D.
    ///
    /// # Errors
    /// [`OperatorError::Damping`] if λ is negative or not finite.
    pub fn with_damping(mut self, damping: f64) -> Result<Self, Error> {
        if !(damping.is_finite() && damping >= 0.0) {
            return Err(OperatorError::Damping { found: damping }.into());
        }
        self.diagonal = Addend::Multiple(damping);
        Ok(self)
    }

    /// The same vectors with D = diag(d) in place of D.
    ///
    /// # Errors
    /// [`VectorError`](crate::errors::VectorError) if d is of another space or holds NaN or infinity.
    pub fn with_diagonal(mut self, diagonal: ParamVector<B>) -> Result<Self, Error> {
        self.space.expect_same(diagonal.space())?;
        diagonal.expect_finite("the diagonal")?;
        self.diagonal = Addend::Diagonal(diagonal);
        Ok(self)
    }

    /// The number k of vectors.
    pub fn rank(&self) -> usize {
        self.coefficients.len()
    }

    /// The coefficients c.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// The vectors, in order.
    ///
    /// # Errors
    /// Infallible in practice.
    pub fn vectors(&self) -> Result<Vec<ParamVector<B>>, Error> {
        unstack(&self.space, self.rows.clone(), self.rank())
    }

    /// product + D·vector
    fn add_diagonal(
        &self,
        product: ParamVector<B>,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        Ok(match &self.diagonal {
            Addend::Zero => product,
            Addend::Multiple(factor) => product.axpy(*factor, vector)?,
            Addend::Diagonal(diagonal) => product.add(&diagonal.clone().mul(vector)?)?,
        })
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for LowRank<B> {
    fn domain(&self) -> &ParamSpace<B> {
        &self.space
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.space.expect_same(vector.space())?;
        let n = vector.len();
        let column = Inner::<B>::float_reshape(vector.flat_tensor(), [n, 1].into());
        let overlaps = Inner::<B>::float_matmul(self.rows.clone(), column); //  V x
        let overlaps = Inner::<B>::float_mul(overlaps, self.weights.clone()); //  diag(c) V x
        let overlaps = Inner::<B>::float_reshape(overlaps, [1, self.rank()].into());
        let product = Inner::<B>::float_matmul(overlaps, self.rows.clone());
        let product = Inner::<B>::float_reshape(product, [n].into());
        let product = self.space.from_flat_tensor(product)?;
        self.add_diagonal(product, vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        if vectors.len() < 2 {
            return vectors.iter().map(|vector| self.apply(vector)).collect();
        }
        for vector in vectors {
            self.space.expect_same(vector.space())?;
        }
        let columns = transpose::<B>(stack(vectors));
        let overlaps = Inner::<B>::float_matmul(self.rows.clone(), columns); //  [k, m]
        let weights =
            Inner::<B>::float_expand(self.weights.clone(), [self.rank(), vectors.len()].into());
        let overlaps = transpose::<B>(Inner::<B>::float_mul(overlaps, weights));
        let products = Inner::<B>::float_matmul(overlaps, self.rows.clone()); //  [m, n]
        let products = unstack(&self.space, products, vectors.len())?;
        let pairs = products.into_iter().zip(vectors);
        pairs.map(|(product, vector)| self.add_diagonal(product, vector)).collect()
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for LowRank<B> {}

impl<B: AutodiffBackend> Adjoint<B> for LowRank<B> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.apply(vector)
    }
}

/// One term for each vector, k·cᵢ vᵢvᵢᵀ + D, so that their mean is A.
impl<B: AutodiffBackend> FiniteSum<B> for LowRank<B> {
    fn terms(&self) -> usize {
        self.rank()
    }

    fn damping(&self) -> f64 {
        match &self.diagonal {
            Addend::Multiple(damping) => *damping,
            _ => 0.0,
        }
    }

    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.space.expect_same(vector.space())?;
        let terms = self.rank();
        let coefficient = self.coefficients.get(index);
        let coefficient = coefficient.ok_or(OperatorError::NoSuchTerm { index, terms })?;
        let n = vector.len();
        let range = [Slice::from(index..index + 1), Slice::from(0..n)];
        let row = Inner::<B>::float_slice(self.rows.clone(), &range);
        let flat = Inner::<B>::float_reshape(row, [n].into());
        let term = self.space.from_flat_tensor(flat)?;
        let overlap = term.dot_device(vector)?;
        let product = term.scale_device(&overlap)?;
        self.add_diagonal(product.scale(terms as f64 * coefficient), vector)
    }
}

impl<B: AutodiffBackend> fmt::Debug for LowRank<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LowRank")
            .field("rank", &self.rank())
            .field("space", &self.space)
            .finish_non_exhaustive()
    }
}
