//! Steps on a model: with its own values, in its own mode.

use burn::{module::Module, optim::GradientsParams};
use burn_backend::AutodiffBackend;

use super::{KfacOptimizer, KfacStep};
use crate::{
    capture::Batch,
    error::Error,
    objective::{Objective, ValueAndGradient, layers_in_training_mode},
    optim::instance,
    space::ParamVector,
    tensor::TensorBridge,
};

impl<B: AutodiffBackend> KfacOptimizer<B>
where
    B::InnerBackend: TensorBridge,
{
    /// One step on a batch: the updated model, and a report of the step.
    ///
    /// A model in training mode, with dropout or batch normalization, trains in that mode: see [`KfacOptimizer`]. `model` and
    /// the model returned share their running statistics, as clones do in Burn.
    ///
    /// A model in a precision other than the objective's is updated in the objective's precision. On an error the optimizer
    /// is unchanged.
    ///
    /// # Errors
    /// Those of [`Objective::on`], [`Objective::at_model`] and [`KfacConfig::init`](crate::KfacConfig::init); a loss or gradient
    /// that is not finite; an instance of the model other than the one captured, or one in which something has been
    /// frozen or unfrozen since.
    pub fn step<M: Module + 'static, X: Batch + 'static>(
        &mut self,
        model: &M,
        batch: X,
    ) -> Result<(M, KfacStep), Error> {
        let objective = self.objective.on(batch.clone())?;
        let gradient = self.training_gradient(model, &objective, batch)?;
        self.take(model, &objective, gradient)
    }

    /// One step on an objective of the same model, such as one over a data set.
    ///
    /// # Errors
    /// As [`step`](Self::step); an objective of another model, or of another loss or reduction: one that was captured separately
    /// is checked at every step as by [`KfacOptimizerConfig::init`](crate::KfacOptimizerConfig::init), and by
    /// [`Objective::reduced_by`] where it states no reduction;
    /// [`OptimizerError::TrainingMode`](crate::errors::OptimizerError::TrainingMode) for a model in training mode.
    pub fn step_on<M: Module + 'static>(
        &mut self,
        model: &M,
        objective: &Objective<B>,
    ) -> Result<(M, KfacStep), Error> {
        let way_out = "use `step`, which has a batch to run them on, or `step_with_gradient` with a gradient of your own; for a \
                       step in evaluation mode that of `objective.at_model(&model)?.value_and_gradient()?`";
        instance::expect_evaluation(model, way_out)?;
        self.take(model, objective, None)
    }

    /// One step along a given gradient: from your own pass in training mode, accumulated over batches, or averaged over
    /// workers.
    ///
    /// The curvature is that of `objective` (such as `objective.on(batch)?`) at the values of the model. `gradient` holds ℒ and
    /// ∇ℒ without weight decay.
    ///
    /// # Errors
    /// As [`step`](Self::step); a gradient of another layout, precision or device.
    ///
    /// # Example
    /// A step along the gradient of Burn's own `backward()`.
    ///
    /// ```
    /// use burn::{nn, prelude::*};
    /// use burn_curvature::{
    ///     KfacConfig, KfacOptimizerConfig, Likelihood, Objective, ParamVector, Reduction, ValueAndGradient,
    /// };
    ///
    /// fn loss(model: &nn::Linear, x: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
    ///     let z = model.forward(x.clone());
    ///     (z.clone(), (z - x * 3.0).powf_scalar(2.0).sum() * 0.5)
    /// }
    ///
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// let device = Device::default().autodiff();
    /// let model = nn::LinearConfig::new(1, 1).with_bias(false);
    /// let model = model.with_initializer(nn::Initializer::Zeros).init(&device);
    /// let x = Tensor::<2>::from_floats([[1.0], [2.0]], &device);
    /// let objective = Objective::capture(&model, x.clone(), loss)?.reduced_by(Reduction::Sum)?;
    /// let config = KfacOptimizerConfig::stochastic(1.0).with_kfac(KfacConfig::new());
    /// let mut optimizer = config.init(&objective, Likelihood::Gaussian { variance: 1.0 })?;
    ///
    /// let gradient = ParamVector::from_backward(&model, loss(&model, x).1.backward())?;
    /// let gradient = ValueAndGradient { value: 22.5, gradient };
    /// let (model, step) = optimizer.step_with_gradient(&model, &objective, gradient)?;
    /// assert_eq!(step.value, 22.5);
    /// assert!(model.weight.val().into_scalar::<f32>() > 0.0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn step_with_gradient<M: Module + 'static>(
        &mut self,
        model: &M,
        objective: &Objective<B>,
        gradient: ValueAndGradient<B>,
    ) -> Result<(M, KfacStep), Error> {
        self.take(model, objective, Some(gradient))
    }

    /// The natural gradient (F̂ damped by γ)⁻¹∇h on a batch, as gradients for an optimizer of Burn. Momentum, clipping and
    /// learning rates are then Burn's: this optimizer's quadratic model and momentum are not used.
    ///
    /// # Errors
    /// As [`step`](Self::step); [`ParamError::FrozenFirst`](crate::errors::ParamError::FrozenFirst).
    ///
    /// # Example
    /// For least squares, one step of rate 1 along the natural gradient reaches the solution.
    ///
    /// ```
    /// use burn::{nn, optim::SgdConfig, prelude::*};
    /// use burn_curvature::{KfacConfig, KfacOptimizerConfig, Likelihood, Objective, Reduction};
    ///
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// let device = Device::default().autodiff();
    /// let model = nn::LinearConfig::new(1, 1).with_bias(false);
    /// let model = model.with_initializer(nn::Initializer::Zeros).init(&device);
    /// let x = Tensor::<2>::from_floats([[1.0], [2.0]], &device);
    /// let objective = Objective::capture(&model, x.clone(), |model, x| {
    ///     let z = model.forward(x.clone());
    ///     (z.clone(), (z - x * 3.0).powf_scalar(2.0).sum() * 0.5)
    /// })?;
    /// let mut kfac = KfacOptimizerConfig::stochastic(1.0)
    ///     .with_kfac(KfacConfig::new())
    ///     .with_damping(1e-6)
    ///     .init(&objective.reduced_by(Reduction::Sum)?, Likelihood::Gaussian { variance: 1.0 })?;
    /// let (gradients, _) = kfac.transform(&model, x)?;
    /// let model = SgdConfig::new().init().step(1.0, model, gradients);
    /// assert!((model.weight.val().into_scalar::<f32>() - 3.0).abs() < 1e-2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn transform<M: Module + 'static, X: Batch + 'static>(
        &mut self,
        model: &M,
        batch: X,
    ) -> Result<(GradientsParams, KfacStep), Error> {
        let objective = self.objective.on(batch.clone())?;
        let given = self.training_gradient(model, &objective, batch)?;
        let objective = self.at(model, &objective)?;
        let precision = ParamVector::<B>::from_module_with(objective.layout(), model)?.precision();
        let (direction, report) = self.advance(&objective, given, None)?;
        Ok((direction.neg().cast(precision)?.into_gradients()?, report))
    }

    fn take<M: Module + 'static>(
        &mut self,
        model: &M,
        objective: &Objective<B>,
        given: Option<ValueAndGradient<B>>,
    ) -> Result<(M, KfacStep), Error> {
        let objective = self.at(model, objective)?;
        let (delta, report) = self.advance(&objective, given, Some(self.config.rule))?;
        let model = if report.taken { delta.add_to(model, 1.0)? } else { model.clone() };
        Ok((model, report))
    }

    /// Burn's own gradient if the model is in training mode, where it differs from the recorded one.
    fn training_gradient<M: Module + 'static, X: Batch + 'static>(
        &self,
        model: &M,
        objective: &Objective<B>,
        batch: X,
    ) -> Result<Option<ValueAndGradient<B>>, Error> {
        if layers_in_training_mode(model) == 0 {
            return Ok(None);
        }
        objective.agreed(self.objective.expect_model(model))?;
        Ok(Some(objective.trained(model, batch)?))
    }

    /// The objective at the values of a model. The loss of one that was captured separately is compared with the likelihood
    /// as that of the captured one was.
    fn at<M: Module + 'static>(
        &self,
        model: &M,
        objective: &Objective<B>,
    ) -> Result<Objective<B>, Error> {
        let own = objective.has_closure_of(&self.objective);
        let objective = instance::at(&self.objective, model, objective)?;
        if self.config.check_loss && !own {
            objective.expect_likelihood(self.likelihood)?;
        }
        Ok(objective.without_loss_check())
    }
}
