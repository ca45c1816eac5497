//! The same objective at other values of its model.

use std::sync::Arc;

use burn::module::Module;
use burn_backend::AutodiffBackend;

use super::{Objective, ObjectiveError, ValueAndGradient, values::Values};
use crate::{
    capture::Batch,
    error::Error,
    space::{Buffers, ParamVector, float_places},
    tensor::TensorBridge,
};

impl<B: AutodiffBackend> Objective<B> {
    /// The same objective at other parameters.
    ///
    /// Everything else in the model (frozen weights, integers) stays as it is. Running statistics (batch normalization)
    /// belong to the parameters at which they were collected, so a loss that reads them is refused here; use
    /// [`at_model`](Self::at_model).
    ///
    /// # Errors
    /// [`ObjectiveError::RunningStatistics`]; a vector of another layout, precision or device.
    #[inline(never)]
    pub fn at(&self, parameters: &ParamVector<B>) -> Result<Self, Error> {
        let mut running = Vec::new();
        for (position, path) in self.values.buffers.running() {
            if self.recorder.reads_buffer(position)? {
                running.push(path.to_string());
            }
        }
        if !running.is_empty() {
            return Err(ObjectiveError::RunningStatistics { buffers: running }.into());
        }
        self.at_keeping_buffers(parameters)
    }

    /// The same objective at parameters of another one; itself, with its running statistics, if it is there already. These
    /// must be those of the other one, in which their paths begin with `prefix`.
    ///
    /// # Errors
    /// As [`at`](Self::at); [`ObjectiveError::OtherStatistics`].
    #[inline(never)]
    pub(crate) fn moved_to(
        &self,
        parameters: &ParamVector<B>,
        (other, prefix): (&Self, &str),
    ) -> Result<Self, Error> {
        if self.parameters().clone().sub(parameters)?.largest()? != 0.0 {
            return self.at(parameters);
        }
        self.expect_statistics(other, prefix)?;
        Ok(self.clone())
    }

    /// Checks that the running statistics that this objective reads are those of another one, as far as that has them.
    ///
    /// # Errors
    /// [`ObjectiveError::OtherStatistics`].
    pub(crate) fn expect_statistics(&self, other: &Self, prefix: &str) -> Result<(), Error> {
        let (own, others) = (&self.values.buffers, &other.values.buffers);
        let mut differing = Vec::new();
        for (position, path) in own.running() {
            let there = others.running().find(|(_, it)| it.strip_prefix(prefix) == Some(path));
            let there = there.and_then(|(at, _)| others.values().get(at));
            let (Some(here), Some(there)) = (own.values().get(position), there) else { continue };
            if self.recorder.reads_buffer(position)?
                && here.clone().into_data()? != there.clone().into_data()?
            {
                differing.push(path.to_string());
            }
        }
        if differing.is_empty() {
            return Ok(());
        }
        Err(ObjectiveError::OtherStatistics { buffers: differing }.into())
    }

    /// The same objective at other parameters, with the running statistics it already has: for a step along a line in
    /// evaluation mode, for instance.
    ///
    /// # Errors
    /// A vector of another layout, precision or device.
    #[inline(never)]
    pub fn at_keeping_buffers(&self, parameters: &ParamVector<B>) -> Result<Self, Error> {
        self.expect_compatible(parameters)?;
        let (parameters, buffers) = (parameters.clone(), self.values.buffers.clone());
        let values = Values { parameters, buffers, print: Arc::default() };
        Ok(Self { values, ..self.with_parts(self.parts.clone()) })
    }
}

impl<B: AutodiffBackend> Objective<B>
where
    B::InnerBackend: TensorBridge,
{
    /// The same objective at the values of another model: its parameters, and its buffers (running statistics, frozen
    /// weights, integers).
    ///
    /// The model may be the one captured, trained further, or another instance of the same architecture; the new objective
    /// then has its layout. Nothing is recorded again. What Burn does not count among the values of a module (sizes, rates,
    /// constants in fields of type `Tensor`) stays as it was captured, and so does the mode, training or evaluation.
    ///
    /// # Errors
    /// [`ObjectiveError::OtherModel`] for a model of another type; [`ParamError::Changed`](crate::errors::ParamError::Changed)
    /// for one with other parameters or buffers, and where something has been frozen or unfrozen since; those of
    /// [`ParamVector::from_module`].
    ///
    /// # Example
    /// Running statistics come with the model: z = (x − mean) / √(var + ε), ℒ = Σ (γz)², H = 2 Σ z².
    ///
    /// ```
    /// use burn::{module::RunningState, nn::{BatchNorm, BatchNormConfig}, prelude::*};
    /// use burn_curvature::{CaptureConfig, Hessian, LinearOperator};
    ///
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// let device = Device::flex().autodiff();
    /// let model = BatchNormConfig::new(1).with_epsilon(1e-12).init(&device);
    /// let x = Tensor::<2>::from_floats([[1.0], [3.0]], &device);
    /// let objective = CaptureConfig::new().evaluation().init(&model, x, |model: &BatchNorm, x| {
    ///     model.forward::<2>(x).powf_scalar(2.0).sum()
    /// })?;
    ///
    /// let mut later = model;
    /// later.running_mean = RunningState::new(Tensor::from_floats([2.0], &device));
    /// let later = objective.at_model(&later)?;
    /// let gamma = later.parameters().space().vector(&[1.0, 0.0])?;
    /// let of = |objective| -> Result<f64, burn_curvature::Error> {
    ///     Ok(Hessian::new(objective)?.apply(&gamma)?.to_vec()?[0])
    /// };
    /// assert_eq!((of(&objective)?, of(&later)?), (20.0, 4.0)); // 2·(1 + 9), 2·(1 + 1)
    /// # Ok(())
    /// # }
    /// ```
    pub fn at_model<M: Module + 'static>(&self, model: &M) -> Result<Self, Error> {
        self.recorder.expect_type::<M>()?;
        let layout = self.layout().in_model(&float_places(model))?;
        let parameters = ParamVector::from_module_with(&layout, model)?.cast(self.precision())?;
        self.at_values(parameters, self.values.buffers.in_model(&layout, model)?)
    }

    #[inline(never)]
    fn at_values(&self, parameters: ParamVector<B>, buffers: Buffers<B>) -> Result<Self, Error> {
        let values = Values::new(parameters, buffers)?;
        Ok(Self { values, ..self.with_parts(self.parts.clone()) })
    }

    /// Checks that the parameters of a model are those of this objective, by place, identifier and flag.
    ///
    /// # Errors
    /// As [`at_model`](Self::at_model); [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) for another
    /// instance.
    pub(crate) fn expect_model<M: Module + 'static>(&self, model: &M) -> Result<(), Error> {
        self.recorder.expect_type::<M>()?;
        let found = self.layout().in_model(&float_places(model))?;
        Ok(self.layout().expect_same(&found)?)
    }

    /// The loss and gradient of Burn's own backward pass on a model as it is. In training mode this updates the model's
    /// running statistics and applies dropout.
    ///
    /// # Errors
    /// [`ObjectiveError::Backward`], [`ObjectiveError::NotFiniteLoss`],
    /// [`BatchError::OtherType`](crate::errors::BatchError::OtherType).
    pub(crate) fn backward<M: Module + 'static, X: Batch + 'static>(
        &self,
        model: &M,
        batch: X,
    ) -> Result<ValueAndGradient<B>, Error> {
        let (value, gradients) = self.recorder.backward(model, Box::new(batch.clone()))?;
        if !value.is_finite() {
            let operands = self.recorder.counted(batch)?.operands;
            return Err(self.at_model(model)?.values.not_finite(value, &operands));
        }
        let gradient = ParamVector::from_backward(model, gradients)?.cast(self.precision())?;
        Ok(ValueAndGradient { value, gradient })
    }
}
