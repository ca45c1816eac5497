//! Products between some of the parameters and others: blocks of the Hessian, over all batches.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{
    Objective, ObjectiveError,
    products::{PreparedProduct, accumulate, parts},
    shared::Call,
};
use crate::{
    derive::Product,
    error::Error,
    space::{ParamLayout, ParamSpace, ParamVector},
    tensor::Operand,
};

type Operands<B> = Vec<Operand<<B as AutodiffBackend>::InnerBackend>>;

impl<B: AutodiffBackend> Objective<B> {
    /// Σ over batches of weight · product for vectors of some of the parameters, laid out as `rows`; each batch is
    /// prepared once. Collective.
    ///
    /// # Errors
    /// Vectors of another space than `columns`.
    #[inline(never)]
    pub(crate) fn block_products(
        &self,
        product: &PreparedProduct<B>,
        (rows, columns): (&ParamSpace<B>, &ParamSpace<B>),
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<ParamVector<B>>, Error> {
        let fit = vectors.iter().try_for_each(|vector| columns.expect_same(vector.space()));
        let own = fit.map_err(Error::from);
        let own = own.and_then(|()| self.block_products_here(product, rows.layout(), vectors));
        let (call, count) = ((Call::Product, vectors), (0, vectors.len()));
        Ok(self.summed_vectors(rows, call, count, own.map(|sums| (Vec::new(), sums)))?.1)
    }

    fn block_products_here(
        &self,
        product: &PreparedProduct<B>,
        rows: &Arc<ParamLayout>,
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<Option<ParamVector<B>>>, Error> {
        let mut sums: Vec<Option<ParamVector<B>>> = vec![None; vectors.len()];
        self.each_product(product, |part, ready| {
            ready.each(vectors.iter().map(parts), |index, blocks| match sums.get_mut(index) {
                Some(sum) => accumulate(sum, part.weight, part_of::<B>(rows, blocks)?),
                None => Ok(()),
            })
        })?;
        Ok(sums)
    }

    /// The same product on one batch, weighted so that the mean over batches is the full product. Collective.
    #[inline(never)]
    pub(crate) fn block_term(
        &self,
        product: &PreparedProduct<B>,
        rows: &ParamSpace<B>,
        term: usize,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        let own = self.block_term_here(product, rows.layout(), term, vector);
        let call = (Call::Term, std::slice::from_ref(vector));
        let own = own.map(|sum| (Vec::new(), vec![sum]));
        let sum = self.summed_vectors(rows, call, (0, 1), own)?.1.into_iter().next();
        sum.ok_or_else(|| ObjectiveError::NoBatches.into())
    }

    fn block_term_here(
        &self,
        product: &PreparedProduct<B>,
        rows: &Arc<ParamLayout>,
        term: usize,
        vector: &ParamVector<B>,
    ) -> Result<Option<ParamVector<B>>, Error> {
        let mut result = None;
        if term >= self.batches() {
            return Ok(None);
        }
        self.with_part(term, |part| {
            let weight = part.weight * self.terms() as f64;
            let blocks = self.ready(product, term, part)?.run(parts(vector))?;
            accumulate(&mut result, weight, part_of::<B>(rows, blocks)?)
        })?;
        Ok(result)
    }

    /// For every part of the product on the first batch, whether it depends on the vector; what does not is zero for all
    /// vectors and parameters.
    #[inline(never)]
    pub(crate) fn parts_that_vary(&self, kind: Product) -> Result<Vec<bool>, Error> {
        self.of_first(|part| {
            let programs = part.programs.product(kind)?;
            let (graph, fixed) =
                (programs.finish.graph(), programs.prepare.graph().outputs().len());
            let varying = graph.dependents(graph.inputs().get(fixed..).unwrap_or_default());
            Ok(graph.outputs().iter().map(|output| varying.contains(output)).collect())
        })
    }

    /// For every parameter, whether the loss depends on it on the first batch.
    #[inline(never)]
    pub(crate) fn parameters_in_use(&self) -> Result<Vec<bool>, Error> {
        self.of_first(|part| {
            let graph = part.recorded();
            let own = graph.inputs().iter().take(self.layout().blocks().len());
            let reaches = |&input| {
                let dependents = graph.dependents(&[input]);
                graph.outputs().first().is_some_and(|loss| dependents.contains(loss))
            };
            Ok(own.map(reaches).collect())
        })
    }
}

fn part_of<B: AutodiffBackend>(
    rows: &Arc<ParamLayout>,
    blocks: Operands<B>,
) -> Result<ParamVector<B>, Error> {
    let blocks: Result<Vec<_>, _> = blocks.into_iter().map(Operand::into_float).collect();
    Ok(ParamVector::from_blocks(rows, blocks?)?)
}
