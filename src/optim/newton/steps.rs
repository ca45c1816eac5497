//! Steps on a model: with its own values.

use burn::module::Module;
use burn_backend::AutodiffBackend;

use super::{NewtonOptimizer, NewtonStep};
use crate::{
    capture::Batch, error::Error, objective::Objective, optim::instance, tensor::TensorBridge,
};

impl<B: AutodiffBackend> NewtonOptimizer<B>
where
    B::InnerBackend: TensorBridge,
{
    /// One step on a batch: the updated model, and a report of the step.
    ///
    /// The step is computed in the objective's precision, and the model keeps its own. On an error the optimizer is unchanged.
    ///
    /// # Errors
    /// [`OptimizerError::TrainingMode`](crate::errors::OptimizerError::TrainingMode) for a model with dropout or batch normalization in training mode; those of
    /// [`Objective::on`] and [`Objective::at_model`]; a loss or gradient that is not finite; an instance of the model
    /// other than the one captured, or one in which something has been frozen or unfrozen since.
    pub fn step<M: Module + 'static, X: Batch + 'static>(
        &mut self,
        model: &M,
        batch: X,
    ) -> Result<(M, NewtonStep), Error> {
        let way_out = "its loss changes from one evaluation to the next; capture it in evaluation mode, and use \
                       `step_on(&model, &objective.on(batch)?)`";
        instance::expect_evaluation(model, way_out)?;
        self.step_on(model, &self.objective.on(batch)?)
    }

    /// One step on an objective of the same model, such as one over a data set, in the mode it was captured in.
    ///
    /// # Errors
    /// As [`step`](Self::step) except for layers in training mode; an objective of another model, or of another reduction than was
    /// stated for the captured one. One that was captured separately and states none is checked at every step by
    /// [`Objective::reduced_by`].
    pub fn step_on<M: Module + 'static>(
        &mut self,
        model: &M,
        objective: &Objective<B>,
    ) -> Result<(M, NewtonStep), Error> {
        let objective = instance::at(&self.objective, model, objective)?;
        self.take(model, &objective, &objective)
    }

    /// One step with subsampled curvature: h and ∇h are those of `objective`, the curvature and the preconditioner those of
    /// another objective of the same model, on fewer samples.
    ///
    /// Use a loss that is a mean over the samples: its scale does not depend on their number, while that of a sum does.
    ///
    /// # Errors
    /// As [`step_on`](Self::step_on).
    ///
    /// # References
    /// Byrd, Chin, Neveitt & Nocedal 2011, On the use of stochastic Hessian information in optimization methods for machine
    /// learning.
    pub fn step_with_curvature<M: Module + 'static>(
        &mut self,
        model: &M,
        objective: &Objective<B>,
        curvature: &Objective<B>,
    ) -> Result<(M, NewtonStep), Error> {
        let at = |objective| instance::at(&self.objective, model, objective);
        let (objective, curvature) = (at(objective)?, at(curvature)?);
        self.take(model, &objective, &curvature)
    }

    fn take<M: Module + 'static>(
        &mut self,
        model: &M,
        objective: &Objective<B>,
        curvature: &Objective<B>,
    ) -> Result<(M, NewtonStep), Error> {
        let (delta, report) = self.advance(objective, curvature)?;
        let model = match delta {
            Some(delta) => delta.add_to(model, 1.0)?,
            None => model.clone(),
        };
        Ok((model, report))
    }
}
