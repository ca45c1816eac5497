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
        "the matrix would have {rows}×{columns} entries, and the limit is {limit} each way, or what memory there is; use an \
         iterative solver, select fewer parameters, or raise the limit knowingly"
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
    /// An eigenvalue computation failed.
    #[error(
        "the eigenvalues of a {size}×{size} matrix did not converge, or left the range of the numbers"
    )]
    Eigenvalues {
        /// Rows of the matrix.
        size: usize,
    },
}
