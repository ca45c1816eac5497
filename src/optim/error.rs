//! What can go wrong with optimizers.

/// An optimizer that cannot work as configured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptimizerError {
    /// A learning rate for steps whose size is determined otherwise.
    #[error(
        "a learning rate of {found:e} was set, but the quadratic model chooses the size of the steps: build the optimizer \
         with `StepRule::LearningRate`"
    )]
    NoLearningRate {
        /// The rate.
        found: f64,
    },
    /// Products along a direction leave the range of the number format.
    #[error(
        "the slope or the curvature along the step is {found:e}: its elements are finite, but their products are not; raise the \
         damping, shorten the gradient, or work in f64"
    )]
    StepRange {
        /// The value.
        found: f64,
    },
    /// A model in training mode on an objective without a batch to run it on.
    #[error(
        "{layers} layers of the model are in training mode (Dropout, BatchNorm, noise), and this step has no batch to run them \
         on: use `step`, or `step_with_gradient` with a gradient of your own; for a step in evaluation mode that of \
         `objective.at_model(&model)?.value_and_gradient()?`"
    )]
    TrainingMode {
        /// How many layers.
        layers: usize,
    },
    /// A learning rate for a rule without one.
    #[error(
        "a learning rate of {found:e} was set, but `Rule::{rule}` has none: build the optimizer with `Rule::Fixed`"
    )]
    NoRate {
        /// The rate.
        found: f64,
        /// Name of the rule.
        rule: &'static str,
    },
    /// A model in training mode for steps that compare values of the loss.
    #[error(
        "{layers} layers of the model are in training mode (Dropout, BatchNorm, noise), whose loss changes from one evaluation \
         to the next: capture the loss in evaluation mode, and use `step_on(&model, &objective.on(batch)?)`"
    )]
    TrainingLayers {
        /// How many layers.
        layers: usize,
    },
    /// A stochastic series over the batches of an objective that has one batch.
    #[error(
        "LiSSA draws one batch of the curvature's objective at a time, and there is one only: use `Objective::over` with small \
         batches and `step_on`, or `step_with_curvature`"
    )]
    OneBatch,
    /// Least squares of a loss that is none.
    #[error(
        "the loss is not c·‖r‖² of the outputs r: its gradient differs from 2c·Jᵀr by {difference:.1e} of its norm; return the \
         residuals as outputs and the sum or mean of their squares as the loss, or use `Curvature::GaussNewton`"
    )]
    NotLeastSquares {
        /// ‖∇ℒ − 2c·Jᵀr‖ / ‖∇ℒ‖, infinite if ℒ is not zero where r is.
        difference: f64,
    },
    /// The state of an optimizer for another instance of the model.
    #[error(
        "the state was saved with another instance of the model: {parameters:?} have other identifiers; load the model's \
         record (`load_record`) before its loss is captured, since identifiers come with it"
    )]
    Instance {
        /// Names of the parameters with other identifiers.
        parameters: Vec<String>,
    },
    /// The state of an optimizer for another model or configuration.
    #[error(
        "the state does not fit: {reason}; resume with the model and the configuration it was saved with"
    )]
    State {
        /// What does not fit.
        reason: &'static str,
    },
}

crate::error::kind!(OptimizerError);
