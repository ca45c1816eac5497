//! Passes over the batches of an objective.

use std::{
    ops::Range,
    sync::{Arc, OnceLock, atomic::Ordering},
};

use burn_backend::AutodiffBackend;

use super::{
    BatchError, Noise, Objective, ObjectiveError, Progress,
    batches::{Counted, Part, Parts},
    programs::{Derivation, Derived},
    stream::Stream,
};
use crate::{error::Error, space::ParamLayout, tensor::Operand};

type Operands<B> = Vec<Operand<<B as AutodiffBackend>::InnerBackend>>;

/// Whether a check of a recording has passed.
pub(crate) type Checked = OnceLock<()>;

/// Takes one batch after another with its index.
type Work<'a, B> = &'a mut dyn FnMut(usize, &Part<B>) -> Result<(), Error>;

impl<B: AutodiffBackend> Objective<B> {
    /// Runs a derived program on every batch and calls `work` with its notes and results.
    ///
    /// The program is derived once per recording. Its inputs are those of the loss, then the noise of the batch if there
    /// is any, then those of `inputs`.
    pub(crate) fn pass<D: Derivation>(
        &self,
        derivation: &D,
        noise: Option<&Noise>,
        inputs: impl Fn(&Part<B>) -> Result<Operands<B>, Error>,
        mut work: impl FnMut(&Part<B>, &D::Notes, Operands<B>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.for_each_part(|index, part| {
            let derived = part.programs.derived(derivation)?;
            let mut operands = self.inputs(part)?;
            if let Some(noise) = noise {
                operands.push(self.noise(noise, index, part)?);
            }
            operands.extend(inputs(part)?);
            work(part, &derived.notes, derived.program.run(operands)?)
        })
    }

    /// Runs a program on every batch that holds some samples of a range: derived for their number, with inputs by where they
    /// are in the batch.
    pub(crate) fn pass_over<D: Derivation>(
        &self,
        range: &Range<usize>,
        derivation: impl Fn(usize) -> D,
        inputs: impl Fn(Range<usize>) -> Result<Operands<B>, Error>,
        mut work: impl FnMut(&Part<B>, &D::Notes, Operands<B>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut first = 0;
        self.for_each_part(|_, part| {
            let last = first + part.batch.samples;
            let own = range.start.max(first)..range.end.min(last);
            if !own.is_empty() {
                let derived = part.programs.derived(&derivation(own.len()))?;
                let mut operands = self.inputs(part)?;
                operands.extend(inputs(own.start - first..own.end - first)?);
                work(part, &derived.notes, derived.program.run(operands)?)?;
            }
            first = last;
            Ok(())
        })
    }

    /// A derived program for the first batch. Collective.
    pub(crate) fn first_derived<D: Derivation>(
        &self,
        derivation: &D,
    ) -> Result<Arc<Derived<B, D::Notes>>, Error> {
        self.agreed(self.of_first(|part| part.programs.derived(derivation)))
    }

    /// Checks the results of a derived program on the first batch, once per recording.
    pub(crate) fn checked_once<D: Derivation<Notes = Checked>>(
        &self,
        derivation: &D,
        check: impl Fn(Operands<B>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.with_part(0, |part| {
            let derived = part.programs.derived(derivation)?;
            if derived.notes.get().is_none() {
                check(derived.program.run(self.inputs(part)?)?)?;
                derived.notes.get_or_init(|| ());
            }
            Ok(())
        })
    }

    /// Refuses values of the model at which the closure would go another way on this batch, or pick out of range; checked once
    /// for each pair.
    pub(super) fn expect_same_way(&self, part: &Part<B>) -> Result<(), Error> {
        if !part.programs.depend_on_model() {
            return Ok(());
        }
        part.once_at(&self.point, || part.programs.expect_at_model(|| self.operands(part)))
    }

    /// The noise that targets are drawn by on a batch.
    pub(super) fn noise(
        &self,
        noise: &Noise,
        index: usize,
        part: &Part<B>,
    ) -> Result<Operand<B::InnerBackend>, Error> {
        let outputs = part.outputs_type()?;
        let made = noise(self.number_of(index), outputs)?.convert_dtype(outputs.dtype);
        Ok(Operand::from_data(made, self.values.device())?)
    }

    /// A batch of a data set, by its number.
    pub(super) fn part(&self, number: usize, batch: Counted<B>) -> Result<Part<B>, Error> {
        let made = Part::new(&self.recorder, &self.values, batch);
        made.map_err(|error| BatchError::numbered(error, number))
    }

    /// Calls `work` with every batch, and the observer after each.
    pub(super) fn for_each_part(
        &self,
        mut work: impl FnMut(usize, &Part<B>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.each_part(&mut work)
    }

    #[inline(never)]
    fn each_part(&self, work: Work<'_, B>) -> Result<(), Error> {
        if self.is_idle() {
            return Ok(());
        }
        let total = self.batches();
        let mut each = |index: usize, part: &Part<B>| {
            work(index, part)?;
            if let Some(observer) = &self.settings.observer {
                observer(Progress { done: index + 1, total });
            }
            Ok(())
        };
        match &self.parts {
            Parts::Kept(parts) => {
                let mut numbered = parts.iter().enumerate();
                numbered.try_for_each(|(index, part)| each(index, part))
            }
            Parts::Streamed(stream) => self.fetch(stream, &mut each),
        }
    }

    fn fetch(&self, stream: &Stream<B>, work: Work<'_, B>) -> Result<(), Error> {
        let (mut count, mut samples) = (0, 0);
        let pass = 1 + stream.passes.fetch_add(1, Ordering::Relaxed);
        let compares = pass.is_power_of_two() || self.parameters().space().is_on_processor();
        (stream.run)(&mut |batch| {
            let mut part = self.part(count, batch)?;
            if compares {
                stream.expect_elements(count, &part.batch)?;
            }
            part = stream.expect_same(count, part)?;
            for view in &stream.views {
                part = self.viewed(&part, view, samples)?;
            }
            work(count, &part)?;
            count += 1;
            samples += part.batch.samples;
            Ok(())
        })?;
        Ok(stream.expect_count(count)?)
    }

    /// Calls `work` with one batch. A stream is run through for it.
    pub(super) fn with_part(
        &self,
        index: usize,
        mut work: impl FnMut(&Part<B>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Parts::Kept(parts) = &self.parts {
            return parts.get(index).map_or(Ok(()), work);
        }
        self.for_each_part(|at, part| if at == index { work(part) } else { Ok(()) })
    }

    /// Shape of the outputs on the first batch.
    #[inline(never)]
    pub(crate) fn shape_of_outputs(&self) -> Result<Vec<usize>, Error> {
        self.of_first(|part| Ok(part.outputs_type()?.shape.to_vec()))
    }

    /// One block per batch, of all ranks, shaped as the outputs. Collective.
    #[inline(never)]
    pub(crate) fn outputs_layout(&self) -> Result<Arc<ParamLayout>, Error> {
        let mut own = Vec::with_capacity(self.batches());
        let read = self.for_each_part(|_, part| {
            own.push(part.outputs_type()?.shape.to_vec());
            Ok(())
        });
        let shapes = self.shapes_of_all(read.map(|()| own))?;
        let single = shapes.len() == 1;
        let named = shapes.into_iter().enumerate().map(|(index, shape)| {
            let name = if single { "outputs".to_string() } else { format!("outputs.{index}") };
            (name, shape)
        });
        Ok(ParamLayout::from_shapes(named)?)
    }

    /// The model's outputs on one batch.
    pub(super) fn outputs_of(&self, part: &Part<B>) -> Result<Operand<B::InnerBackend>, Error> {
        let outputs = part.programs.outputs()?.run(self.inputs(part)?)?;
        let outputs = outputs.into_iter().next();
        outputs.ok_or_else(|| ObjectiveError::NoBatches.into())
    }

    /// Reads something off the first batch.
    pub(crate) fn of_first<T>(
        &self,
        read: impl Fn(&Part<B>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut found = None;
        self.with_part(0, |part| {
            found = Some(read(part)?);
            Ok(())
        })?;
        found.ok_or_else(|| ObjectiveError::NoBatches.into())
    }
}
