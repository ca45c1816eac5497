//! What can go wrong with implicit differentiation.

/// A bilevel problem that is ill-posed, or that cannot be differentiated as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImplicitError {
    /// The module of hyperparameters has nothing to differentiate.
    #[error(
        "the module of hyperparameters has no trainable float tensor: it holds {ints} int tensors, which have no \
         derivative, {frozen} frozen float tensors (`.unfreeze()`) and {plain} on a device without autodiff (build \
         it on `device.autodiff()`); wrap continuous hyperparameters in `Param<Tensor<D>>`"
    )]
    NoHyperparameters {
        /// Int tensors.
        ints: usize,
        /// Float tensors that require no gradient.
        frozen: usize,
        /// Float tensors on a device without autodiff.
        plain: usize,
    },
    /// A parameter that is in the model and among the hyperparameters.
    #[error(
        "{parameters:?} are in the model and among the hyperparameters: a parameter is either solved for or \
         differentiated by; give the module of hyperparameters parameters of its own (`load_record` copies values, \
         `clone` shares them)"
    )]
    Shared {
        /// Names in the module of hyperparameters.
        parameters: Vec<String>,
    },
    /// The gradient of the inner objective depends on no hyperparameter.
    #[error(
        "θ*(η) does not depend on η: ∂²ℒ/∂θ∂η vanishes for all hyperparameters {hyperparameters:?}; use them in the \
         closure of the inner objective, in a term that also contains the model's parameters"
    )]
    Independent {
        /// Names of the hyperparameters.
        hyperparameters: Vec<String>,
    },
    /// Hyperparameters that neither objective depends on.
    #[error(
        "the outer objective depends on {hyperparameters:?} neither directly nor through θ*(η), so that their \
         derivative is zero by construction; use them, or freeze them (`no_grad`)"
    )]
    Unused {
        /// Names of the hyperparameters.
        hyperparameters: Vec<String>,
    },
    /// A stated strong convexity that does not hold.
    #[error(
        "`strong_convexity` states that A + λI has no eigenvalue below μ + λ = {stated:e}, and the solver met one of \
         {found:.3e} or less; state a smaller μ, such as the smallest weight decay of a convex loss, or none"
    )]
    NotConvex {
        /// μ + λ.
        stated: f64,
        /// An upper bound on the smallest eigenvalue.
        found: f64,
    },
    /// An outer objective with other parameters.
    #[error(
        "the outer objective has other parameters: {reason}; capture it on the model (or the model and the \
         hyperparameters) that the inner objective was captured on"
    )]
    OtherParameters {
        /// The first difference.
        reason: String,
    },
    /// No task to average over.
    #[error("there is no task: give at least one pair of a training and a test batch")]
    NoTasks,
    /// A user's inner solver panicked.
    #[error("the inner solver panicked in task {task}: {message}")]
    InnerSolver {
        /// Position of the task.
        task: usize,
        /// The panic's message.
        message: String,
    },
}

crate::error::kind!(ImplicitError);
