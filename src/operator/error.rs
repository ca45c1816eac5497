//! What can go wrong with operators.

/// An operator that cannot be built, or is not what it promises.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OperatorError {
    /// A damping that is negative or not finite.
    #[error(
        "damping must be finite and at least 0, and is {found}; to shift the spectrum down, add a `Scaled` identity"
    )]
    Damping {
        /// The damping given.
        found: f64,
    },
    /// A factor that is not finite.
    #[error("the factor of an operator must be finite, and is {found}")]
    Factor {
        /// The factor given.
        found: f64,
    },
    /// A square operator is needed.
    #[error(
        "the operator maps {domain} numbers to {codomain} others; here it must map a space to itself"
    )]
    NotSquare {
        /// Numbers that go in.
        domain: usize,
        /// Numbers that come out.
        codomain: usize,
    },
    /// A matrix of another size than is needed.
    #[error(
        "expected a matrix of {expected_rows}×{expected_columns} and got one of {rows}×{columns}"
    )]
    MatrixSize {
        /// Rows needed.
        expected_rows: usize,
        /// Columns needed.
        expected_columns: usize,
        /// Rows found.
        rows: usize,
        /// Columns found.
        columns: usize,
    },
    /// The number of entries is not rows × columns.
    #[error("a matrix of {rows}×{columns} has {expected} entries, and {found} were given")]
    EntryCount {
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
        /// Rows × columns.
        expected: usize,
        /// Entries given.
        found: usize,
    },
    /// A matrix entry is NaN or infinite.
    #[error("the entry in row {row}, column {column} is {value}; a matrix must be finite")]
    NonFiniteEntry {
        /// Row, counted from 0.
        row: usize,
        /// Column, counted from 0.
        column: usize,
        /// The entry.
        value: f64,
    },
    /// A matrix that must be symmetric is not.
    #[error(
        "the matrix is not symmetric: the largest difference |aᵢⱼ − aⱼᵢ| is {found:e} of its largest entry, and {allowed:e} \
         is allowed; symmetrise it, or use an operator that need not be self-adjoint"
    )]
    NotSymmetric {
        /// Largest difference over largest entry.
        found: f64,
        /// Largest value that passes.
        allowed: f64,
    },
    /// A matrix would be too large.
    #[error(
        "the matrix would have {rows}×{columns} entries, and the limit is {limit} each way; use an iterative solver, \
         select fewer parameters, or raise the limit knowingly"
    )]
    TooLarge {
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
        /// Largest number of rows and columns.
        limit: usize,
    },
    /// A mean of operators has no term of this number.
    #[error(
        "the operator is the mean of {terms} terms, counted from 0, and term {index} was asked for"
    )]
    NoSuchTerm {
        /// The term asked for.
        index: usize,
        /// Number of terms.
        terms: usize,
    },
    /// A likelihood that does not fit.
    #[error("the likelihood does not fit: {reason}, and {found} was found")]
    Likelihood {
        /// What is needed.
        reason: &'static str,
        /// What was found.
        found: String,
    },
    /// An average over no draw at all.
    #[error("at least one target must be drawn for every sample")]
    NoDraws,
    /// Exact output gradients where rows of a layer are no samples.
    #[error(
        "the exact Fisher type needs outputs of one row a sample that no layer mixes; here rows are places of a sequence \
         or the like: use `KfacFisher::MonteCarlo`, whose independent targets keep the places apart"
    )]
    KfacPlaces,
    /// Uses of one weight with different numbers of samples cannot be reduced together.
    #[error(
        "a weight is used with different numbers of samples, so that its uses cannot be reduced together; use \
         `KfacApproximation::Expand`"
    )]
    KfacUnevenUses,
    /// A parameter that belongs to no layer.
    #[error(
        "parameter {parameter} of {numbers} numbers belongs to no layer ({reason}), and exact blocks are made up to {limit} \
         numbers: raise the limit of `BesidePolicy::ExactBlock`, or freeze the parameter"
    )]
    KfacBeside {
        /// Name of the parameter.
        parameter: String,
        /// Why it belongs to no layer.
        reason: String,
        /// Its size.
        numbers: usize,
        /// The largest size.
        limit: usize,
    },
    /// A factor holds NaN or infinity.
    #[error(
        "the Kronecker factors of {layer} hold NaN or infinity; look at the layer's inputs and gradients at these \
         parameters, or compute in f64 with `in_f64()`"
    )]
    NonFiniteFactor {
        /// Name of the weight.
        layer: String,
    },
    /// The inverse of a singular approximation.
    #[error(
        "a Kronecker factor is singular, and a damping of {damping} does not help; take a damping above 0"
    )]
    KfacSingular {
        /// The damping given.
        damping: f64,
    },
    /// Factors that belong to another model.
    #[error("the saved factors are not those of this model's layers")]
    KfacState,
    /// An eigenvalue computation failed.
    #[error("the eigenvalues of a {size}×{size} matrix did not converge")]
    Eigenvalues {
        /// Rows of the matrix.
        size: usize,
    },
}
