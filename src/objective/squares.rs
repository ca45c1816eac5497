//! Squares of products with random signs, over all batches. Knows programs, not what the squares are wanted for.

use burn_backend::{AutodiffBackend, Shape, ops::FloatTensorOps};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use super::{Objective, ObjectiveError, Part, PreparedProduct};
use crate::{
    derive::{Product, Root},
    error::Error,
    space::{Inner, InnerFloat, ParamLayout, ParamSpace, read_tensor},
    tensor::Operand,
};

impl<B: AutodiffBackend> Objective<B> {
    /// Σ over batches of weight · factor · mean over probes of (JᵀS r)∘(JᵀS r), r random signs: in expectation the
    /// diagonal of Σ weight · factor · JᵀS SᵀJ, for the parameters at the given positions.
    ///
    /// With [`Root::Empirical`] there is one sign a sample, else one an output.
    pub(crate) fn mean_squares(
        &self,
        root: Root,
        factor: &dyn Fn(&Part<B>) -> f64,
        positions: &[usize],
        (probes, seed): (usize, u64),
    ) -> Result<Vec<Vec<f64>>, Error> {
        let product = PreparedProduct::new(Product::Root(root));
        let mut seeds = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut sums: Vec<Option<InnerFloat<B>>> = vec![None; positions.len()];
        self.for_each_part(|index, part| {
            let ready = self.ready(&product, index, part)?;
            let outputs = part.programs.outputs_type()?.shape.to_vec();
            let weight = part.weight * factor(part) / probes.max(1) as f64;
            for _ in 0..probes {
                let signs = self.signs(&outputs, root == Root::Empirical, seeds.random())?;
                let blocks = ready.run(vec![Operand::Float(signs)])?;
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
        })?;
        sums.into_iter()
            .map(|sum| Ok(read_tensor::<B>(sum.ok_or(ObjectiveError::NoBatches)?)?))
            .collect()
    }

    /// Random signs shaped as the outputs.
    fn signs(
        &self,
        outputs: &[usize],
        one_a_sample: bool,
        seed: u64,
    ) -> Result<InnerFloat<B>, Error> {
        let own = match one_a_sample {
            true => {
                let ones = outputs.iter().skip(1).map(|_| 1);
                outputs.iter().copied().take(1).chain(ones).collect()
            }
            false => outputs.to_vec(),
        };
        let layout = ParamLayout::from_shapes([("outputs", own)])?;
        let (device, precision) = (self.parameters.device(), self.precision());
        let signs = ParamSpace::<B>::new(&layout, device, precision)?.rademacher(seed);
        let signs = signs.into_blocks().pop().ok_or(ObjectiveError::NoBatches)?;
        let shape = Shape::from(outputs.to_vec());
        Ok(Inner::<B>::float_expand(signs, shape))
    }
}
