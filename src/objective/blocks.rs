//! Products between some of the parameters and others: blocks of the Hessian, over all batches.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{
    Objective, ObjectiveError,
    products::{PreparedProduct, accumulate},
};
use crate::{
    derive::Product,
    error::Error,
    space::{ParamLayout, ParamVector},
    tensor::Operand,
};

type Operands<B> = Vec<Operand<<B as AutodiffBackend>::InnerBackend>>;

impl<B: AutodiffBackend> Objective<B> {
    /// Σ over batches of weight · product for vectors of some of the parameters, laid out as `rows`; each batch is
    /// prepared once. The vectors must fit the product.
    pub(crate) fn block_products(
        &self,
        product: &PreparedProduct<B>,
        rows: &Arc<ParamLayout>,
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<ParamVector<B>>, Error> {
        let mut sums: Vec<Option<ParamVector<B>>> = vec![None; vectors.len()];
        self.each_product(product, |part, ready| {
            for (sum, vector) in sums.iter_mut().zip(vectors) {
                let blocks = ready.run(operands(vector))?;
                accumulate(sum, part.weight, part_of::<B>(rows, blocks)?)?;
            }
            Ok(())
        })?;
        sums.into_iter().map(|sum| sum.ok_or_else(|| ObjectiveError::NoBatches.into())).collect()
    }

    /// The same product on one batch, weighted so that the mean over batches is the full product.
    pub(crate) fn block_term(
        &self,
        product: &PreparedProduct<B>,
        rows: &Arc<ParamLayout>,
        term: usize,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        let mut result = None;
        self.with_part(term, |part| {
            let weight = part.weight * self.batches() as f64;
            let blocks = self.ready(product, term, part)?.run(operands(vector))?;
            accumulate(&mut result, weight, part_of::<B>(rows, blocks)?)
        })?;
        result.ok_or_else(|| ObjectiveError::NoBatches.into())
    }

    /// For every part of the product on the first batch, whether it depends on the vector; what does not is zero for all
    /// vectors and parameters.
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

fn operands<B: AutodiffBackend>(vector: &ParamVector<B>) -> Operands<B> {
    vector.blocks().iter().cloned().map(Operand::Float).collect()
}

fn part_of<B: AutodiffBackend>(
    rows: &Arc<ParamLayout>,
    blocks: Operands<B>,
) -> Result<ParamVector<B>, Error> {
    let blocks: Result<Vec<_>, _> = blocks.into_iter().map(Operand::into_float).collect();
    Ok(ParamVector::from_blocks(rows, blocks?)?)
}
