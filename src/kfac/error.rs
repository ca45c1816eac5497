//! What can go wrong with K-FAC.

/// A Kronecker-factored curvature that cannot be computed, inverted or loaded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KfacError {
    /// Gradients of samples that cannot be separated in the rows of a layer.
    #[error(
        "rows of the layer {parameter} reach several rows of the outputs (through {operation}), so that its \
         gradients by single targets cannot be separated. If rows of the outputs are places of a sequence, use \
         `KfacFisher::MonteCarlo`, whose independent targets keep the places apart; for `KfacFisher::Empirical`, \
         return outputs of [samples, …], one index of the first dimension for each sample"
    )]
    Places {
        /// Name of the weight.
        parameter: String,
        /// In which operation they meet.
        operation: String,
    },
    /// A reduction over places, or a corrected diagonal, of a layer whose rows belong to no sample.
    #[error(
        "which rows of the layer {parameter} belong to which sample cannot be determined: {operation} mixes them. Use \
         `KfacApproximation::Expand`, and `Kfac` in place of `Ekfac`, which need not know it"
    )]
    Samples {
        /// Name of the weight.
        parameter: String,
        /// In which operation they meet.
        operation: String,
    },
    /// A batch on which a parameter is used differently than on the first one.
    #[error(
        "{parameter} is used differently on another batch, so that the factors of the two cannot be added: a batch \
         of a single sample cannot show what samples share. Put a batch of several samples first, and let all \
         batches run the same layers"
    )]
    OtherNetwork {
        /// Name of the parameter.
        parameter: String,
    },
    /// An embedding that is too large for a full second moment of its inputs.
    #[error(
        "the embedding {parameter} is used at several places of a sample, and reducing it takes a matrix of {rows} \
         rows and columns, but at most {limit} are allowed: raise the limit of `EmbeddingPolicy::Whole`, or use \
         `EmbeddingPolicy::Expand`"
    )]
    Vocabulary {
        /// Name of the weight.
        parameter: String,
        /// Its rows.
        rows: usize,
        /// Largest number of rows that is allowed.
        limit: usize,
    },
    /// A parameter that belongs to no layer.
    #[error(
        "parameter {parameter} with {elements} elements belongs to no layer ({reason}), and exact blocks are \
         computed for at most {limit} elements: raise the limit of `KfacConfig::uncovered`, use \
         `UncoveredPolicy::ExactBlock` for an exact block or `UncoveredPolicy::Diagonal` for an estimate of its \
         diagonal, or freeze the parameter"
    )]
    Uncovered {
        /// Name of the parameter.
        parameter: String,
        /// Why it belongs to no layer.
        reason: String,
        /// Its size.
        elements: usize,
        /// The largest size that is allowed.
        limit: usize,
    },
    /// A diagonal estimated without any probe.
    #[error("0 probes were given to estimate a diagonal; give at least one")]
    NoProbes,
    /// A parameter whose gradients by single samples are not known.
    #[error(
        "the gradients of single samples with respect to {parameter} do not follow from the inputs and outputs of \
         layers ({reason}); freeze the parameter, or take derivatives of the samples' losses, which need no layers"
    )]
    SampleGradient {
        /// Name of the parameter.
        parameter: String,
        /// Why they are not known.
        reason: String,
    },
    /// Scores without any vector.
    #[error(
        "0 vectors were given for inner products with the gradients of samples; give at least one"
    )]
    NoVectors,
    /// An operator whose blocks are not the layers.
    #[error(
        "the operator has no Kronecker product for the layer of {parameter} alone; give a function of a `Kfac` or an \
         `Ekfac` of the same model, such as its inverse"
    )]
    OtherBlocks {
        /// Name of the first parameter of the layer.
        parameter: String,
    },
    /// Scores of samples that are NaN or infinite.
    #[error(
        "the scores of samples by {layer} contain NaN or infinity; look at the batch, the vectors and the \
         parameters, or compute in f64 with `in_f64()`"
    )]
    NonFiniteScores {
        /// Name of the weight.
        layer: String,
    },
    /// A factor contains NaN or infinity.
    #[error(
        "the Kronecker factors of {layer} contain NaN or infinity; look at the layer's inputs and gradients at these \
         parameters, or compute in f64 with `in_f64()`"
    )]
    NonFinite {
        /// Name of the weight.
        layer: String,
    },
    /// The inverse of a singular approximation.
    #[error(
        "a Kronecker factor is singular, and a damping of {damping} leaves it so; use a larger damping"
    )]
    Singular {
        /// The damping given.
        damping: f64,
    },
    /// A corrected diagonal without gradients.
    #[error(
        "`KfacFisher::ForwardOnly` has no gradients, so there is no diagonal to correct; use `Kfac`, or another \
         Fisher type"
    )]
    NoDiagonal,
    /// Factors that belong to another model.
    #[error(
        "the saved factors are not those of this model's layers; load them for the model and the loss that they were \
         computed for"
    )]
    State,
    /// Factors or bases that were computed by another configuration.
    #[error(
        "the factors of {parameter} have another form than this configuration computes, such as a diagonal in place \
         of a matrix; use the `KfacConfig` that they were computed with"
    )]
    Configuration {
        /// Name of the weight or parameter.
        parameter: String,
    },
    /// Saved factors with numbers that no layer has.
    #[error(
        "the saved state of {parameter} is damaged: {reason}; load another copy, or save the state again"
    )]
    Damaged {
        /// Name of the weight or parameter.
        parameter: String,
        /// What is wrong.
        reason: &'static str,
    },
}

crate::error::kind!(KfacError);
