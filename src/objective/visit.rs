//! Passes over the batches of an objective, and the programs of its first batch for the reader.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{
    Objective, ObjectiveError, Progress,
    parts::{Part, Parts, Stream},
    products::PreparedProduct,
};
use crate::{derive::Product, error::Error, graph::Graph, space::ParamLayout, tensor::Operand};

/// Takes one batch after another with its number.
type Each<'a, B> = &'a mut dyn FnMut(usize, &Part<B>) -> Result<(), Error>;

impl<B: AutodiffBackend> Objective<B> {
    /// Calls `work` with every batch, and the observer after each.
    pub(super) fn for_each_part(
        &self,
        mut work: impl FnMut(usize, &Part<B>) -> Result<(), Error>,
    ) -> Result<(), Error> {
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
            Parts::Streamed(stream) => self.fetch_each(stream, &mut each),
        }
    }

    fn fetch_each(&self, stream: &Stream<B>, each: Each<'_, B>) -> Result<(), Error> {
        let (mut count, total) = (0, stream.samples());
        (stream.run)(&mut |batch| {
            stream.expect_size(count, batch.samples)?;
            let weight = Parts::<B>::weight(stream.reduction, batch.samples, total);
            let part = Part::new(&self.recorder, &self.parameters, batch, weight)?;
            each(count, &part)?;
            count += 1;
            Ok(())
        })?;
        if count == stream.sizes.len() {
            return Ok(());
        }
        Err(ObjectiveError::StreamChanged {
            expected: format!("{} batches", stream.sizes.len()),
            found: format!("{count} batches"),
        }
        .into())
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

    /// Prepares every batch for a product, as far as the budget goes.
    pub(crate) fn prepare_product(&self, product: &PreparedProduct<B>) -> Result<(), Error> {
        self.for_each_part(|index, part| self.prepare_part(product, index, part))
    }

    /// Derives a product for the first batch, so that what cannot be derived is refused early.
    pub(crate) fn derive_product(&self, kind: Product) -> Result<(), Error> {
        let derived = self.with_part(0, |part| part.programs.product(kind).map(drop));
        derived.map_err(|error| self.named(error))
    }

    /// Shape of the outputs on the first batch.
    pub(crate) fn shape_of_outputs(&self) -> Result<Vec<usize>, Error> {
        self.of_first(|part| Ok(part.programs.outputs_type()?.shape.to_vec()))
    }

    /// One block a batch, shaped as the outputs.
    pub(crate) fn outputs_layout(&self) -> Result<Arc<ParamLayout>, Error> {
        let single = self.batches() == 1;
        let mut shapes = Vec::with_capacity(self.batches());
        self.for_each_part(|index, part| {
            let name = match single {
                true => "outputs".to_string(),
                false => format!("outputs.{index}"),
            };
            shapes.push((name, part.programs.outputs_type()?.shape.to_vec()));
            Ok(())
        })?;
        Ok(ParamLayout::from_shapes(shapes)?)
    }

    /// The model's outputs on one batch.
    pub(super) fn outputs_of(&self, part: &Part<B>) -> Result<Operand<B::InnerBackend>, Error> {
        let outputs = part.programs.outputs()?.run(self.inputs(part)?)?;
        let outputs = outputs.into_iter().next();
        outputs.ok_or_else(|| ObjectiveError::NoBatches.into())
    }

    /// The recorded program of the loss on the first batch, for printing or drawing.
    ///
    /// # Errors
    ///
    /// A failure to fetch the batch.
    pub fn loss_program(&self) -> Result<Graph, Error> {
        self.of_first(|part| Ok(part.programs.recorded().clone()))
    }

    /// The derived program of the gradient, for printing or drawing.
    ///
    /// # Errors
    ///
    /// A failure to derive it.
    pub fn gradient_program(&self) -> Result<Graph, Error> {
        self.of_first(|part| Ok(part.programs.gradient()?.graph().clone()))
    }

    /// The derived programs of the Hessian product: what runs once per (θ, batch), and what runs per vector.
    ///
    /// # Errors
    ///
    /// A failure to derive them.
    pub fn hessian_programs(&self) -> Result<(Graph, Graph), Error> {
        self.product_programs(Product::Hessian)
    }

    /// The derived programs of the Gauss-Newton product: what runs once per (θ, batch), and what runs per vector.
    ///
    /// # Errors
    ///
    /// A failure to derive them.
    pub fn gauss_newton_programs(&self) -> Result<(Graph, Graph), Error> {
        self.product_programs(Product::GaussNewton)
    }

    fn product_programs(&self, kind: Product) -> Result<(Graph, Graph), Error> {
        self.of_first(|part| {
            let split = part.programs.product(kind)?;
            Ok((split.prepare.graph().clone(), split.finish.graph().clone()))
        })
    }

    pub(super) fn of_first<T>(
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
