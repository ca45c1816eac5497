//! What can go wrong with operators.

/// Failure to build an operator, or a broken promise of one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// A damping that is negative or not finite.
    #[error(
        "damping must be finite and at least 0, but is {found}; to shift the spectrum down, add a `Scaled` identity"
    )]
    Damping {
        /// The damping given.
        found: f64,
    },
    /// A factor that is not finite.
    #[error("the factor of an operator must be finite, but is {found}")]
    Factor {
        /// The factor given.
        found: f64,
    },
    /// A square operator is needed.
    #[error("expected a square operator, got one from dimension {domain} to {codomain}")]
    NotSquare {
        /// Dimension of the vectors that go in.
        domain: usize,
        /// Dimension of the products.
        codomain: usize,
    },
    /// `apply_many` returned another number of products than it was given vectors.
    #[error(
        "the operator returned {found} products for {expected} vectors; its `apply_many` must return one for each"
    )]
    ProductCount {
        /// Vectors given.
        expected: usize,
        /// Products found.
        found: usize,
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
    /// Columns that a matrix does not have, or none.
    #[error("expected one or more of the {columns} columns of the matrix, and got {start}..{end}")]
    NoSuchColumns {
        /// The first column asked for, counted from 0.
        start: usize,
        /// One past the last.
        end: usize,
        /// Columns of the matrix.
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
        "the matrix is not symmetric: the largest difference |aᵢⱼ − aⱼᵢ| is {found:.3e} of its largest entry, and \
         {allowed:e} is allowed; symmetrize it, or use an operator that need not be self-adjoint"
    )]
    NotSymmetric {
        /// Largest difference over largest entry.
        found: f64,
        /// Largest value that passes.
        allowed: f64,
    },
    /// A matrix would be too large.
    #[error(
        "the matrix would have {rows}×{columns} entries, and the limit is {limit} each way, or the available memory; \
         use an iterative solver, select fewer parameters, or raise the limit if the memory suffices"
    )]
    TooLarge {
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
        /// Largest number of rows and columns.
        limit: usize,
    },
    /// A mean of operators has no term with this index.
    #[error(
        "the operator is the mean of {terms} terms, counted from 0, and term {index} was asked for"
    )]
    NoSuchTerm {
        /// The term asked for.
        index: usize,
        /// Number of terms.
        terms: usize,
    },
    /// A name that no parameter has.
    #[error("there is no parameter {found}; the parameters are {}", available.join(", "))]
    NoSuchParameter {
        /// The name given.
        found: String,
        /// The names there are.
        available: Vec<String>,
    },
    /// An eigenvalue computation failed.
    #[error(
        "the eigenvalues of a {size}×{size} matrix did not converge, or overflowed; scale the matrix, or look for \
         entries of very different sizes"
    )]
    Eigenvalues {
        /// Rows of the matrix.
        size: usize,
    },
    /// A list of operators or vectors is empty.
    #[error("expected a list of at least one operator or vector, and got an empty one")]
    Nothing,
    /// The number of coefficients is not the number of vectors.
    #[error(
        "there are {vectors} vectors and {coefficients} coefficients; give one for each vector"
    )]
    CoefficientCount {
        /// Vectors given.
        vectors: usize,
        /// Coefficients given.
        coefficients: usize,
    },
    /// A block is in two selections.
    #[error("block `{block}` is in two of the selections; each block may be in one only")]
    BlockTwice {
        /// Name of the block.
        block: String,
    },
    /// A block is in no selection.
    #[error(
        "block `{block}` is in no selection; give an operator for it too, such as an `Identity` times a factor"
    )]
    BlockMissing {
        /// Name of the block.
        block: String,
    },
    /// A vector that must be one matrix is not.
    #[error(
        "expected one block with two dimensions, or one and its bias, and got the shapes {shapes:?}; select the \
         block of one weight with `ParamLayout::select`, and reshape other kernels to a matrix first"
    )]
    NotOneMatrix {
        /// Shape of each block.
        shapes: Vec<Vec<usize>>,
    },
    /// An exact inverse does not exist.
    #[error(
        "low rank plus diagonal has this inverse only if the diagonal is positive and the whole is not singular, and \
         {found:.3e} was found; add damping with `with_damping`"
    )]
    NotInvertible {
        /// The diagonal element or singular value at fault.
        found: f64,
    },
    /// The same vector gave two products.
    #[error(
        "the product with the same vector changed between two calls, by {difference:.3e} of its norm; look for dropout \
         or sampling that draws again each time, data in another order, or a closure with state (a difference of the \
         size of rounding means a device that adds in a varying order)"
    )]
    NotDeterministic {
        /// Norm of the difference over the norm of the product.
        difference: f64,
    },
    /// The product is not linear in the vector.
    #[error(
        "A(αx + βy) differs from αAx + βAy by {found:.3e} of the norms, and {allowed:e} is allowed; look for an added \
         constant, a finite difference, a clipped or normalized product, or rounding that needs f64"
    )]
    NotLinear {
        /// Norm of the difference over the norms of the products.
        found: f64,
        /// Largest value that passes.
        allowed: f64,
    },
    /// `apply_many` and `apply` disagree.
    #[error(
        "`apply_many` differs from `apply` by {found:.3e} of the norms, and {allowed:e} is allowed; one of the two is \
         wrong"
    )]
    ManyDiffer {
        /// Norm of the difference over the norms of the products.
        found: f64,
        /// Largest value that passes.
        allowed: f64,
    },
    /// An operator that was promised to be self-adjoint is not.
    #[error(
        "⟨y, Ax⟩ differs from ⟨Ay, x⟩ by {found:.3e} of their typical size, and {allowed:e} is allowed: the operator is \
         not symmetric; look for a Jacobian in place of a Hessian, or a product that leaves a term out"
    )]
    NotSelfAdjoint {
        /// The difference on the scale of random products.
        found: f64,
        /// Largest value that passes.
        allowed: f64,
    },
    /// `apply_adjoint` is not the transpose of `apply`.
    #[error(
        "⟨u, Ax⟩ differs from ⟨Aᵀu, x⟩ by {found:.3e} of their typical size, and {allowed:e} is allowed: `apply_adjoint` \
         is not the transpose of `apply`"
    )]
    NotAdjoint {
        /// The difference on the scale of random products.
        found: f64,
        /// Largest value that passes.
        allowed: f64,
    },
}

crate::error::kind!(OperatorError);
