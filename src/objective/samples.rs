//! The losses of single samples: objectives whose programs return them, or weigh them.
//!
//! A closure that returns [`Loss::mean_of`](crate::capture::Loss::mean_of) or `sum_of` records Σₙ ℓₙ with ℓ `[n]` just
//! before the sum. With ℓ as the outputs, [`Jacobian`](crate::Jacobian) is that of the losses: J s holds ∇ℓₙᵀs for all
//! samples by one forward-mode pass, and Jᵀu is Σ uₙ∇ℓₙ.

use std::{
    ops::Range,
    sync::{Arc, atomic::AtomicUsize},
};

use burn_backend::{AutodiffBackend, TensorData};

use super::{
    Objective, ObjectiveError, PreparedProduct,
    batches::{Part, Parts},
    inputs::with_float_inputs,
    products::accumulate,
    stream::Stream,
};
use crate::{
    capture::{Divisor, Recording},
    error::Error,
    graph::{Binary, Graph, Op, Reduction, ValueId, ValueType},
    space::ParamVector,
    tensor::Operand,
};

/// Samples whose gradients are asked for together.
const TOGETHER: usize = 64;

/// What programs do with the losses of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Use {
    /// They return ℓ `[n]` in place of the model's outputs.
    Returned,
    /// They are differentiated by the float tensors of the batch too, which follow the parameters.
    Differentiated,
    /// They take weights w `[n]` as the last tensor of the batch, and Σₙ wₙ ℓₙ is the loss.
    Weighted,
}

/// What an objective does with the losses of its samples.
#[derive(Clone)]
pub(super) enum SampleView {
    Returned,
    /// The weights of all samples, in the order of the batches.
    Weighted(Arc<[f64]>),
}

impl<B: AutodiffBackend> Objective<B> {
    /// The same objective with the losses of its samples `[n]` as outputs.
    ///
    /// # Errors
    /// [`ObjectiveError::NoSampleLosses`], [`ObjectiveError::LossCount`].
    #[inline(never)]
    pub(crate) fn returning_losses(&self) -> Result<Self, Error> {
        self.with_view(&SampleView::Returned)
    }

    /// The objective c·Σₙ wₙ ℓₙ, with the c of this one.
    ///
    /// # Errors
    /// As [`returning_losses`](Self::returning_losses); [`ObjectiveError::WeightCount`].
    #[inline(never)]
    pub(crate) fn weighing_losses(&self, weights: &[f64]) -> Result<Self, Error> {
        let rows = self.rows()?;
        let (found, samples) = (weights.len(), rows.total);
        if found != samples {
            return Err(ObjectiveError::WeightCount { found, samples }.into());
        }
        let own = weights.get(rows.first..rows.first + rows.own).unwrap_or_default();
        self.agreed(self.with_view(&SampleView::Weighted(own.into())))
    }

    /// Number of samples of each batch.
    #[inline(never)]
    pub(crate) fn samples(&self) -> Vec<usize> {
        if self.is_idle() {
            return Vec::new();
        }
        match &self.parts {
            Parts::Kept(parts) => parts.iter().map(|part| part.batch.samples).collect(),
            Parts::Streamed(stream) => stream.batches.iter().map(|batch| batch.samples).collect(),
        }
    }

    /// Whether the first dimension of the outputs counts the samples, on the first batch.
    #[inline(never)]
    pub(crate) fn counts_outputs(&self) -> bool {
        let same = |part: &Part<B>| {
            Ok(part.outputs_type()?.shape.iter().next() == Some(&part.batch.samples))
        };
        self.of_first(same).unwrap_or(false)
    }

    fn with_view(&self, view: &SampleView) -> Result<Self, Error> {
        let parts = match &self.parts {
            Parts::Kept(parts) => {
                let mut first = 0;
                let viewed = parts.iter().map(|part| {
                    let viewed = self.viewed(part, view, first)?;
                    first += part.batch.samples;
                    Ok(viewed)
                });
                Parts::Kept(viewed.collect::<Result<Arc<[_]>, Error>>()?)
            }
            Parts::Streamed(stream) => {
                // The first batch shows early whether there are losses of samples.
                self.with_part(0, |part| self.viewed(part, view, 0).map(drop))?;
                let (run, batches) = (Arc::clone(&stream.run), stream.batches.clone());
                let views = stream.views.iter().chain([view]).cloned().collect();
                let passes = AtomicUsize::default();
                Parts::Streamed(Arc::new(Stream { run, batches, views, passes }))
            }
        };
        Ok(self.with_parts(parts).numbered_anew())
    }

    /// A batch with the programs of a view, of which it holds the samples from `first`.
    pub(super) fn viewed(
        &self,
        part: &Part<B>,
        view: &SampleView,
        first: usize,
    ) -> Result<Part<B>, Error> {
        let samples = part.batch.samples;
        let purpose = match view {
            SampleView::Returned => Use::Returned,
            SampleView::Weighted(_) => Use::Weighted,
        };
        let programs = part.programs.used(purpose)?;
        let losses = match view {
            SampleView::Returned => programs.outputs_type()?.shape.num_elements(),
            SampleView::Weighted(_) => samples,
        };
        if losses != samples {
            return Err(ObjectiveError::LossCount { losses, samples }.into());
        }
        let weights = match view {
            SampleView::Returned => None,
            SampleView::Weighted(weights) => {
                // A rank without batches holds one that is not evaluated.
                let none = vec![0.0; samples];
                let own = weights.get(first..first + samples).unwrap_or(&none);
                Some(self.of_samples(own)?)
            }
        };
        Ok(part.with_programs(programs, weights))
    }

    /// Σₙ wₙ∇ℓₙ by Jᵀ of this objective, whose outputs are the losses of samples. Costs a gradient of each batch that has a
    /// weight other than zero.
    #[inline(never)]
    pub(crate) fn gradient_of_losses(
        &self,
        adjoint: &PreparedProduct<B>,
        weights: &[f64],
    ) -> Result<ParamVector<B>, Error> {
        let (mut sum, mut first) = (None, 0);
        self.for_each_part(|index, part| {
            let samples = part.batch.samples;
            let own = weights.get(first..first + samples).unwrap_or_default();
            if own.iter().any(|&weight| weight != 0.0) {
                let own = self.of_samples(own)?;
                let found = self.ready(adjoint, index, part)?.run(vec![own])?;
                accumulate(&mut sum, 1.0, self.vector(found)?)?;
            }
            first += samples;
            Ok(())
        })?;
        Ok(sum.unwrap_or_else(|| self.parameters().space().zeros()))
    }

    /// Calls `visit` with the index and gradient of each sample in a range, as
    /// [`gradient_of_losses`](Self::gradient_of_losses) for each, with one pass over the batches for all.
    pub(crate) fn each_sample_gradient(
        &self,
        adjoint: &PreparedProduct<B>,
        range: &Range<usize>,
        mut visit: impl FnMut(usize, ParamVector<B>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut first = 0;
        self.for_each_part(|index, part| {
            let samples = part.batch.samples;
            let own = range.start.max(first)..range.end.min(first + samples);
            if !own.is_empty() {
                let ready = self.ready(adjoint, index, part)?;
                let chosen = |sample: usize| {
                    let chosen = (0..samples).map(|at| f64::from(first + at == sample));
                    Ok(vec![self.of_samples(&chosen.collect::<Vec<f64>>())?])
                };
                for start in own.clone().step_by(TOGETHER) {
                    let some = start..own.end.min(start + TOGETHER);
                    let cotangents = some.map(chosen).collect::<Result<Vec<_>, Error>>()?;
                    ready.each(cotangents.into_iter(), |at, found| {
                        visit(start + at, self.vector(found)?)
                    })?;
                }
            }
            first += samples;
            Ok(())
        })
    }

    /// Numbers of the samples of a batch, on the device.
    fn of_samples(&self, values: &[f64]) -> Result<Operand<B::InnerBackend>, Error> {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        let data = data.convert_dtype(self.precision().dtype().into());
        Ok(Operand::from_data(data, self.parameters().device())?)
    }
}

/// The recording of another use of the losses of samples.
pub(super) fn recorded_for(recording: &Recording, purpose: Use) -> Result<Recording, Error> {
    let mut made = recording.clone();
    let losses = losses(recording)?;
    match purpose {
        Use::Differentiated => return with_float_inputs(recording),
        Use::Returned => {
            let sum = recording.graph.outputs()[0];
            made.graph = recording.graph.returning(vec![sum, losses]);
        }
        Use::Weighted => {
            let of_losses = recording.graph.value(losses).clone();
            let sum = recording.graph.value(recording.graph.outputs()[0]).clone();
            let weights = with_input(&mut made.graph, recording.buffers, of_losses.clone());
            let product = Op::Binary(Binary::Mul);
            let weighted = made.graph.append(product, vec![losses, weights], of_losses.clone());
            let total = made.graph.append(Op::Reduce(Reduction::Sum), vec![weighted], sum);
            made.graph.outputs[0] = total;
            made.graph = made.graph.without_dead_code();
            with_input(&mut made.guards.graph, recording.buffers, of_losses);
        }
    }
    Ok(made)
}

/// Adds an input after those of the batch.
fn with_input(graph: &mut Graph, buffers: usize, ty: ValueType) -> ValueId {
    graph.values.push(ty);
    let input = ValueId::new(graph.values.len() - 1);
    graph.inputs.insert(graph.inputs.len().saturating_sub(buffers), input);
    input
}

/// The losses `[n]` that a recorded loss is the sum of.
fn losses(recording: &Recording) -> Result<ValueId, ObjectiveError> {
    let missing = |found| ObjectiveError::NoSampleLosses { found };
    match recording.divisor {
        Divisor::One | Divisor::Count(_) => {}
        Divisor::Unstated => return Err(missing("a scalar that it reduced itself")),
        Divisor::Weight(_) => return Err(missing("a sum with a weight (`Loss::weighted`)")),
    }
    let graph = &recording.graph;
    let mut value = graph.outputs().first().copied();
    while let Some(found) = value {
        let node = graph.nodes().iter().find(|node| node.outputs.contains(&found));
        let Some(node) = node else { break };
        let input = node.inputs.first().copied();
        match (&node.op, input) {
            (Op::Reduce(Reduction::Sum) | Op::ReduceDim(Reduction::Sum, 0), Some(losses))
                if graph.value(losses).shape.num_dims() == 1 =>
            {
                return Ok(losses);
            }
            (Op::Reshape, _) => value = input,
            _ => break,
        }
    }
    Err(missing("a loss whose sum over samples was not found in the recorded program"))
}
