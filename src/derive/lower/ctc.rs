//! The connectionist temporal classification loss as a dynamic program over time steps, in log space.

use burn_backend::{
    Backend, Shape, Slice, TensorMetadata,
    ops::PadMode,
    tensor::{BoolTensor, FloatTensor, IntTensor},
};

use super::{
    Context,
    inputs::Inputs,
    primitive::{bool_dtype, int_dtype, reshape, scalar, slice_dim},
};
use crate::{error::Error, tensor::Operand};

/// Logarithm of an impossible path. Finite, so that no difference of two of them is undefined.
const IMPOSSIBLE: f32 = -1e30;

/// A loss above this is that of targets that no path reaches; Burn gives infinity for it.
const UNREACHABLE: f64 = 1e29;

/// `−ln Σ p(path)` over the paths that spell each target, one loss per sample.
pub(super) fn ctc_loss<B: Backend>(
    blank: usize,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let log_probs = inputs.float()?;
    let targets = inputs.int()?;
    let (input_lengths, target_lengths) = (inputs.int()?, inputs.int()?);
    let lattice = Lattice::new(&log_probs.shape(), targets, blank, context);
    let steps = lattice.steps(log_probs);
    let mut alpha = lattice.start(steps.clone());
    for time in 1..lattice.times {
        let running = lattice.running(input_lengths.clone(), time);
        let next = lattice.advance(alpha.clone(), lattice.step(steps.clone(), time));
        alpha = B::float_mask_where(alpha, running, next);
    }
    Ok(vec![Operand::Float(lattice.loss(alpha, target_lengths))])
}

/// States (targets with blanks between) per sample, and what does not change over time.
struct Lattice<'a, B: Backend> {
    times: usize,
    batch: usize,
    states: usize,
    /// Label of each state, `[batch, states]`.
    labels: IntTensor<B>,
    /// Where a state may not be reached from two states before.
    no_skip: BoolTensor<B>,
    context: &'a Context<'a, B>,
}

impl<'a, B: Backend> Lattice<'a, B> {
    fn new(
        log_probs: &Shape,
        targets: IntTensor<B>,
        blank: usize,
        context: &'a Context<'a, B>,
    ) -> Self {
        let (times, batch) = (log_probs[0], log_probs[1]);
        let states = 2 * targets.shape()[1] + 1;
        let dtype = targets.dtype().into();
        let shape = Shape::from(vec![batch, states]);
        let mut labels = B::int_full(shape, (blank as i64).into(), context.device, dtype);
        if states > 1 {
            labels = B::int_slice_assign(labels, &[Slice::full(), Slice::new(1, None, 2)], targets);
        }
        let no_skip = Self::no_skip(labels.clone(), blank, context);
        Self { times, batch, states, labels, no_skip, context }
    }

    /// A skip needs two different labels with the blank between them.
    fn no_skip(labels: IntTensor<B>, blank: usize, context: &Context<'_, B>) -> BoolTensor<B> {
        let dtype = bool_dtype::<B>(context.device);
        let shape = labels.shape();
        let everywhere = B::bool_ones(shape.clone(), context.device, dtype);
        if shape[1] < 3 {
            return everywhere;
        }
        let from_third = [Slice::full(), Slice::new(2, None, 1)];
        let later = B::int_slice(labels.clone(), &from_third);
        let earlier = B::int_slice(labels, &[Slice::full(), (0..shape[1] - 2).into()]);
        let is_blank = B::int_equal_elem(later.clone(), (blank as i64).into(), dtype);
        let blocked = B::bool_or(B::int_equal(later, earlier, dtype), is_blank);
        B::bool_slice_assign(everywhere, &from_third, blocked)
    }

    /// Log-probability of each state's label at each time, `[times, batch, states]`.
    fn steps(&self, log_probs: FloatTensor<B>) -> FloatTensor<B> {
        let shape = Shape::from(vec![self.times, self.batch, self.states]);
        let labels =
            B::int_reshape(self.labels.clone(), Shape::from(vec![1, self.batch, self.states]));
        let steps = B::float_gather(2, log_probs, B::int_expand(labels, shape));
        B::float_clamp_min(steps, scalar(f64::from(IMPOSSIBLE)))
    }

    fn step(&self, steps: FloatTensor<B>, time: usize) -> FloatTensor<B> {
        let at = slice_dim::<B>(steps, 0, time..time + 1);
        reshape::<B>(at, &[self.batch, self.states])
    }

    /// A path begins in one of the first two states.
    fn start(&self, steps: FloatTensor<B>) -> FloatTensor<B> {
        let late =
            B::int_greater_elem(self.columns(), 1.into(), bool_dtype::<B>(self.context.device));
        B::float_mask_fill(self.step(steps, 0), late, scalar(f64::from(IMPOSSIBLE)))
    }

    fn columns(&self) -> IntTensor<B> {
        let columns = B::int_arange(
            0..self.states as i64,
            self.context.device,
            int_dtype::<B>(self.context.device),
        );
        let columns = B::int_reshape(columns, Shape::from(vec![1, self.states]));
        B::int_expand(columns, Shape::from(vec![self.batch, self.states]))
    }

    /// Samples that are longer than `time`.
    fn running(&self, lengths: IntTensor<B>, time: usize) -> BoolTensor<B> {
        let running = B::int_greater_elem(
            lengths,
            (time as i64).into(),
            bool_dtype::<B>(self.context.device),
        );
        let running = B::bool_reshape(running, Shape::from(vec![self.batch, 1]));
        B::bool_expand(running, Shape::from(vec![self.batch, self.states]))
    }

    /// `αₜ(s) = ln(e^α(s) + e^α(s−1) + [skip] e^α(s−2)) + step(s)`.
    fn advance(&self, alpha: FloatTensor<B>, step: FloatTensor<B>) -> FloatTensor<B> {
        let one = self.shifted(alpha.clone(), 1);
        let two = self.shifted(alpha.clone(), 2);
        let two = B::float_mask_fill(two, self.no_skip.clone(), scalar(f64::from(IMPOSSIBLE)));
        B::float_add(self.log_sum_exp(alpha, vec![one, two]), step)
    }

    fn shifted(&self, alpha: FloatTensor<B>, by: usize) -> FloatTensor<B> {
        let by = by.min(self.states);
        if by == self.states {
            let dtype = alpha.dtype().into();
            return B::float_full(
                alpha.shape(),
                scalar(f64::from(IMPOSSIBLE)),
                self.context.device,
                dtype,
            );
        }
        let kept = slice_dim::<B>(alpha, 1, 0..self.states - by);
        B::float_pad(kept, &[(0, 0), (by, 0)], PadMode::Constant(IMPOSSIBLE))
    }

    /// `ln Σ e^term`, shifted by a maximum that is off the tape.
    fn log_sum_exp(&self, first: FloatTensor<B>, rest: Vec<FloatTensor<B>>) -> FloatTensor<B> {
        let dtype = bool_dtype::<B>(self.context.device);
        let max = rest.iter().fold((self.context.detach)(first.clone()), |max, term| {
            let term = (self.context.detach)(term.clone());
            let greater = B::float_greater(term.clone(), max.clone(), dtype);
            B::float_mask_where(max, greater, term)
        });
        let exp = |term| B::float_exp(B::float_sub(term, max.clone()));
        let sum = rest.into_iter().fold(exp(first), |sum, term| B::float_add(sum, exp(term)));
        B::float_add(max, B::float_log(sum))
    }

    /// The path ends in the last label or in the blank after it.
    fn loss(&self, alpha: FloatTensor<B>, target_lengths: IntTensor<B>) -> FloatTensor<B> {
        let dtype = bool_dtype::<B>(self.context.device);
        let column = Shape::from(vec![self.batch, 1]);
        let lengths = B::int_reshape(target_lengths, column);
        let blank = B::int_mul_scalar(lengths.clone(), 2.into());
        let label = B::int_clamp_min(B::int_sub_scalar(blank.clone(), 1.into()), 0.into());
        let empty = B::int_equal_elem(lengths, 0.into(), dtype);
        let at_label = B::float_gather(1, alpha.clone(), label);
        let at_label = B::float_mask_fill(at_label, empty, scalar(f64::from(IMPOSSIBLE)));
        let at_blank = B::float_gather(1, alpha, blank);
        let loss = B::float_neg(self.log_sum_exp(at_label, vec![at_blank]));
        let unreachable = B::float_greater_elem(loss.clone(), scalar(UNREACHABLE), dtype);
        reshape::<B>(B::float_mask_fill(loss, unreachable, scalar(f64::INFINITY)), &[self.batch])
    }
}
