//! Exact blocks, or Hutchinson-style estimates of the diagonals, of parameters that belong to no layer.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, Shape, TensorMetadata, ops::FloatTensorOps};

use super::{
    KfacConfig, KfacError, KfacFisher, KfacLayer, KroneckerFactor,
    block::{Block, Network},
    matrix::{FactorMatrix, FactorShape},
    pass::MomentPass,
    program::{joined, times},
};
use crate::{
    curvature::{EmpiricalFisher, Fisher},
    derive::{Likelihood, Metric, Product},
    error::Error,
    objective::{
        Call, Contribution, Extent, Objective, ObjectiveError, Part, PreparedProduct, Sent,
    },
    operator::{LinearOperator, SelfAdjoint, materialize_up_to},
    seeds::Seeds,
    space::{Inner, InnerFloat, ParamLayout},
    tensor::{Operand, reshape},
};

/// Refuses uncovered parameters that are larger than the policy allows.
pub(super) fn expect_size(network: &Network, config: &KfacConfig) -> Result<(), KfacError> {
    let Some(limit) = config.uncovered.limit() else {
        return Ok(());
    };
    let Some(large) = network.uncovered().iter().find(|one| one.elements() > limit) else {
        return Ok(());
    };
    let reason = large.uncovered.as_ref().map(|uncovered| uncovered.reason.clone());
    Err(KfacError::Uncovered {
        parameter: large.name.clone(),
        reason: reason.unwrap_or_default(),
        elements: large.elements(),
        limit,
    })
}

/// Blocks of uncovered parameters whose gradients by single samples are not known, as the policy wants them: estimated
/// diagonals, then exact blocks.
pub(super) fn uncovered_factors<B: AutodiffBackend>(
    objective: &Objective<B>,
    uncovered: &[&Arc<Block>],
    config: &KfacConfig,
    pass: &MomentPass,
) -> Result<Vec<KfacLayer<B>>, Error> {
    let probes = |block: &Block| config.uncovered.estimate(block.elements());
    let (estimated, exact): (Vec<&Arc<Block>>, Vec<_>) =
        uncovered.iter().partition(|block| probes(block).is_some());
    let mut factors = Vec::with_capacity(uncovered.len());
    if let Some(probes) = estimated.first().and_then(|block| probes(block)) {
        let empirical = pass.kind.metric.filter(|metric| *metric == Metric::Empirical);
        let metric = empirical.unwrap_or(Metric::Exact(pass.likelihood.family()));
        let factor = |part: &Part<B>| pass.factor(Some(metric), part);
        let positions: Vec<usize> = estimated.iter().map(|block| block.position).collect();
        let diagonals = mean_squares(objective, metric, &factor, &positions, probes)?;
        factors.extend(estimates(&estimated, diagonals)?);
    }
    if exact.is_empty() {
        return Ok(factors);
    }
    let fisher = fisher_of(objective, config.fisher, pass.likelihood)?;
    for block in exact {
        let own = fisher.as_ref().restricted(block.subset.clone())?;
        let matrix = materialize_up_to(&own, block.elements())?;
        let shape = FactorShape::dense(1, matrix.rows());
        let matrix = FactorMatrix { shape, values: matrix.values().to_vec() };
        let factor = KroneckerFactor::known(&block.name, matrix, objective.parameters().space());
        factors.push(KfacLayer::new(block, factor, None));
    }
    Ok(factors)
}

/// The blocks with estimated diagonals, which are read.
pub(super) fn estimates<B: AutodiffBackend>(
    blocks: &[&Arc<Block>],
    diagonals: Vec<InnerFloat<B>>,
) -> Result<Vec<KfacLayer<B>>, Error> {
    let each = blocks.iter().zip(diagonals).map(|(block, values)| {
        let factor = KroneckerFactor::on_device(&block.name, values);
        factor.host()?;
        Ok(KfacLayer::new(block, factor, None))
    });
    each.collect()
}

/// The matrix that blocks are those of.
fn fisher_of<B: AutodiffBackend>(
    objective: &Objective<B>,
    fisher: KfacFisher,
    likelihood: Likelihood,
) -> Result<Box<dyn SelfAdjoint<B>>, Error> {
    Ok(match fisher {
        KfacFisher::Exact | KfacFisher::ForwardOnly => {
            Box::new(Fisher::exact(objective, likelihood)?)
        }
        KfacFisher::MonteCarlo { draws, seed }
        | KfacFisher::ExactWhereCheap { draws, seed, .. } => {
            Box::new(Fisher::monte_carlo(objective, likelihood, draws, seed)?)
        }
        KfacFisher::Empirical => Box::new(EmpiricalFisher::new(objective)?),
    })
}

/// Σ over batches of weight · factor · mean over probes of (JᵀS r)∘(JᵀS r), r random signs: in expectation the diagonal
/// of Σ weight · factor · JᵀS SᵀJ, for the parameters at the given positions.
///
/// With [`Metric::Empirical`] there is one sign per sample, else one per output.
pub(crate) fn mean_squares<B: AutodiffBackend>(
    objective: &Objective<B>,
    metric: Metric,
    factor: &dyn Fn(&Part<B>) -> f64,
    positions: &[usize],
    (probes, seed): (usize, u64),
) -> Result<Vec<InnerFloat<B>>, Error> {
    let product = PreparedProduct::new(Product::Root(metric));
    let mut index = 0;
    let mut sums: Vec<Option<InnerFloat<B>>> = vec![None; positions.len()];
    let own = objective.each_product(&product, |part, product| {
        // By the batch's number, so that ranks draw what one process would.
        let mut seeds = Seeds::new(Seeds::at(seed, objective.number_of(index) as u64));
        index += 1;
        let outputs = part.outputs_type()?.shape.to_vec();
        let weight = part.weight * factor(part) / probes.max(1) as f64;
        for _ in 0..probes {
            let signs = signs(objective, &outputs, metric == Metric::Empirical, seeds.next())?;
            let blocks = product.run(vec![Operand::Float(signs)])?;
            for (sum, &position) in sums.iter_mut().zip(positions) {
                let block = blocks.get(position).cloned();
                let block = block.ok_or(ObjectiveError::NoBatches)?.into_float()?;
                let square = Inner::<B>::float_mul(block.clone(), block);
                let square = Inner::<B>::float_mul_scalar(square, weight.into());
                *sum = sum.take().into_iter().chain([square]).reduce(Inner::<B>::float_add);
            }
        }
        Ok(())
    });
    let blocks = objective.layout().blocks();
    let shape = |&at: &usize| blocks.get(at).map(|block| block.shape().to_vec());
    let extents = || positions.iter().filter_map(shape).map(Extent::Whole).collect();
    let sent = || Sent { call: Call::Squares, vectors: &[], numbers: 0, extents: extents() };
    let own = own.map(|()| Contribution { numbers: Vec::new(), tensors: sums });
    let sums = objective.summed(sent, own)?.tensors;
    let flat = |sum: Option<InnerFloat<B>>| {
        let elements = sum.as_ref()?.shape().num_elements();
        Some(reshape::<Inner<B>>(sum?, &[elements]))
    };
    let sums: Option<Vec<_>> = sums.into_iter().map(flat).collect();
    Ok(sums.ok_or(ObjectiveError::NoBatches)?)
}

/// Random signs for several probes, `[probes, outputs…]`, times the root of a weight over their number: the same as those of
/// [`mean_squares`].
pub(super) fn scaled_signs<B: AutodiffBackend>(
    objective: &Objective<B>,
    part: &Part<B>,
    (probes, seed): (usize, u64),
    weight: f64,
) -> Result<InnerFloat<B>, Error> {
    let outputs = part.outputs_type()?.shape.to_vec();
    let (mut seeds, one) = (Seeds::new(seed), [&[1], &outputs[..]].concat());
    let all = (0..probes).map(|_| {
        let signs = signs(objective, &outputs, false, seeds.next())?;
        Ok(reshape::<Inner<B>>(signs, &one))
    });
    let all = all.collect::<Result<Vec<_>, Error>>()?;
    Ok(times::<Inner<B>>(joined::<Inner<B>>(all, 0), (weight / probes.max(1) as f64).sqrt()))
}

/// Random signs shaped as the outputs.
fn signs<B: AutodiffBackend>(
    objective: &Objective<B>,
    outputs: &[usize],
    one_per_sample: bool,
    seed: u64,
) -> Result<InnerFloat<B>, Error> {
    let mut own = outputs.to_vec();
    if one_per_sample {
        own.iter_mut().skip(1).for_each(|size| *size = 1);
    }
    let layout = ParamLayout::from_shapes([("outputs", own)])?;
    let signs = objective.parameters().space().with_layout(&layout).rademacher(seed);
    let signs = signs.into_blocks().pop().ok_or(ObjectiveError::NoBatches)?;
    Ok(Inner::<B>::float_expand(signs, Shape::from(outputs.to_vec())))
}
