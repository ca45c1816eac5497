//! What can go wrong with K-FAC.

/// A Kronecker-factored curvature that cannot be computed, inverted or loaded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KfacError {
    /// Exact output gradients for a layer whose rows are not samples.
    #[error(
        "the exact Fisher type needs outputs with one row per sample, and no layer that mixes the rows; here rows are places \
         of a sequence or the like: use `KfacFisher::MonteCarlo`, whose independent targets keep the places apart"
    )]
    Places,
    /// Uses of one weight with different numbers of samples cannot be reduced together.
    #[error(
        "a weight is used with different numbers of samples, so that its uses cannot be reduced together; use \
         `KfacApproximation::Expand`"
    )]
    UnevenUses,
    /// An embedding that is too large for a full second moment of its inputs.
    #[error(
        "the embedding {parameter} is used at several places of a sample, and reducing it takes a matrix of {rows} rows and \
         columns, but at most {limit} are allowed: raise the limit of `EmbeddingPolicy::Whole`, or use \
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
        "parameter {parameter} with {elements} elements belongs to no layer ({reason}), and exact blocks are computed for at \
         most {limit} elements: raise the limit of `UncoveredPolicy::ExactBlock`, use `UncoveredPolicy::Diagonal`, or freeze \
         the parameter"
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
        "a Kronecker factor is singular, and a damping of {damping} does not help; use a damping above 0"
    )]
    Singular {
        /// The damping given.
        damping: f64,
    },
    /// A corrected diagonal without gradients.
    #[error(
        "`KfacFisher::ForwardOnly` has no gradients, so there is no diagonal to correct; use `Kfac`, or another Fisher type"
    )]
    NoDiagonal,
    /// Factors that belong to another model.
    #[error(
        "the saved factors are not those of this model's layers; load them for the model and the loss that they were \
         computed for"
    )]
    State,
}

crate::error::kind!(KfacError);
