//! Hutchinson-style estimate of diag(JᵀS SᵀJ), accumulated over batches.

use burn_backend::{AutodiffBackend, Shape, ops::FloatTensorOps};

use crate::{
    derive::{Metric, Product},
    error::Error,
    objective::{Call, Extent, Found, Objective, ObjectiveError, Part, PreparedProduct, Sent},
    seeds::Seeds,
    space::{Inner, InnerFloat, ParamLayout, ParamSpace, read_tensor},
    tensor::Operand,
};

/// Σ over batches of weight · factor · mean over probes of (JᵀS r)∘(JᵀS r), r random signs: in expectation the diagonal
/// of Σ weight · factor · JᵀS SᵀJ, for the parameters at the given positions.
///
/// With [`Metric::Empirical`] there is one sign per sample, else one per output.
pub(super) fn mean_squares<B: AutodiffBackend>(
    objective: &Objective<B>,
    metric: Metric,
    factor: &dyn Fn(&Part<B>) -> f64,
    positions: &[usize],
    (probes, seed): (usize, u64),
) -> Result<Vec<Vec<f64>>, Error> {
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
                *sum = Some(match sum.take() {
                    Some(sum) => Inner::<B>::float_add(sum, square),
                    None => square,
                });
            }
        }
        Ok(())
    });
    let blocks = objective.layout().blocks();
    let shape =
        |&at: &usize| Extent::Whole(blocks.get(at).map_or(&[][..], |it| it.shape()).to_vec());
    let sent = || Sent {
        call: Call::Squares,
        vectors: &[],
        numbers: 0,
        extents: positions.iter().map(shape).collect(),
    };
    let own = own.map(|()| Found { numbers: Vec::new(), tensors: sums });
    let sums = objective.summed(sent, own)?.tensors.into_iter();
    sums.map(|sum| Ok(read_tensor::<B>(sum.ok_or(ObjectiveError::NoBatches)?)?)).collect()
}

/// Random signs shaped as the outputs.
fn signs<B: AutodiffBackend>(
    objective: &Objective<B>,
    outputs: &[usize],
    one_per_sample: bool,
    seed: u64,
) -> Result<InnerFloat<B>, Error> {
    let own = if one_per_sample {
        let ones = outputs.iter().skip(1).map(|_| 1);
        outputs.iter().copied().take(1).chain(ones).collect()
    } else {
        outputs.to_vec()
    };
    let layout = ParamLayout::from_shapes([("outputs", own)])?;
    let (device, precision) = (objective.parameters().device(), objective.precision());
    let signs = ParamSpace::<B>::new(&layout, device, precision)?.rademacher(seed);
    let signs = signs.into_blocks().pop().ok_or(ObjectiveError::NoBatches)?;
    Ok(Inner::<B>::float_expand(signs, Shape::from(outputs.to_vec())))
}
