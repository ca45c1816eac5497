//! The block of an operator for some of the parameters.

use std::ops::Range;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{ParamBlock, ParamSpace, ParamSubset, ParamVector},
};

use super::{
    Adjoint, DenseMatrix, FiniteSum, LinearOperator, OperatorError, SelfAdjoint, expect_square,
};

/// The block of an operator for some of the parameters, R·A·Rᵀ, where R keeps the selected parameters.
///
/// # Cost
/// One product with A.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, operator::Diagonal};
///
/// let space = ParamSpace::<Autodiff<Flex>>::from_shapes([("w", [1]), ("b", [2])])?;
/// let a = Diagonal::new(space.vector(&[1.0, 2.0, 3.0])?)?;
/// let block = a.restricted(space.layout().select("b")?)?;
/// assert_eq!(block.apply(&block.domain().ones())?.to_vec()?, [2.0, 3.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Restricted<B: AutodiffBackend, A> {
    operator: A,
    subset: ParamSubset,
    /// The space of the selected parameters.
    space: ParamSpace<B>,
}

impl<B: AutodiffBackend, A: LinearOperator<B>> Restricted<B, A> {
    /// The block of `operator` for a selection of parameters.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) if the selection is from another layout,
    /// [`OperatorError::NotSquare`](crate::errors::OperatorError::NotSquare).
    pub fn new(operator: A, subset: ParamSubset) -> Result<Self, Error> {
        expect_square(&operator)?;
        let space = operator.domain().restricted(&subset)?;
        Ok(Self { operator, subset, space })
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for Restricted<B, A> {
    fn domain(&self) -> &ParamSpace<B> {
        &self.space
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply(&self.subset.embed(vector)?)?;
        Ok(self.subset.restrict(&product)?)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let embedded = vectors.iter().map(|vector| self.subset.embed(vector));
        let products = self.operator.apply_many(&embedded.collect::<Result<Vec<_>, _>>()?)?;
        let restricted = products.iter().map(|product| self.subset.restrict(product));
        Ok(restricted.collect::<Result<Vec<_>, _>>()?)
    }

    fn columns(&self, positions: Range<usize>) -> Result<DenseMatrix, Error> {
        let all = self.operator.domain().layout().blocks();
        let kept = self.subset.positions().iter().filter_map(|&position| all.get(position));
        let kept: Vec<Range<usize>> = kept.map(ParamBlock::range).collect();
        let own = self.space.layout().blocks().iter().map(ParamBlock::range);
        let mut columns: Option<DenseMatrix> = None;
        for (own, whole) in own.zip(&kept) {
            let wanted = own.start.max(positions.start)..own.end.min(positions.end);
            if wanted.is_empty() {
                continue;
            }
            let shift = |position: usize| position - own.start + whole.start;
            let found = self.operator.columns(shift(wanted.start)..shift(wanted.end))?;
            let found = found.rows_at(kept.iter().cloned());
            columns = Some(match columns {
                Some(columns) => columns.beside(found),
                None => found,
            });
        }
        let Range { start, end } = positions;
        let columns = columns.filter(|columns| columns.columns() == end - start);
        let none = OperatorError::NoSuchColumns { start, end, columns: self.space.len() };
        columns.ok_or_else(|| none.into())
    }
}

impl<B: AutodiffBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for Restricted<B, A> {}

impl<B: AutodiffBackend, A: Adjoint<B>> Adjoint<B> for Restricted<B, A> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply_adjoint(&self.subset.embed(vector)?)?;
        Ok(self.subset.restrict(&product)?)
    }
}

/// The block of every term.
impl<B: AutodiffBackend, A: FiniteSum<B>> FiniteSum<B> for Restricted<B, A> {
    fn terms(&self) -> usize {
        self.operator.terms()
    }

    fn damping(&self) -> f64 {
        self.operator.damping()
    }

    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply_term(index, &self.subset.embed(vector)?)?;
        Ok(self.subset.restrict(&product)?)
    }
}
