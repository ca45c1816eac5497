//! Moments and diagonals summed over the ranks of a shared objective, symmetric matrices as triangles.

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use super::pass::{Collected, FactorProgram, Mean, Means, MomentPass, Results};
use crate::{
    error::Error,
    objective::{Call, Extent, Found, Objective, Sent},
    space::{Inner, InnerFloat},
};

impl<B: AutodiffBackend> MomentPass<'_, B> {
    /// What was collected over all ranks: sums, and means of inputs weighted by uses. Unchanged if the objective is not
    /// shared. Collective.
    pub(super) fn over_ranks(
        &self,
        objective: &Objective<B>,
        results: Results,
        own: Result<Collected<B>, Error>,
    ) -> Result<Collected<B>, Error> {
        if !objective.is_shared() {
            return own;
        }
        let shapes = objective.shapes_of(&self.derivation(results))?;
        let with_gradient = results == Results::WithGradient;
        let parameters = if with_gradient { objective.layout().blocks().len() } else { 0 };
        let lead = if with_gradient { 1 + parameters } else { 0 };
        let gradients = shapes.iter().take(lead).skip(1).cloned().map(Extent::Whole);
        let moments = shapes.iter().skip(lead).map(|shape| moment(shape));
        let layers = self.structure.layers.len();
        let sent = || Sent {
            call: Call::Moments,
            vectors: &[],
            numbers: 1 + layers,
            extents: gradients.chain(moments).collect(),
        };
        let count = shapes.len() - lead;
        let found = objective.summed(sent, own.map(|own| self.found(own, (parameters, count))))?;
        let (value, rows) = found.numbers.split_first().unwrap_or((&0.0, &[]));
        let mut tensors = found.tensors.into_iter().flatten();
        let gradient: Vec<_> = tensors.by_ref().take(parameters).collect();
        let gradient = if with_gradient {
            Some(objective.parameters().space().from_blocks(gradient)?)
        } else {
            None
        };
        let means = rows.iter().map(|&rows| {
            let share = 1.0 / rows.max(1.0);
            let inputs = tensors.next();
            Mean {
                inputs: inputs.map(|sum| Inner::<B>::float_mul_scalar(sum, share.into())),
                rows: rows as usize,
                gradients: self.kind.metric.and_then(|_| tensors.next()),
            }
        });
        let layers = means.collect();
        let means = Means { layers, blocks: tensors.map(Some).collect() };
        Ok(Collected { value: *value, gradient, means })
    }

    /// One rank's part of the message.
    fn found(&self, own: Collected<B>, (parameters, count): (usize, usize)) -> Found<B> {
        let mut numbers = vec![own.value];
        let mut tensors = match own.gradient {
            Some(gradient) => gradient.into_blocks().into_iter().map(Some).collect(),
            None => vec![None; parameters],
        };
        for mean in own.means.layers {
            numbers.push(mean.rows as f64);
            let rows = mean.rows as f64;
            tensors.push(mean.inputs.map(|it| Inner::<B>::float_mul_scalar(it, rows.into())));
            if self.kind.metric.is_some() {
                tensors.push(mean.gradients);
            }
        }
        tensors.extend(own.means.blocks);
        numbers.resize(1 + self.structure.layers.len(), 0.0);
        tensors.resize(parameters + count, None);
        Found { numbers, tensors }
    }

    /// Diagonals summed over all ranks. Collective.
    pub(super) fn diagonals_over_ranks(
        &self,
        objective: &Objective<B>,
        derivation: &FactorProgram,
        own: Result<Vec<Option<InnerFloat<B>>>, Error>,
    ) -> Result<Vec<InnerFloat<B>>, Error> {
        if !objective.is_shared() {
            return Ok(own?.into_iter().flatten().collect());
        }
        let shapes = objective.shapes_of(derivation)?;
        let own = own.map(|mut tensors| {
            tensors.resize(shapes.len(), None);
            Found { numbers: Vec::new(), tensors }
        });
        let sent = || Sent {
            call: Call::Diagonals,
            vectors: &[],
            numbers: 0,
            extents: shapes.iter().cloned().map(Extent::Whole).collect(),
        };
        Ok(objective.summed(sent, own)?.tensors.into_iter().flatten().collect())
    }
}

/// Second moments `[groups, size, size]` are symmetric; others are diagonals.
fn moment(shape: &[usize]) -> Extent {
    match *shape {
        [groups, size, same] if size == same => Extent::Symmetric { groups, size },
        _ => Extent::Whole(shape.to_vec()),
    }
}
