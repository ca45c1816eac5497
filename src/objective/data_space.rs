//! Vectors of the data: the outputs on all batches, J v and Jᵀu. On a shared objective they have a block for each batch of all
//! ranks, and are whole on every rank.

use burn_backend::AutodiffBackend;

use super::{
    Objective, ObjectiveError, PreparedProduct,
    products::{accumulate, parts},
    shared::Call,
};
use crate::{
    error::Error,
    space::{InnerFloat, ParamSpace, ParamVector, VectorError},
    tensor::Operand,
};

impl<B: AutodiffBackend> Objective<B> {
    /// The model's outputs z on every batch: one block per batch, named `outputs` for a single one. Of a
    /// [shared](Self::shared) objective those of all ranks, by one message of their number. Collective.
    ///
    /// # Errors
    /// [`DeriveError::NoOutputs`](crate::errors::DeriveError::NoOutputs) if the captured closure returned the loss alone.
    #[inline(never)]
    pub fn outputs(&self) -> Result<ParamVector<B>, Error> {
        let space = self.parameters().space().with_layout(&self.outputs_layout()?);
        let mut blocks = Vec::with_capacity(self.batches());
        let own = self.for_each_part(|_, part| {
            blocks.push(self.outputs_of(part)?.into_float()?);
            Ok(())
        });
        let own = own.map(|()| vec![blocks]);
        let outputs = self.by_batch(&space, (Call::Rows, &[]), 1, own)?.into_iter().next();
        outputs.ok_or_else(|| ObjectiveError::NoBatches.into())
    }

    /// J v for several vectors, batch by batch, unweighted, as blocks of the outputs' layout. Collective.
    #[inline(never)]
    pub(crate) fn jacobian_products(
        &self,
        product: &PreparedProduct<B>,
        outputs: &ParamSpace<B>,
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<ParamVector<B>>, Error> {
        let own = self.jacobian_products_here(product, vectors);
        self.by_batch(outputs, (Call::Product, vectors), vectors.len(), own)
    }

    #[inline(never)]
    fn jacobian_products_here(
        &self,
        product: &PreparedProduct<B>,
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<Vec<InnerFloat<B>>>, Error> {
        for vector in vectors {
            self.expect_compatible(vector)?;
        }
        let mut blocks = vec![Vec::with_capacity(self.batches()); vectors.len()];
        self.each_product(product, |_, ready| {
            ready.each(vectors.iter().map(parts), |index, found| {
                let found = found.into_iter().map(Operand::into_float);
                if let Some(blocks) = blocks.get_mut(index) {
                    blocks.extend(found.collect::<Result<Vec<_>, _>>()?);
                }
                Ok(())
            })
        })?;
        Ok(blocks)
    }

    /// Σ over batches of Jᵀu for several u, unweighted, each of the space of the outputs. Collective.
    #[inline(never)]
    pub(crate) fn adjoint_products(
        &self,
        product: &PreparedProduct<B>,
        outputs: &ParamSpace<B>,
        cotangents: &[ParamVector<B>],
    ) -> Result<Vec<ParamVector<B>>, Error> {
        let fit = cotangents.iter().try_for_each(|vector| outputs.expect_same(vector.space()));
        let own = fit.map_err(Error::from);
        let own = own.and_then(|()| self.adjoint_products_here(product, cotangents));
        let (space, call) = (self.parameters().space(), (Call::Product, cotangents));
        let own = own.map(|sums| (Vec::new(), sums));
        Ok(self.summed_vectors(space, call, (0, cotangents.len()), own)?.1)
    }

    #[inline(never)]
    fn adjoint_products_here(
        &self,
        product: &PreparedProduct<B>,
        cotangents: &[ParamVector<B>],
    ) -> Result<Vec<Option<ParamVector<B>>>, Error> {
        let mut sums: Vec<Option<ParamVector<B>>> = vec![None; cotangents.len()];
        let first = self.first_block();
        self.for_each_part(|index, part| {
            let block = |cotangent: &ParamVector<B>| {
                let found = cotangent.blocks().len();
                let block = cotangent.blocks().get(first + index).cloned();
                block.ok_or(VectorError::BlockCount { expected: first + index + 1, found })
            };
            let blocks: Vec<_> = cotangents.iter().map(block).collect::<Result<_, _>>()?;
            let blocks = blocks.into_iter().map(|block| vec![Operand::Float(block)]);
            self.ready(product, index, part)?.each(blocks, |place, found| {
                match sums.get_mut(place) {
                    Some(sum) => accumulate(sum, 1.0, self.vector(found)?),
                    None => Ok(()),
                }
            })
        })?;
        Ok(sums)
    }
}
