//! One operator for each part of the parameters.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{InnerFloat, ParamSpace, ParamSubset, ParamVector},
};

use super::{Adjoint, LinearOperator, OperatorError, SelfAdjoint, expect_square};

/// Operators on separate parts of the parameters, together one operator:
///
/// ```text
/// ⎡A₁      ⎤
/// ⎢   A₂   ⎥
/// ⎣      A₃⎦
/// ```
///
/// The parts need not be adjacent. Every block of the layout is in exactly one of them. For parts of different kinds
/// take `Box<dyn SelfAdjoint<B>>` or `Box<dyn LinearOperator<B>>` for `A`.
///
/// # Cost
/// One product with each part; no vector is copied.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, operator::{BlockDiagonal, Identity, Scaled}};
///
/// let space = ParamSpace::<Autodiff<Flex>>::from_shapes([("w", [2]), ("b", [1])])?;
/// let parts = [("w", 2.0), ("b", -1.0)].map(|(name, factor)| {
///     let subset = space.layout().select(name)?;
///     let multiple = Scaled::new(Identity::new(&space.restricted(&subset)?)?, factor)?;
///     Ok::<_, burn_curvature::Error>((subset, multiple))
/// });
/// let operator = BlockDiagonal::new(&space, parts.into_iter().collect::<Result<Vec<_>, _>>()?)?;
/// assert_eq!(operator.apply(&space.ones())?.to_vec()?, [2.0, 2.0, -1.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct BlockDiagonal<B: AutodiffBackend, A> {
    space: ParamSpace<B>,
    parts: Vec<(ParamSubset, A)>,
}

impl<B: AutodiffBackend, A: LinearOperator<B>> BlockDiagonal<B, A> {
    /// One operator for each selection of parameters.
    ///
    /// # Errors
    /// [`OperatorError::BlockTwice`] and [`OperatorError::BlockMissing`] unless each block of the layout is in exactly
    /// one selection; [`OperatorError::NotSquare`] for a part;
    /// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) for a selection from another layout, or an
    /// operator of another layout than its selection.
    pub fn new(space: &ParamSpace<B>, parts: Vec<(ParamSubset, A)>) -> Result<Self, Error> {
        let layout = space.layout();
        let mut seen = vec![false; layout.blocks().len()];
        for (subset, operator) in &parts {
            let part = space.restricted(subset)?;
            expect_square(operator)?;
            part.expect_same(operator.domain())?;
            for position in subset.positions() {
                if let Some(seen) = seen.get_mut(*position)
                    && std::mem::replace(seen, true)
                {
                    let block = layout.name_at(*position);
                    return Err(OperatorError::BlockTwice { block }.into());
                }
            }
        }
        if let Some(position) = seen.iter().position(|seen| !seen) {
            let block = layout.name_at(position);
            return Err(OperatorError::BlockMissing { block }.into());
        }
        Ok(Self { space: space.clone(), parts })
    }

    /// One operator for each block of the layout, made by a function of the selection of that block.
    ///
    /// # Errors
    /// As [`new`](Self::new), and errors of the function.
    pub fn per_block(
        space: &ParamSpace<B>,
        mut operator: impl FnMut(&ParamSubset) -> Result<A, Error>,
    ) -> Result<Self, Error> {
        let layout = space.layout();
        let blocks = layout.blocks().iter();
        let parts = blocks.map(|block| {
            let subset = layout.select_by(|other| other.name() == block.name())?;
            let operator = operator(&subset)?;
            Ok((subset, operator))
        });
        Self::new(space, parts.collect::<Result<Vec<_>, Error>>()?)
    }

    /// The operators, each with the parameters it applies to.
    pub fn parts(&self) -> &[(ParamSubset, A)] {
        &self.parts
    }

    /// The operator on the part that holds a parameter, by any of the parameter's names. Its vectors have the blocks of
    /// that part only.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchParameter`].
    pub fn part_of(&self, parameter: &str) -> Result<&A, Error> {
        let mut parts = self.parts.iter();
        let found = parts.find(|(subset, _)| {
            let mut blocks = subset.layout().blocks().iter();
            blocks.any(|block| block.paths().any(|path| path == parameter))
        });
        let (_, operator) = found.ok_or_else(|| OperatorError::NoSuchParameter {
            found: parameter.into(),
            available: self
                .space
                .layout()
                .blocks()
                .iter()
                .map(|block| block.name().into())
                .collect(),
        })?;
        Ok(operator)
    }

    /// Puts the products of the parts together.
    fn assemble(
        &self,
        vector: &ParamVector<B>,
        product: impl Fn(&A, &ParamVector<B>) -> Result<ParamVector<B>, Error>,
    ) -> Result<ParamVector<B>, Error> {
        self.space.expect_same(vector.space())?;
        let mut blocks: Vec<Option<InnerFloat<B>>> = vec![None; self.space.layout().blocks().len()];
        for (subset, operator) in &self.parts {
            let part = product(operator, &subset.restrict(vector)?)?;
            place(&mut blocks, subset, part)?;
        }
        gather(&self.space, blocks)
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for BlockDiagonal<B, A> {
    fn domain(&self) -> &ParamSpace<B> {
        &self.space
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.assemble(vector, A::apply)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let count = self.space.layout().blocks().len();
        let mut all = vec![vec![None; count]; vectors.len()];
        for (subset, operator) in &self.parts {
            let parts = vectors.iter().map(|vector| subset.restrict(vector));
            let products = operator.apply_many(&parts.collect::<Result<Vec<_>, _>>()?)?;
            for (blocks, product) in all.iter_mut().zip(products) {
                place(blocks, subset, product)?;
            }
        }
        all.into_iter().map(|blocks| gather(&self.space, blocks)).collect()
    }
}

impl<B: AutodiffBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for BlockDiagonal<B, A> {}

impl<B: AutodiffBackend, A: Adjoint<B>> Adjoint<B> for BlockDiagonal<B, A> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.assemble(vector, A::apply_adjoint)
    }
}

/// Puts the blocks of a part where they belong.
fn place<B: AutodiffBackend>(
    blocks: &mut [Option<InnerFloat<B>>],
    subset: &ParamSubset,
    part: ParamVector<B>,
) -> Result<(), Error> {
    subset.layout().expect_same(part.layout())?;
    for (position, block) in subset.positions().iter().zip(part.into_blocks()) {
        if let Some(slot) = blocks.get_mut(*position) {
            *slot = Some(block);
        }
    }
    Ok(())
}

/// A vector from blocks that are all there, since the parts cover the layout.
fn gather<B: AutodiffBackend>(
    space: &ParamSpace<B>,
    blocks: Vec<Option<InnerFloat<B>>>,
) -> Result<ParamVector<B>, Error> {
    Ok(space.from_blocks(blocks.into_iter().flatten().collect())?)
}
