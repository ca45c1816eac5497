//! What can go wrong with optimizers.

/// An optimizer that cannot work as configured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptimizerError {
    /// A learning rate for a rule without one.
    #[error(
        "a learning rate of {found} was set, but `{rule}` chooses the size of the steps: build the optimizer with \
         `StepRule::LearningRate` (K-FAC) or `Rule::Fixed` (Newton's methods)"
    )]
    NoLearningRate {
        /// The rate.
        found: f64,
        /// The rule.
        rule: &'static str,
    },
    /// Products along a direction leave the range of the number format.
    #[error(
        "the slope or the curvature along the step is {found:.3e}: its elements are finite, but their products are \
         not; raise the damping, shorten the gradient, or work in f64"
    )]
    StepRange {
        /// The value.
        found: f64,
    },
    /// A model in training mode, for a step that does not support it.
    #[error(
        "{layers} layers of the model are in training mode (Dropout, BatchNorm, noise), which this step does not \
         support: {way_out}"
    )]
    TrainingMode {
        /// How many layers.
        layers: usize,
        /// What to do.
        way_out: &'static str,
    },
    /// A stochastic series over the batches of an objective that has only one.
    #[error(
        "LiSSA draws one batch of the curvature's objective at a time, and there is only one: use `Objective::over` \
         with small batches and `step_on`, or `step_with_curvature`"
    )]
    OneBatch,
    /// A stochastic series that grows without bound.
    #[error(
        "LiSSA's series diverges with a scale of {scale:.3e}: the largest ‖Hᵢv‖ / ‖v‖ of a batch was {largest:.3e}, and the \
         eigenvalues of every batch's Hessian must be between 0 and the scale; raise the scale, or the damping where the \
         loss is not convex"
    )]
    SeriesDiverged {
        /// The scale.
        scale: f64,
        /// The largest ‖Hᵢv‖ / ‖v‖ seen, a lower bound of the largest eigenvalue; infinite if it overflowed.
        largest: f64,
    },
    /// A least-squares method for a loss that is not a sum of squares.
    #[error(
        "the loss is not c·‖r‖² of the outputs r: its gradient in r differs from 2c·r by {difference:.1e} of its norm; \
         return the residuals as outputs and the sum or mean of their squares as the loss, or use \
         `Curvature::GaussNewton`"
    )]
    NotLeastSquares {
        /// ‖∂ℒ/∂r − 2c·r‖ / ‖∂ℒ/∂r‖, infinite if ℒ is not zero where r is.
        difference: f64,
    },
    /// A panic during decompositions on a thread of their own.
    #[error(
        "the eigendecompositions of the factors ended with a panic: {message}; report it, and meanwhile decompose \
         during steps (`with_background(false)`)"
    )]
    Decomposition {
        /// Its message.
        message: String,
    },
    /// The state of an optimizer for another instance of the model.
    #[error(
        "the state was saved with another instance of the model: {parameters:?} have other identifiers; load the \
         model's record (`load_record`) before its loss is captured, since identifiers come with it"
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
