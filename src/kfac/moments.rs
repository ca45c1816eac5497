//! The results of passes over all batches, and over the ranks of a shared objective: means over rows, and sums.

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use super::{
    pass::LayerProgram,
    program::{Results, times},
};
use crate::{
    error::Error,
    objective::{Call, Contribution, Extent, Objective, Sent},
    space::{Inner, InnerFloat, ParamVector},
    tensor::Operand,
};

/// The results of a pass, with the loss and gradient if they were asked for.
pub(super) struct Collected<B: AutodiffBackend> {
    pub value: f64,
    pub gradient: Option<ParamVector<B>>,
    pub means: Means<B>,
}

/// Means and sums over the batches so far, with the rows that they are over.
pub(super) struct Means<B: AutodiffBackend>(pub Vec<(Option<InnerFloat<B>>, usize)>);

impl<B: AutodiffBackend> Means<B> {
    /// Adds the result of a batch: a mean over rows, or a sum with a weight.
    pub fn add(
        &mut self,
        rows: &[Option<usize>],
        found: Vec<Operand<B::InnerBackend>>,
        weight: f64,
    ) -> Result<(), Error> {
        self.0.resize_with(rows.len(), || (None, 0));
        for (((mean, before), rows), term) in self.0.iter_mut().zip(rows).zip(found) {
            let (keep, weight) = match rows {
                None => (1.0, weight),
                Some(rows) => {
                    let share = *before as f64 / (*before + rows).max(1) as f64;
                    *before += rows;
                    (share, 1.0 - share)
                }
            };
            let term = times::<Inner<B>>(term.into_float()?, weight);
            let kept = mean.take().map(|mean| times::<Inner<B>>(mean, keep));
            *mean = kept.into_iter().chain([term]).reduce(Inner::<B>::float_add);
        }
        Ok(())
    }

    pub fn finish(self) -> Vec<InnerFloat<B>> {
        self.0.into_iter().filter_map(|(mean, _)| mean).collect()
    }
}

/// Sums over all ranks, and means weighted by rows; unchanged if the objective is not shared. Collective.
pub(super) fn over_ranks<B: AutodiffBackend>(
    objective: &Objective<B>,
    program: &LayerProgram,
    own: Result<Collected<B>, Error>,
) -> Result<Collected<B>, Error> {
    if !objective.is_shared() {
        return own;
    }
    let derived = objective.first_derived(program)?;
    let (graph, rows) = (derived.program.graph(), &derived.notes.rows);
    let with_gradient = matches!(program.results, Results::WithGradient(_));
    let parameters = if with_gradient { objective.layout().blocks().len() } else { 0 };
    let mut shapes = graph.outputs().iter().map(|&it| graph.value(it).shape.to_vec());
    let gradient = shapes.by_ref().skip(usize::from(with_gradient)).take(parameters);
    let mut extents: Vec<_> = gradient.map(Extent::Whole).collect();
    extents.extend(shapes.map(|shape| match (&program.results, &shape[..]) {
        // Second moments are symmetric; others are diagonals.
        (Results::Moments | Results::WithGradient(_), &[groups, size, same]) if size == same => {
            Extent::Symmetric { groups, size }
        }
        _ => Extent::Whole(shape),
    }));
    let sent = || Sent { call: Call::Moments, vectors: &[], numbers: 1 + rows.len(), extents };
    let own = own.map(|own| message(own, rows, parameters));
    let mut found = objective.summed(sent, own)?;
    let moments = found.tensors.split_off(parameters);
    let gradient = found.tensors.into_iter().flatten().collect();
    let gradient =
        with_gradient.then(|| objective.parameters().space().from_blocks(gradient)).transpose()?;
    let means = moments.into_iter().zip(rows).zip(&found.numbers[1..]);
    let means = means.map(|((sum, rows), &over)| match rows {
        Some(_) => (sum.map(|sum| times::<Inner<B>>(sum, 1.0 / over.max(1.0))), over as usize),
        None => (sum, 0),
    });
    Ok(Collected { value: found.numbers[0], gradient, means: Means(means.collect()) })
}

/// One rank's part: the loss and the rows of each mean, then the gradient, then sums.
fn message<B: AutodiffBackend>(
    own: Collected<B>,
    rows: &[Option<usize>],
    parameters: usize,
) -> Contribution<B> {
    let mut numbers = vec![own.value];
    let mut tensors: Vec<_> = match own.gradient {
        Some(gradient) => gradient.into_blocks().into_iter().map(Some).collect(),
        None => vec![None; parameters],
    };
    for ((mean, over), rows) in own.means.0.into_iter().zip(rows) {
        numbers.push(over as f64);
        let factor = if rows.is_some() { over as f64 } else { 1.0 };
        tensors.push(mean.map(|mean| times::<Inner<B>>(mean, factor)));
    }
    numbers.resize(1 + rows.len(), 0.0);
    tensors.resize(parameters + rows.len(), None);
    Contribution { numbers, tensors }
}
