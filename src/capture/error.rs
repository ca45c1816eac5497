//! Why a model could not be recorded.

/// A model or loss that cannot be recorded as a program.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// An operation that is not covered.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The closure, or Burn inside it, panicked for a reason that has nothing to do with recording.
    #[error(
        "the closure panicked while it was recorded: {message}. Check that it runs on this batch in Burn as well"
    )]
    Panicked {
        /// The message of the panic, in one line.
        message: String,
    },
    /// The closure reads values that it may not read.
    #[error(
        "the closure may not read values while it is recorded, but reads those of {what}: {advice}"
    )]
    Read {
        /// The tensor that was read.
        what: String,
        /// How to do without.
        advice: String,
    },
    /// The closure uses a tensor or module that is not among its arguments.
    #[error(
        "the closure uses a tensor or module from outside {place}: its arguments are on a recording device, and that is \
         not. The model itself: use the one that the closure is given. A tensor: put it into the batch, or use \
         `t.without_autodiff().to_device(&x.device())` in the closure. A module: capture the tuple `(model, \
         other.no_grad())`, or use `other.valid().to_device(&x.device())` in the closure. A criterion: build it in \
         the closure, or capture it in the tuple. A field of a batch type of your own: map it in `map_tensors`. A \
         tensor made in the closure or in a layer: make it on the device of an argument"
    )]
    Outside {
        /// What was recorded before.
        place: String,
    },
    /// The closure keeps a tensor of an earlier call.
    #[error(
        "the closure uses a tensor that an earlier call of it computed; compute it in every call, or put it into the \
         batch"
    )]
    Kept,
    /// The closure differentiates.
    #[error(
        "the closure calls `require_grad` or `backward`: Burn's gradients have no gradient of their own, so a loss \
         cannot contain them. Write derivatives with respect to the input as differences of the model's outputs, or \
         by the chain rule through its layers"
    )]
    Derivative,
    /// The closure draws random values.
    #[error(
        "the closure draws random values (operation {position} of {count}, {distribution} of shape {shape:?}): each \
         evaluation would have another loss. Draw them outside and put them into the batch, or have them drawn once \
         per objective by `CaptureConfig::new().draw_once(seed)`"
    )]
    Random {
        /// The operation that draws, counted from 1.
        position: usize,
        /// Number of operations recorded.
        count: usize,
        /// What is drawn.
        distribution: String,
        /// Shape of the values drawn.
        shape: Vec<usize>,
    },
    /// The closure recorded other operations when it was run again on batches of the same sizes.
    #[error(
        "the closure does something else when it is called again: {difference}. A captured closure may depend on its \
         arguments only: put what varies, such as the weight of a penalty, into the batch as a tensor, or capture \
         again after each change"
    )]
    ClosureChanged {
        /// The first difference.
        difference: String,
    },
    /// A gradient is stopped at a place that the recording cannot show.
    #[error(
        "a gradient is stopped (`detach`, `no_grad` or `without_autodiff`){}, and the recording cannot show where: \
         put the stopped tensor into the batch, or freeze what it is computed by with `no_grad()` before capturing",
        place.as_ref().map(|place| format!(" at or before {place}")).unwrap_or_default()
    )]
    StopGradient {
        /// The first operation that a stopped value may enter.
        place: Option<String>,
    },
    /// The closure cannot be run on a tape over the recording device, as the search for its stop-gradients does.
    #[error(
        "whether the closure stops gradients (`detach`) cannot be seen: run on a tape that is recorded, it failed \
         ({message}). A `to_device` of a tensor that depends on the parameters is the usual cause: leave it out; or \
         capture with `CaptureConfig::new().unchecked()` if the closure stops no gradients"
    )]
    NotSearched {
        /// What failed.
        message: String,
    },
    /// Layers of the model behave differently in training and in evaluation.
    #[error(
        "{} in training mode, which changes the loss: {}. If you mean evaluation mode, capture with \
         `CaptureConfig::new().evaluation().init(…)` or pass `model.valid()`; if you mean training mode, with \
         `CaptureConfig::new().training(seed).init(…)`",
        count(layers.len()), layers.join(", ")
    )]
    TrainingMode {
        /// The layers, by the names of their fields.
        layers: Vec<String>,
    },
    /// The recording ended with inputs or outputs that Burn refuses.
    #[error(
        "the recording has no usable inputs or outputs: {message}. Compute loss and outputs from the closure's model \
         and batch"
    )]
    Boundary {
        /// Burn's message.
        message: String,
    },
    /// The loss is not a scalar.
    #[error(
        "the loss has shape {shape:?}, but a scalar of shape [1] is needed; reduce it with `mean()` or `sum()`, or \
         return losses of samples as `Loss::mean_of(losses)` or `Loss::sum_of(losses)`"
    )]
    LossNotScalar {
        /// Shape of what the closure returned.
        shape: Vec<usize>,
    },
    /// The weight of a [`Loss`](crate::Loss) is not a scalar.
    #[error(
        "the weight of the loss has shape {shape:?}, but a scalar of shape [1] is needed: `Loss::weighted` takes the \
         sum of the losses and the sum of their weights"
    )]
    WeightNotScalar {
        /// Shape of the weight.
        shape: Vec<usize>,
    },
    /// The weight of a [`Loss`](crate::Loss) depends on trainable parameters.
    #[error(
        "the weight of the loss depends on trainable parameters, so that the loss of a data set is not the weighted \
         mean of its batches: compute the weight from the batch alone, or return the quotient as a scalar loss, for \
         single batches only"
    )]
    WeightDependsOnParameters,
    /// The loss or the outputs were not computed from the closure's arguments.
    #[error(
        "{what} did not come from the recording ({found}); compute it from the closure's model and batch, \
         not from tensors captured from outside"
    )]
    OtherDevice {
        /// Loss or outputs.
        what: String,
        /// What was found.
        found: String,
    },
    /// The loss does not depend on any trainable parameter.
    #[error(
        "the loss does not depend on any trainable parameter; use the closure's model, and check that it \
         is not frozen"
    )]
    IndependentLoss,
}

fn count(layers: usize) -> String {
    match layers {
        1 => "1 layer is".into(),
        n => format!("{n} layers are"),
    }
}

/// A recording that cannot become a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The model uses an operation that this crate cannot differentiate.
    #[error(
        "operation {operation} (number {position} of the recording, inputs {inputs}) is not supported; express it with \
         other tensor operations, or keep it out of the captured closure"
    )]
    Unsupported {
        /// Name of the operation.
        operation: String,
        /// Its position in the recording.
        position: usize,
        /// Element types and shapes of its inputs.
        inputs: String,
    },
    /// An operation reads a tensor that was not made inside the recording.
    #[error(
        "operation {operation} (number {position} of the recording) reads a tensor that was made outside it and is not \
         an input; pass the tensor in with the batch, or create it inside the closure"
    )]
    Undefined {
        /// Name of the operation.
        operation: String,
        /// Its position in the recording.
        position: usize,
    },
    /// An input is neither known by value nor used by any operation.
    #[error(
        "input {index} was never initialized on the recording device; move it there inside the recording"
    )]
    UnknownInput {
        /// Position of the input.
        index: usize,
    },
    /// An output that no operation writes.
    #[error(
        "output {index} was not made inside the recording; return a tensor computed from the inputs"
    )]
    UnknownOutput {
        /// Position of the output.
        index: usize,
    },
    /// One tensor was listed as two inputs, or is written by an operation although it is an input.
    #[error("input {index} is already defined by {by}; every input must be a tensor of its own")]
    DefinedTwice {
        /// Position of the input.
        index: usize,
        /// What defines it already.
        by: String,
    },
}

crate::error::kind!(CaptureError, ImportError);
