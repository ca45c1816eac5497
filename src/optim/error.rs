//! What can go wrong with optimizers.

/// An optimizer that cannot work as configured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptimizerError {
    /// The loss is not the negative log-likelihood of the stated likelihood.
    #[error(
        "vᵀGv of the captured loss is {gauss_newton:e}, vᵀFv of the likelihood {fisher:e}, but for a negative log-likelihood \
         they are equal (their ratio is {ratio:.6}): check the likelihood, its variance and the reduction, over the outputs of a \
         sample too (a sum, not a mean), or switch this check off for a loss that is meant to differ",
        ratio = gauss_newton / fisher
    )]
    LossIsNotLikelihood {
        /// vᵀGv with G the Gauss-Newton matrix of the loss.
        gauss_newton: f64,
        /// vᵀFv with F the Fisher matrix of the likelihood.
        fisher: f64,
    },
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
