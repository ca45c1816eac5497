//! What can be wrong with an objective's values, data and reduction.

use super::Reduction;
use crate::{error::Error, space::VectorError};

/// An objective that cannot be used as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectiveError {
    /// The loss is NaN or infinite.
    #[error("the loss is {value}{}", why_not_finite(inputs.as_deref()))]
    NotFiniteLoss {
        /// Its value.
        value: String,
        /// The elements among parameters, buffers and batch that are NaN or infinite themselves, if there are any.
        inputs: Option<String>,
    },
    /// The loss depends on parameters other than through the outputs.
    #[error(
        "the loss depends on {parameters:?} besides the outputs (weight decay in the closure, or a loss that reads \
         more than the outputs); capture the loss without that term and add weight decay by \
         `GaussNewton::with_weight_decay`, or return everything that the loss reads as outputs"
    )]
    Bypass {
        /// Names of the parameters.
        parameters: Vec<String>,
    },
    /// A truth value that the closure read differs from its value when it was recorded.
    #[error(
        "the closure read {expected} as truth value {position} (counted from 0) where it was recorded, and would \
         read {} with these parameters and this batch: the closure may take another branch here, so the recording \
         does not apply. Capture again here, or choose between values with `mask_where` instead of branching on one", !expected
    )]
    OtherTruth {
        /// Which of the truth values that the closure reads, counted from 0.
        position: usize,
        /// Its value when the closure was recorded.
        expected: bool,
    },
    /// Other parameters for a model with running statistics.
    #[error(
        "the model has running statistics ({}), which belong to the parameters that they were collected at; take \
         both from a model with `objective.at_model(&model)`, or keep the statistics that the objective has with \
         `objective.at_keeping_buffers(&parameters)`", buffers.join(", ")
    )]
    RunningStatistics {
        /// Their paths in the model.
        buffers: Vec<String>,
    },
    /// An objective at the same parameters as another one, with other running statistics.
    #[error(
        "two objectives are at the same parameters with different running statistics ({}), so that they are of different \
         models; capture both of one model, or take both to it with `objective.at_model(&model)`", buffers.join(", ")
    )]
    OtherStatistics {
        /// Their paths in the model.
        buffers: Vec<String>,
    },
    /// The closure panicked in Burn's own passes on a batch.
    #[error("the closure panicked when Burn ran it and its `backward()` on this batch: {message}")]
    Backward {
        /// The message of the panic.
        message: String,
    },
    /// A model of another type than the one captured.
    #[error(
        "the loss was captured for a `{expected}`, and the model is a `{found}`; capture the loss of that model"
    )]
    OtherModel {
        /// Type of the model captured.
        expected: &'static str,
        /// Type of the model given.
        found: &'static str,
    },
    /// The closure evaluates an objective that is being recorded.
    #[error(
        "the captured closure uses the objective that is being captured; evaluate the objective outside, and pass \
         the result in with the batch"
    )]
    Nested,
    /// The losses of single samples are needed, but the closure does not return them.
    #[error(
        "the losses of single samples are needed, and the closure returns {found}; return `Loss::mean_of(losses)` or \
         `Loss::sum_of(losses)` with one loss per sample `[n]`, alone or after the outputs"
    )]
    NoSampleLosses {
        /// What it returns.
        found: &'static str,
    },
    /// Another number of losses than samples.
    #[error(
        "the closure returns {losses} losses for a batch of {samples} samples; return one loss per sample, `[n]` \
         (average those of tokens or pixels over a sample, and do not reduce over samples), or count the samples by \
         `Batch::samples` if they are not in the first dimension of the first tensor"
    )]
    LossCount {
        /// Number of losses.
        losses: usize,
        /// Samples of the batch.
        samples: usize,
    },
    /// A derivative with respect to the inputs of a batch without float tensors.
    #[error(
        "the batch holds only integers and truth values, which have no derivative; differentiate by the embedded \
         inputs instead: embed outside the model, and pass the result as the batch"
    )]
    NoFloats,
    /// Losses of samples that depend on other samples.
    #[error(
        "the loss of sample {sample} is {together} in a batch of {whole} samples and {alone} in {}, so that it \
         depends on other samples; compute batch normalization with its running statistics \
         (`CaptureConfig::new().evaluation()`), and compute the weight of a sample from that sample alone",
        if part == whole { "another order of them".into() } else { format!("a batch of the first {part} of them") }
    )]
    SharedLosses {
        /// Index of the sample.
        sample: usize,
        /// Samples of the part, or all of them in another order.
        part: usize,
        /// Its loss there.
        alone: String,
        /// Samples of the batch.
        whole: usize,
        /// Its loss there.
        together: String,
    },
    /// Another number of weights than samples.
    #[error(
        "{found} weights were given for {samples} samples; give one per sample, in the order of the batches"
    )]
    WeightCount {
        /// Number of weights.
        found: usize,
        /// Samples of all batches.
        samples: usize,
    },
    /// A data set without a batch.
    #[error("the data set has no batch; an iterator that was already consumed is empty")]
    NoBatches,
    /// The loss of a batch is not the stated reduction of its samples.
    #[error(
        "the loss is not the {reduction} over the samples of a batch: {reason}. State the reduction that the \
         closure uses, or let it return the parts of the loss: `Loss::mean_of(losses)` or `Loss::sum_of(losses)` \
         with one loss per sample, or `Loss::weighted(sum, weight)` for a mean over the tokens that count or with \
         class weights"
    )]
    NotReducedSo {
        /// The reduction named.
        reduction: Reduction,
        /// What was found instead.
        reason: String,
    },
    /// No sample of a batch, or of a data set, counts.
    #[error(
        "the loss is a mean whose total weight is zero: no sample or token counts; skip such a batch, or put it into \
         a data set with others"
    )]
    NoWeight,
    /// A weight that a mean cannot have.
    #[error(
        "the weight of the loss is {found} on this batch; expected a finite number of at least 0"
    )]
    Weight {
        /// Its value.
        found: String,
    },
    /// Half of a batch cannot be evaluated, so that the reduction cannot be checked.
    #[error(
        "a batch was taken to hold {samples} samples, and the closure failed on another number of them: {message}. \
         Let the closure take any number of samples, count them by `Batch::samples` if they are not in the first \
         dimension, or let it return the parts of the loss, as `Loss::mean_of(losses)`"
    )]
    Halved {
        /// The samples counted.
        samples: usize,
        /// The message of the panic.
        message: String,
    },
    /// A reduction other than the one stated before.
    #[error(
        "the objective was stated to be the {expected} over its samples (by `Loss` in the closure, `reduced_by`, \
         `over` or `over_stream`), and is now stated to be the {found}; state the one that the closure uses"
    )]
    OtherReduction {
        /// Reduction stated before.
        expected: Reduction,
        /// Reduction stated now.
        found: Reduction,
    },
    /// An operator needs the reduction, which was not stated.
    #[error(
        "this operator needs to know whether the loss is the sum or the mean over the samples of a batch: state it \
         with `objective.reduced_by(Reduction::Mean)?` or `Reduction::Sum`; a data set states it in `over`"
    )]
    NoReduction,
    /// A stream of batches failed.
    #[error("the data could not be read: {message}")]
    Data {
        /// The message of the source.
        message: String,
    },
    /// A stream does not give the same batches in every pass.
    #[error(
        "the stream gave {found} where its first pass gave {expected}; products need the same batches in every pass, \
         so do not shuffle or sample in it"
    )]
    StreamChanged {
        /// Batches and samples of the first pass.
        expected: String,
        /// Those of this pass.
        found: String,
    },
}

/// Whether a loss or a gradient is not finite, as a step that is too long may make it.
pub(crate) fn is_not_finite(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(ObjectiveError::NotFiniteLoss { .. }))
        || matches!(error.downcast_ref(), Some(VectorError::NonFinite { .. }))
}

/// What to look for, by whether the loss was computed from values that are not finite.
fn why_not_finite(inputs: Option<&str>) -> String {
    match inputs {
        None => "; look for a division by zero, a logarithm of zero or an overflow at these parameters, or compute in f64 \
                 with `in_f64()`"
            .to_string(),
        Some(inputs) => format!(
            ", computed from values that are NaN or infinite: {inputs}; look for missing values in the data, a training \
             that diverged, or a damaged file"
        ),
    }
}

impl ObjectiveError {
    /// The failure of a data source, to be returned from a stream of batches.
    pub fn data(error: impl std::fmt::Display) -> Error {
        Self::Data { message: error.to_string() }.into()
    }
}

crate::error::kind!(ObjectiveError);
